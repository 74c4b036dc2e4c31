"""What keeps partitions from being read, one by one, and when each is tried again.

A fault of one partition says nothing about the others: a broker leads some of them and not all, a right belongs to a
topic. So each partition has its own obstacle and its own schedule: after 1, 2, 4 .. 60 seconds. An attempt is over when
the shell reports how it went: `Obstacles.meet` again, or `Obstacles.overcome`.
"""

import enum
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

MIN_RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 60.0

MAX_DOUBLINGS: Final = 16
"""Beyond it the wait is the longest one anyway; after days, the power itself would have no end."""

TOLD_FROM_ATTEMPT: Final = 3
"""A log line is written once so many consecutive attempts have failed: a leader that moves takes a second or two."""

Place = TypeVar("Place", bound=Hashable)


class Obstacle(enum.StrEnum):
    """Why a partition is not read. A closed list."""

    NO_LEADER = "no_leader"
    """No broker leads it, or its leader does not answer."""
    NOT_AUTHORISED = "not_authorised"
    TOPIC_MISSING = "topic_missing"
    READ_FAILED = "read_failed"
    """The brokers answer, and what they say of it or send of it cannot be used."""


@dataclass(frozen=True, slots=True)
class PartitionFault:
    """One failed attempt to read a partition, or to find out where to begin in it."""

    obstacle: Obstacle
    detail: str
    """For people; quotes no value of a record."""


@dataclass(slots=True)
class _Blocked:
    fault: PartitionFault
    failures: int
    due_at: float
    """When it is tried again, in monotonic seconds."""
    since: float
    """When the first attempt failed, in monotonic seconds."""
    is_tried: bool = False
    """Whether it is being tried now."""


class Obstacles(Generic[Place]):
    """The partitions of one integration that are not read, and why. Costs nothing while there are none."""

    def __init__(
        self, *, min_retry_seconds: float = MIN_RETRY_SECONDS, max_retry_seconds: float = MAX_RETRY_SECONDS
    ) -> None:
        """Begin with no obstacle; the arguments are the first and the longest wait before another attempt."""
        self._min_retry_seconds = min_retry_seconds
        self._max_retry_seconds = max_retry_seconds
        self._blocked: dict[Place, _Blocked] = {}

    def __len__(self) -> int:
        return len(self._blocked)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._blocked)

    def __contains__(self, place: object) -> bool:
        return place in self._blocked

    def fault(self, place: Place) -> PartitionFault | None:
        """Why a partition is not read; None: nothing keeps it."""
        blocked = self._blocked.get(place)
        return None if blocked is None else blocked.fault

    def since(self, place: Place) -> float | None:
        """Since when it is not read, in monotonic seconds; None: nothing keeps it."""
        blocked = self._blocked.get(place)
        return None if blocked is None else blocked.since

    def meet(self, place: Place, fault: PartitionFault, now: float) -> bool:
        """An attempt has failed; ``now`` in monotonic seconds.

        Returns:
            Whether it is to be told: not at once, since most faults are over before, and only once.
        """
        known = self._blocked.get(place)
        failures = 1 if known is None else known.failures + 1
        doublings = min(failures - 1, MAX_DOUBLINGS)
        wait = min(self._min_retry_seconds * 2.0**doublings, self._max_retry_seconds)
        self._blocked[place] = _Blocked(fault, failures, now + wait, now if known is None else known.since)
        return failures == TOLD_FROM_ATTEMPT

    def take_due(self, now: float) -> list[Place]:
        """The partitions to try now. Each is given once, until its attempt has failed again."""
        due = [place for place, blocked in self._blocked.items() if not blocked.is_tried and blocked.due_at <= now]
        for place in due:
            self._blocked[place].is_tried = True
        return due

    def shut(self) -> set[Place]:
        """The partitions that may not be read now; those that are being tried may."""
        return {place for place, blocked in self._blocked.items() if not blocked.is_tried}

    def tried(self) -> list[Place]:
        """The partitions that are being tried."""
        return [place for place, blocked in self._blocked.items() if blocked.is_tried]

    def overcome(self, place: Place) -> bool:
        """A partition is read again. Returns whether that is to be told, because its obstacle was."""
        blocked = self._blocked.pop(place, None)
        return blocked is not None and blocked.failures >= TOLD_FROM_ATTEMPT

    def forget(self, place: Place) -> None:
        """A partition is no longer ours."""
        self._blocked.pop(place, None)

    def clear(self) -> None:
        """Other partitions are ours now; all of them are tried."""
        self._blocked.clear()
