"""SIGHUP: read the configuration again.

The default action kills a process. So `streamer.__main__` catches the signal before anything slow is imported, and this
module imports next to nothing. One that came early is passed on to the service as soon as there is one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGHUP, signal
from typing import Final


class ReloadSignal:
    """Passes the wish on."""

    def __init__(self) -> None:
        self._came_early = False
        self._tell: Callable[[], object] | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While the context lasts, the signal does not kill the process."""
        self._came_early = False
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
        if self._tell is None:
            self._came_early = True
        else:
            self._tell()


RELOAD_SIGNAL: Final = ReloadSignal()
"""The process has one set of signals."""
