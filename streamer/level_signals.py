"""SIGUSR1 and SIGUSR2: write all log lines, and write again those that the configuration asks for.

The default action of both kills a process. So `streamer.__main__` catches them before anything slow is imported, and
this module imports next to nothing. The last one that came early is passed on to the service as soon as there is one.
"""

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGUSR1, SIGUSR2, signal
from typing import Final


class Wish(enum.Enum):
    """What a signal asks for."""

    DEBUG = SIGUSR1
    CONFIGURED = SIGUSR2


class LevelSignals:
    """Passes the wishes on."""

    def __init__(self) -> None:
        self._last: Wish | None = None
        self._tell: Callable[[Wish], object] | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While the context lasts, the signals do not kill the process."""
        self._last = None
        before = [(wish.value, signal(wish.value, self._on_signal)) for wish in Wish]
        try:
            yield
        finally:
            for number, handler in before:
                signal(number, handler)

    @contextmanager
    def passed_to(self, tell: Callable[[Wish], object]) -> Iterator[None]:
        """While the context lasts, call ``tell`` at each signal, and now if one has come already.

        It is called in the middle of whatever runs, a log line half written included. So it should do no more than
        wake something up.
        """
        self._tell = tell
        if self._last is not None:
            tell(self._last)
        try:
            yield
        finally:
            self._tell = None

    def _on_signal(self, number: int, _frame: object) -> None:
        self._last = Wish(number)
        if self._tell is not None:
            self._tell(self._last)


LEVEL_SIGNALS: Final = LevelSignals()
"""The process has one set of signals."""
