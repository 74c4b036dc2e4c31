"""A limit of calls a second, on the average."""

from typing import Final

BURST_SECONDS: Final = 1.0
"""Calls that the rate allowed but nobody sent stay allowed for this long."""


class CallRate:
    """Says when the next batch may be sent. Times are monotonic seconds.

    One batch of any size may be sent at a time. The next one waits as long as the calls sent before take at
    ``per_second``. So within ``t`` seconds at most ``per_second * (t + BURST_SECONDS)`` calls are sent, plus one batch.

    Attributes:
        opens_at: when the next batch may be sent.
    """

    __slots__ = ("_per_second", "opens_at")

    def __init__(self, per_second: float, now: float) -> None:
        """The first batch may be sent ``now``."""
        self._per_second = per_second
        self.opens_at = now

    def spend(self, calls: int, now: float) -> None:
        """Count a batch of ``calls`` that is sent ``now``."""
        self.opens_at = max(self.opens_at, now - BURST_SECONDS) + calls / self._per_second
