"""A terminal whose whole window is drawn again and again, and is as it was before when the block ends.

The few control sequences that this takes are those of every terminal since xterm. A library would bring its own event
loop (curses) or four packages into each deployment (rich) for them.
"""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The alternate screen, without a cursor."""

_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_BEGIN_FRAME: Final = "\x1b[?2026h\x1b[H"
"""Terminals that know it show nothing of a frame before its end; others ignore it. Then the first column and row."""

_END_FRAME: Final = "\x1b[J\x1b[?2026l"
"""Remove what is below."""

_END_LINE: Final = "\x1b[K"
"""Remove the rest of the line; what stands there is written over, and never removed first, so nothing flickers."""


END: Final = ""
"""The key that is told when no more keys come, because the terminal is gone."""


class Screen:
    """The window of the terminal that is stdout; keys come from stdin, if that is a terminal, too."""

    def __init__(self, *, on_key: Callable[[str], None], on_resize: Callable[[], None]) -> None:
        """Prepare; use it with ``with``, inside of a running event loop.

        Args:
            on_key: called with each key.
            on_resize: called when the window has another size.
        """
        self._on_key = on_key
        self._on_resize = on_resize
        self._keys: tuple[int, list[Any]] | None = None
        """The terminal that keys come from, and how it was."""
        self._stop_key: Any = None

    def __enter__(self) -> Self:
        """Take the window."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._on_resize)
        self._stop_key = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z would leave the shell in our window
        if sys.stdin.isatty():
            descriptor = sys.stdin.fileno()
            self._keys = descriptor, termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor)
            loop.add_reader(descriptor, self._read_keys, descriptor)
        self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        loop = asyncio.get_running_loop()
        self._write(_LEAVE)
        if self._keys is not None:
            descriptor, attributes = self._keys
            loop.remove_reader(descriptor)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
        loop.remove_signal_handler(signal.SIGWINCH)
        signal.signal(signal.SIGTSTP, self._stop_key)

    def _read_keys(self, descriptor: int) -> None:
        keys = os.read(descriptor, 1_024).decode(errors="replace")
        for key in keys or (END,):
            self._on_key(key)

    @staticmethod
    def size() -> tuple[int, int]:
        """Columns and rows that may be used. The last column stays empty: terminals differ in what it does to lines."""
        try:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return 79, 24
        return max(columns - 1, 1), rows

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines, no more than fit, instead of what is there."""
        self._write(_BEGIN_FRAME + "\r\n".join(f"{line}{_END_LINE}" for line in lines) + _END_FRAME)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
