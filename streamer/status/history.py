"""The last 15 minutes of each integration and destination, in rings of a fixed size, for charts and the verdict.

Every point is the difference of two snapshots. Counters live as long as the process, whatever happens to partitions, so
a difference is never negative. A step that says nothing of its rates has no point: the process slept in it, the clock
was set, or a snapshot could not be filled in. Charts show a gap there.
"""

from collections import Counter, deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from streamer.core.records.account import Account
from streamer.status.histogram import Histogram

STEP_SECONDS: Final = 5.0
"""Time between two points."""

MAX_POINTS: Final = 180
"""Points that are kept: 15 minutes."""

MIN_STEP_SECONDS: Final = STEP_SECONDS / 2
MAX_STEP_SECONDS: Final = STEP_SECONDS * 3
"""A step outside of these says nothing of rates: the clock was set, or the process slept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationPoint:
    """One integration during one step. Rates are records a second."""

    at: float
    """End of the step, in seconds since the epoch."""
    consumed: float
    settled: float
    dead_lettered: float
    lag: int | None
    """None: not known."""
    lag_seconds: float | None
    dead_lettered_by: Mapping[str, float] = field(default_factory=dict)
    """By reason; only those that occurred."""
    seconds: float = STEP_SECONDS
    """Length of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationPoint:
    """One destination during one step. Rates are requests a second."""

    at: float
    """End of the step, in seconds since the epoch."""
    requests: float
    failed: float
    """Those not answered with a 2xx."""
    p50_seconds: float | None
    """At most; above the longest bound of the histogram it is that bound. None: no request ended in the step."""
    p99_seconds: float | None
    retried_by: Mapping[str, float] = field(default_factory=dict)
    """Requests whose calls are sent again, by HTTP status or network fault; only those that occurred."""
    seconds: float = STEP_SECONDS
    """Length of the step."""


class Partition(Protocol):
    """What of a snapshot's partition is looked at; the snapshot holds a history, so its types are not known here."""

    @property
    def account(self) -> Account: ...


class Consumer(Protocol):
    """What of a snapshot's consumer is looked at."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> Sequence[Partition]: ...
    @property
    def lag(self) -> int | None: ...
    def lag_seconds(self, now: float) -> float | None: ...


class Destination(Protocol):
    """What of a snapshot's destination is looked at."""

    @property
    def name(self) -> str: ...
    @property
    def requests(self) -> Counter[str]: ...
    @property
    def retries(self) -> Counter[str]: ...
    @property
    def request_seconds(self) -> Histogram: ...


class Snapshot(Protocol):
    """What is looked at; a `streamer.status.ServiceStatus` is one."""

    @property
    def consumers(self) -> Sequence[Consumer]: ...
    @property
    def destinations(self) -> Sequence[Destination]: ...


class _Point(Protocol):
    @property
    def at(self) -> float: ...


class _Counted(Protocol):
    """Counters at one moment."""

    @property
    def at(self) -> float: ...
    def numbers(self) -> Sequence[int]:
        """Those that must not have become less."""


@dataclass(frozen=True, slots=True)
class _Consumed:
    at: float
    consumed: int
    settled: int
    dead_lettered: Counter[str]
    lost: int

    def numbers(self) -> Sequence[int]:
        return self.consumed, self.settled, self.dead_lettered.total(), self.lost


@dataclass(frozen=True, slots=True)
class _Requested:
    at: float
    requests: int
    failed: int
    retries: Counter[str]
    seconds: Histogram

    def numbers(self) -> Sequence[int]:
        return self.requests, self.failed, self.retries.total(), self.seconds.count


Point = TypeVar("Point", bound=_Point)
Counted = TypeVar("Counted", bound=_Counted)


class _Ring(Generic[Point, Counted]):
    """The points of one integration or destination, and the counters that the next one begins with."""

    __slots__ = ("_earlier", "points")

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=MAX_POINTS)
        self._earlier: Counted | None = None

    def step(self, counted: Counted) -> tuple[Counted, float] | None:
        """What was counted at the beginning of the step that ends now, and its length; None: it says nothing."""
        earlier = self._earlier
        if earlier is None:
            self._earlier = counted
            return None
        if any(now < before for now, before in zip(counted.numbers(), earlier.numbers(), strict=True)):
            return None  # it could not be shown; the next step begins where this one did
        self._earlier = counted
        while self.points and self.points[-1].at >= counted.at:
            self.points.pop()  # the clock was set back
        seconds = counted.at - earlier.at
        return (earlier, seconds) if MIN_STEP_SECONDS <= seconds <= MAX_STEP_SECONDS else None


