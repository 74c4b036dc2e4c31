"""Writes lines to a file descriptor from a thread of its own, so that callers never wait for a slow reader."""

import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final

MAX_LINES: Final = 10_000
"""Most lines that wait to be written; further lines are dropped and counted."""

CLOSE_SECONDS: Final = 1.0
"""Longest wait at the end: once for room in the queue, and once more until the last lines are written."""

_CHUNK_LINES: Final = 100


class LineWriter:
    """A bounded queue of lines and the thread that writes them.

    Its methods are called by one thread. It is a logger in structlog's sense: ``info`` and the others take a line.

    Args:
        descriptor: where the lines go.
        on_dropped: called with the number of dropped lines, once there is room to log it.
        max_lines: lines that may wait.
    """

    def __init__(self, descriptor: int, *, on_dropped: Callable[[int], None], max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._queue: queue.Queue[bytes | None] = queue.Queue(max_lines)
        self._dropped = 0
        self._is_broken = False
        # A daemon, because a thread that hangs in a write to a full pipe must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue a line (without its line break), or count it as dropped if too many lines wait."""
        if self._dropped and not self._queue.full():
            dropped, self._dropped = self._dropped, 0
            self._on_dropped(dropped)
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = write

    def close(self) -> None:
        """Wait until all lines are written, for `CLOSE_SECONDS` at most; lines left then are dropped."""
        try:
            self._queue.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            lines = [line]
            is_last = False
            while len(lines) < _CHUNK_LINES and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    is_last = True
                    break
                lines.append(following)
            self._write_all(b"\n".join([*lines, b""]))
            if is_last:
                return

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._is_broken:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select((), (self._descriptor,), ())
            except OSError:
                self._is_broken = True  # nobody reads it any more; the queue is still emptied
