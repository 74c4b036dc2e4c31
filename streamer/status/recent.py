"""A histogram of the last minutes: who looks once wants these, and cannot take the difference of two looks."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from streamer.status.histogram import Histogram

SLICE_SECONDS: Final = 60.0
MAX_SLICES: Final = 5
"""Slices that are looked at; the newest one has only begun. So a value counts for 4 to 5 minutes."""


class RecentHistogram:
    """Forgets values slice by slice. Adding one costs a look at the clock more than a `Histogram` does."""

    def __init__(self, bounds: tuple[float, ...], clock: Callable[[], float] = time.monotonic) -> None:
        """``bounds`` as for `Histogram`; ``clock`` in seconds, from any beginning."""
        self._bounds = bounds
        self._clock = clock
        self._slices: deque[tuple[int, Histogram]] = deque(maxlen=MAX_SLICES)

    def observe(self, value: float) -> None:
        """Add a value now."""
        number = self._number_now()
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, Histogram(self._bounds)))
        self._slices[-1][1].observe(value)

    def lately(self) -> Histogram:
        """The values of the last minutes."""
        oldest = self._number_now() - MAX_SLICES + 1
        sum_ = Histogram(self._bounds)
        for number, histogram in self._slices:
            if number >= oldest:
                sum_.include(histogram)
        return sum_

    def _number_now(self) -> int:
        return int(self._clock() // SLICE_SECONDS)