class History:
    """The points of everything that runs. Bounded by what the configuration has."""

    def __init__(self) -> None:
        self._integrations: dict[str, _Ring[IntegrationPoint, _Consumed]] = {}
        self._destinations: dict[str, _Ring[DestinationPoint, _Requested]] = {}
        self._lost: dict[str, int] = {}
        self.lost_at: dict[str, float] = {}
        """When the latest loss of records was seen, by integration, in seconds since the epoch."""

    @property
    def integrations(self) -> Mapping[str, Sequence[IntegrationPoint]]:
        """By name, that of the way back included; the oldest point first, at most `MAX_POINTS`."""
        return {name: list(ring.points) for name, ring in self._integrations.items()}

    @property
    def destinations(self) -> Mapping[str, Sequence[DestinationPoint]]:
        """By name; the oldest point first, at most `MAX_POINTS`."""
        return {name: list(ring.points) for name, ring in self._destinations.items()}

    def note(self, status: Snapshot, now: float) -> None:
        """Add the step that ends now; call it every `STEP_SECONDS`. What is not there any more is forgotten.

        Args:
            status: a snapshot of this moment.
            now: seconds since the epoch.
        """
        for consumer in status.consumers:
            self._note_integration(consumer, now)
        for destination in status.destinations:
            self._note_destination(destination, now)
        _keep(self._integrations, {consumer.name for consumer in status.consumers})
        _keep(self._destinations, {destination.name for destination in status.destinations})

    def _note_integration(self, consumer: Consumer, now: float) -> None:
        ring = self._integrations.setdefault(consumer.name, _Ring())
        counted = _consumed(consumer, now)
        if counted.lost > self._lost.get(consumer.name, 0):
            self._lost[consumer.name], self.lost_at[consumer.name] = counted.lost, now
        step = ring.step(counted)
        if step is None:
            return
        earlier, seconds = step
        letters = counted.dead_lettered - earlier.dead_lettered
        ring.points.append(
            IntegrationPoint(
                at=now,
                consumed=(counted.consumed - earlier.consumed) / seconds,
                settled=(counted.settled - earlier.settled) / seconds,
                dead_lettered=letters.total() / seconds,
                lag=consumer.lag,
                lag_seconds=consumer.lag_seconds(now),
                dead_lettered_by={reason: count / seconds for reason, count in letters.items()},
                seconds=seconds,
            )
        )

    def _note_destination(self, destination: Destination, now: float) -> None:
        ring = self._destinations.setdefault(destination.name, _Ring())
        counted = _requested(destination, now)
        step = ring.step(counted)
        if step is None:
            return
        earlier, seconds = step
        durations = counted.seconds.since(earlier.seconds)
        ring.points.append(
            DestinationPoint(
                at=now,
                requests=(counted.requests - earlier.requests) / seconds,
                failed=(counted.failed - earlier.failed) / seconds,
                p50_seconds=durations.quantile_at_most(0.5),
                p99_seconds=durations.quantile_at_most(0.99),
                retried_by={reason: count / seconds for reason, count in (counted.retries - earlier.retries).items()},
                seconds=seconds,
            )
        )


def _keep(rings: dict[str, Any], names: Container[str]) -> None:
    for name in [name for name in rings if name not in names]:
        del rings[name]


def _consumed(consumer: Consumer, now: float) -> _Consumed:
    letters: Counter[str] = Counter()
    for partition in consumer.partitions:
        letters.update({reason.value: count for reason, count in partition.account.dead_lettered.items()})
    return _Consumed(
        now,
        sum(partition.account.consumed for partition in consumer.partitions),
        sum(partition.account.settled for partition in consumer.partitions),
        letters,
        sum(partition.account.lost.total() for partition in consumer.partitions),
    )


def _requested(destination: Destination, now: float) -> _Requested:
    failed = sum(count for result, count in destination.requests.items() if not result.startswith("2"))
    return _Requested(
        now,
        destination.requests.total(),
        failed,
        Counter(destination.retries),
        destination.request_seconds.copy(),
    )
