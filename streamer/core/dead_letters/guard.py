"""The mass guard: a wrong dialect or a bad deployment must not empty a topic into its dead letters.

One guard watches one stage. Records are mapped as fast as they are read, and delivered much later. In one window for
both stages, the refused calls of a long backlog would stand side by side, without the records that passed in between.
"""

import itertools
from collections import deque
from typing import Final

WINDOW: Final = 200
"""How many of the last records a guard looks at."""

MIN_BAD: Final = 20
"""With fewer bad records in the window the guard never trips, whatever the ratio."""


class MassGuard:
    """Watches the share of an integration's records that one stage sets aside."""

    def __init__(self, max_ratio: float) -> None:
        """Begin with an empty window; ``max_ratio`` in (0, 1]: 1 switches the guard off."""
        self._max_ratio = max_ratio
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._bad = 0

    @property
    def bad(self) -> int:
        """Records set aside among the last `WINDOW`."""
        return self._bad

    @property
    def seen(self) -> int:
        """How many records the window holds."""
        return len(self._window)

    def passed(self, records: int) -> None:
        """Note records that were mapped, or calls that were delivered."""
        if records >= WINDOW:
            self._window.extend(itertools.repeat(False, WINDOW))
            self._bad = 0
            return
        for _ in range(records):
            self._note(is_bad=False)

    def set_aside(self, records: int = 1) -> None:
        """Note records that are about to be dead-lettered."""
        for _ in range(min(records, WINDOW)):
            self._note(is_bad=True)

    @property
    def is_tripped(self) -> bool:
        """Whether so many of the last records were set aside that the fault cannot be theirs."""
        return self._bad >= MIN_BAD and self._bad > self._max_ratio * len(self._window)

    def _note(self, *, is_bad: bool) -> None:
        if len(self._window) == WINDOW and self._window[0]:
            self._bad -= 1
        self._window.append(is_bad)
        self._bad += is_bad
