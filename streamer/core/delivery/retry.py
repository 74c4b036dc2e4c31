"""When the calls of a batch that was charged an attempt go again, and how many of them together.

One event to which the destination always answers 500 fails every batch that it is in. So a batch does not go again as
it was: it is divided at each retry, such that after the quick retries, some 20 seconds by default, every event travels
alone. From then on the bad one waits by itself, and its neighbours are delivered.
"""

import math
from dataclasses import dataclass
from typing import Final

_MIN_DIVISOR: Final = 4
_JITTER_SHARE: Final = 0.1
"""A wait is up to this share shorter or longer than the documented one."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The calls go again after ``wait_seconds``, in groups of at most ``group_size`` calls."""

    wait_seconds: float
    group_size: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between charged attempts, in seconds: first the quick ones, for a blip, then the long schedule.

    An event has one attempt more than there are waits. Attempts that were not charged to it do not count.
    """

    quick: tuple[float, ...]
    schedule: tuple[float, ...]

    def wait_seconds(self, attempts: int, jitter: float) -> float | None:
        """Seconds from the last of ``attempts`` charged attempts to the next; None when there is no next one.

        Args:
            attempts: charged attempts so far, at least 1.
            jitter: a draw from [0, 1), made by the caller; the wait is 90 % to 110 % of the documented one.
        """
        assert attempts >= 1, f"no wait follows {attempts} attempts"
        waits = self.quick + self.schedule
        return _jittered(waits[attempts - 1], jitter) if attempts <= len(waits) else None

    def group_size(self, size: int, attempts: int) -> int:
        """How many calls travel together after ``attempts`` charged attempts, the last of them with ``size`` calls.

        At most a quarter, and at least 1. Fewer where the quick retries left need it to come down to 1 in equal steps:
        a batch of 1,000 goes on in groups of 100, of 10, and alone. Past the quick retries every event is alone.
        """
        quick_left = len(self.quick) - attempts + 1
        if quick_left < 1:
            return 1
        divisor = max(_MIN_DIVISOR, math.ceil(math.pow(size, 1 / quick_left)))
        return max(1, size // divisor)

    def after_failure(self, size: int, attempts: int, jitter: float) -> Retry | None:
        """What follows the last of ``attempts`` charged attempts, made with ``size`` calls in the batch.

        None means that the retries are exhausted. That is said only of an event that was alone in its last attempt: one
        that had company when its waits ran out goes once more, alone, after the shortest of the waits.
        """
        wait = self.wait_seconds(attempts, jitter)
        if wait is not None:
            return Retry(wait, self.group_size(size, attempts))
        if size == 1:
            return None
        return Retry(_jittered(min(self.quick + self.schedule, default=0.0), jitter), 1)


def _jittered(seconds: float, jitter: float) -> float:
    return seconds * (1 - _JITTER_SHARE + 2 * _JITTER_SHARE * jitter)
