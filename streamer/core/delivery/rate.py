"""At most so many calls a second, on the average."""

from typing import Final

BURST_SECONDS: Final = 1.0
"""What was not used of the last second may be used now."""


class CallRate:
    """The gate of a rate. Times are monotonic seconds.

    It opens when everything that was sent is paid for at ``per_second``; then one batch of any size may pass, and the
    next one waits for it. So within ``t`` seconds at most ``per_second * (t + BURST_SECONDS)`` calls pass, and a batch.

    Attributes:
        opens_at: when the next batch may pass.
    """

    __slots__ = ("_per_second", "opens_at")

    def __init__(self, per_second: float, now: float) -> None:
        """Open from ``now`` on."""
        self._per_second = per_second
        self.opens_at = now

    def spend(self, calls: int, now: float) -> None:
        """A batch of ``calls`` passes."""
        self.opens_at = max(self.opens_at, now - BURST_SECONDS) + calls / self._per_second
