"""The record values of files and of stdin, one a line or one a file, without blocking the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

STDIN: Final = "-"
MAX_VALUES_AHEAD: Final = 100
"""Most values that are read before they are asked for."""


def look_at(names: Sequence[str]) -> None:
    """Find out whether all files can be opened, before anything is read. Raises OSError, which names the file."""
    for name in names:
        if name != STDIN and not Path(name).is_fifo():  # whoever writes to a pipe must not see a reader that leaves
            Path(name).open("rb").close()


def values_in(file: BinaryIO, *, raw: bool) -> Iterator[bytes]:
    """The record values of one file. A newline ends a value, so the last one makes no empty value after it."""
    if raw:
        yield file.read()
    else:
        yield from (line.removesuffix(b"\n") for line in file)


async def read_ahead(names: Sequence[str], *, raw: bool) -> AsyncIterator[bytes]:
    """The values of all files. Raises OSError.

    A thread reads them that nobody waits for: when the caller is cancelled, it may still wait for a line of a terminal.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | OSError | None] = asyncio.Queue()
    room = threading.Semaphore(MAX_VALUES_AHEAD)

    def read() -> None:
        end: OSError | None = None
        with suppress(RuntimeError):  # the loop is closed: the caller has gone
            try:
                for name in names:
                    # Not `sys.stdin.buffer`: Python locks it at its end, and fails if a thread waits for a line of it.
                    with open(0, "rb", closefd=False) if name == STDIN else Path(name).open("rb") as file:
                        for value in values_in(file, raw=raw):
                            room.acquire()
                            loop.call_soon_threadsafe(queue.put_nowait, value)
            except OSError as error:
                end = error
            loop.call_soon_threadsafe(queue.put_nowait, end)

    threading.Thread(target=read, daemon=True, name="reads values").start()
    while (value := await queue.get()) is not None:
        if isinstance(value, OSError):
            raise value
        room.release()
        yield value
