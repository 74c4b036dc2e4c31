"""SIGTERM and SIGINT, from the first moment of the process to its last.

The default action of SIGTERM kills a process that has just begun, and the kernel keeps the signal from process 1 of a
container, which then runs until it is killed. So `streamer.__main__` catches both before anything slow is imported, and
this module imports next to nothing. A signal that came early is passed on to the service as soon as there is one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM, signal
from typing import Final

FORCED: Final = 143
"""Exit code when a second signal cut the drain short."""


class StopSignals:
    """Counts the signals that ask the process to end, and passes them on."""

    def __init__(self) -> None:
        self.count = 0
        """How many have come."""
        self._tell: Callable[[int], object] | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While the context lasts, a first signal is only counted, and a second one ends the process at once."""
        self.count = 0
        before = [(number, signal(number, self._on_signal)) for number in (SIGINT, SIGTERM)]
        try:
            yield
        finally:
            for number, handler in before:
                signal(number, handler)

    @contextmanager
    def passed_to(self, tell: Callable[[int], object]) -> Iterator[None]:
        """While the context lasts, call ``tell`` with the count at each signal, and now if one has come already.

        It is called in the middle of whatever runs, so it should do no more than wake something up.
        """
        self._tell = tell
        if self.count:
            tell(self.count)
        try:
            yield
        finally:
            self._tell = None

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.count += 1
        if self._tell is not None:
            self._tell(self.count)
        elif self.count > 1:
            os._exit(FORCED)


STOP_SIGNALS: Final = StopSignals()
"""The process has one set of signals."""
