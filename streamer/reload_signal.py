"""SIGHUP: read the configuration again.

A terminal that is closed sends it, too, and then means the end of what was started there. The default action kills a
process. So `streamer.__main__` catches the signal before anything slow is imported, and this module imports next to
nothing. One that came early is passed on to the service as soon as there is one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from signal import SIGHUP, SIGTERM, signal
from typing import Final


class ReloadSignal:
    """Passes the wish on."""

    def __init__(self) -> None:
        self._came_early = False
        self._tell: Callable[[], object] | None = None
        self._terminals: Sequence[int] = ()

    @contextmanager
    def caught(self, descriptors: Sequence[int] = (0, 1, 2)) -> Iterator[None]:
        """While the context lasts, the signal does not kill the process.

        Args:
            descriptors: file descriptors that may be of a terminal. Once none of them is any more, the signal is passed
                on as SIGTERM.
        """
        self._came_early = False
        self._terminals = [descriptor for descriptor in descriptors if os.isatty(descriptor)]
        before = signal(SIGHUP, self._on_signal)
        try:
            yield
        finally:
            signal(SIGHUP, before)

    @contextmanager
    def passed_to(self, tell: Callable[[], object]) -> Iterator[None]:
        """While the context lasts, call ``tell`` at each signal, and now if one has come already.

        It is called in the middle of whatever runs, so it should do no more than wake something up.
        """
        self._tell = tell
        if self._came_early:
            tell()
        try:
            yield
        finally:
            self._tell = None

    def _on_signal(self, _number: int, _frame: object) -> None:
        if self._terminals and not any(map(os.isatty, self._terminals)):
            os.kill(os.getpid(), SIGTERM)
        elif self._tell is None:
            self._came_early = True
        else:
            self._tell()


RELOAD_SIGNAL: Final = ReloadSignal()
"""The process has one set of signals."""
