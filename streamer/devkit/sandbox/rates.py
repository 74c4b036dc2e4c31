"""How many calls came in each of the last seconds, by what became of them."""

from collections import deque
from typing import Final, NamedTuple

WINDOW_SECONDS: Final = 60
"""How many seconds are remembered."""


class Tally(NamedTuple):
    """Numbers of calls, in the order of `record.Verdict`."""

    accepted: int = 0
    duplicates: int = 0
    swallowed: int = 0
    refused: int = 0


NONE: Final = Tally()


class Rates:
    """Counts of the last `WINDOW_SECONDS`; one entry for each second in which a call came."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW_SECONDS + 1)

    def note(self, now: float, tally: Tally) -> None:
        """Add the calls of one request. ``now``: seconds since the epoch."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, [0, 0, 0, 0]))
        counts = self._seconds[-1][1]
        for place, calls in enumerate(tally):
            counts[place] += calls

    def by_second(self, now: float) -> list[Tally]:
        """One tally for each of the last `WINDOW_SECONDS` seconds, oldest first, without the one that still runs."""
        known = {second: Tally(*counts) for second, counts in self._seconds}
        return [known.get(second, NONE) for second in range(int(now) - WINDOW_SECONDS, int(now))]
