"""When the calls of a charged batch are sent again, and how many of them together.

If the destination always answers 500 to one event, every batch with this event fails. So a batch is divided at each
retry. After the quick retries, about 20 seconds by default, each event travels alone. From then on only the bad event
waits, and the others are delivered.
"""

import math
from dataclasses import dataclass
from typing import Final

_MIN_DIVISOR: Final = 4
_JITTER_SHARE: Final = 0.1
"""A wait is shorter or longer than the configured one by up to this share."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the calls again after ``wait_seconds``, in groups of at most ``group_size`` calls."""

    wait_seconds: float
    group_size: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between charged attempts, in seconds: first the quick ones for short faults, then the long schedule.

    An event has one attempt more than there are waits. Only attempts that were charged to it count.
    """

    quick: tuple[float, ...]
    schedule: tuple[float, ...]

    def wait_seconds(self, attempts: int, jitter: float) -> float | None:
        """Seconds to wait after the last of ``attempts`` charged attempts; None: there is no next attempt.

        Args:
            attempts: charged attempts so far, at least 1.
            jitter: a draw from [0, 1), made by the caller. The wait is 90 % to 110 % of the configured one.
        """
        assert attempts >= 1, f"no wait follows {attempts} attempts"
        waits = self.quick + self.schedule
        return _jittered(waits[attempts - 1], jitter) if attempts <= len(waits) else None

    def group_size(self, size: int, attempts: int) -> int:
        """How many calls travel together after ``attempts`` charged attempts, the last of them with ``size`` calls.

        At least 1, and at most a quarter of ``size``. Fewer if that is needed to come down to 1 in equal steps with the
        quick retries that are left: a batch of 1,000 continues in groups of 100, of 10, and alone. After the quick
        retries each event travels alone.
        """
        quick_left = len(self.quick) - attempts + 1
        if quick_left < 1:
            return 1
        divisor = max(_MIN_DIVISOR, math.ceil(math.pow(size, 1 / quick_left)))
        return max(1, size // divisor)

    def after_failure(self, size: int, attempts: int, jitter: float) -> Retry | None:
        """The retry after the last of ``attempts`` charged attempts, made with ``size`` calls in the batch.

        None: the retries are exhausted. That is true only of an event that was alone in its last attempt. If it
        travelled with others after its last wait, it is sent once more, alone, after the shortest of the waits.
        """
        wait = self.wait_seconds(attempts, jitter)
        if wait is not None:
            return Retry(wait, self.group_size(size, attempts))
        if size == 1:
            return None
        return Retry(_jittered(min(self.quick + self.schedule, default=0.0), jitter), 1)


def _jittered(seconds: float, jitter: float) -> float:
    return seconds * (1 - _JITTER_SHARE + 2 * _JITTER_SHARE * jitter)
