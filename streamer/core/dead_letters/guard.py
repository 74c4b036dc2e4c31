"""The mass guard: a wrong dialect or a bad deployment must not empty a topic into its dead letters.

One guard watches one stage. Records are mapped as fast as they are read and delivered much later, so in a window for
both, what the destination refuses of a long backlog would follow each other without anything that passed in between.
"""

import itertools
from collections import deque
from typing import Final

WINDOW: Final = 200
"""Verdicts looked back upon."""

MIN_REFUSED: Final = 20
"""Refused records within the window below which the guard never trips, whatever the ratio."""


class MassGuard:
    """Watches the share of an integration's records that one stage refuses."""

    def __init__(self, max_ratio: float) -> None:
        """Begin with an empty window; ``max_ratio`` in (0, 1]: 1 switches the guard off."""
        self._max_ratio = max_ratio
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._refused = 0

    @property
    def refused(self) -> int:
        """Refused records among the last `WINDOW`."""
        return self._refused

    @property
    def seen(self) -> int:
        """How many verdicts the window holds."""
        return len(self._window)

    def passed(self, records: int) -> None:
        """Note records that were mapped, or calls that were delivered."""
        if records >= WINDOW:
            self._window.extend(itertools.repeat(False, WINDOW))
            self._refused = 0
            return
        for _ in range(records):
            self._note(is_refused=False)

    def refuse(self, records: int = 1) -> None:
        """Note records about to be dead-lettered."""
        for _ in range(min(records, WINDOW)):
            self._note(is_refused=True)

    @property
    def is_tripped(self) -> bool:
        """Whether so many of the last records were refused that the fault is not theirs."""
        return self._refused >= MIN_REFUSED and self._refused > self._max_ratio * len(self._window)

    def _note(self, *, is_refused: bool) -> None:
        if len(self._window) == WINDOW and self._window[0]:
            self._refused -= 1
        self._window.append(is_refused)
        self._refused += is_refused
