"""When the lag will be worked off, at the rate of the last minute."""

from collections import deque
from collections.abc import Mapping
from typing import Final

SAMPLE_SECONDS: Final = 5.0
MAX_SAMPLES: Final = 13
"""Samples that are kept: they span a minute."""


class Drain:
    """Follows how many records of each topic have been settled. ``now`` is seconds from any beginning."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=MAX_SAMPLES)

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next `note`."""
        return not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS

    def note(self, settled: Mapping[str, int], now: float) -> None:
        """Take a sample: records settled since the start, by topic."""
        self._samples.append((now, settled))

    def seconds(self, lags: Mapping[str, int | None]) -> dict[str, float]:
        """Seconds until the lag of each topic is worked off; 0 where nothing waits.

        Args:
            lags: records that wait, by topic; None: not known.

        Returns:
            Without the topics of which that cannot be said: the lag is unknown, or nothing was settled.
        """
        found = {topic: 0.0 for topic, lag in lags.items() if lag == 0}
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate needs two samples
            return found
        (began, before), (ended, after) = self._samples[0], self._samples[-1]
        for topic, lag in lags.items():
            settled = after.get(topic, 0) - before.get(topic, 0)
            if lag and settled > 0:
                found[topic] = lag * (ended - began) / settled
        return found
