"""Several instances as one picture. Rates come from two looks at the same process; counts of instances are added.

Where instances differ, the most urgent counts: the worst state, the longest wait. A sum is not known if a part of it
is not.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from streamer.core.watching.look import Look, Seen, SeenDestination, SeenIntegration

MINUTE: Final = 60.0

LEVELS: Final = ("well", "watch", "act")
"""Of verdicts, the most urgent last."""

STATES: Final = (
    "ok",
    "running",
    "draining",
    "paused",
    "starting",
    "backing_off",
    "restarting",
    "guarded",
    "held",
)
"""Of integrations and destinations, the most urgent last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationRow:
    """An integration over all instances; rates None: not known yet."""

    name: str
    state: str
    reason: str
    since: float | None
    """In seconds since the epoch."""
    in_per_second: float | None
    out_per_second: float | None
    lag: int | None
    lag_seconds: float | None
    eta_seconds: float | None
    limited_by: str
    parked: int
    dead_letters_per_minute: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """A destination over all instances, each of which has its own state and limit of it."""

    name: str
    state: str
    reason: str
    since: float | None
    answers_per_second: Mapping[str, float] | None
    """By class: 2xx .. 5xx, and fault for those of the network."""
    p50_seconds: float | None
    p99_seconds: float | None
    in_flight: int
    limit: int
    next_probe_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """One instance."""

    address: str
    name: str
    """As it calls itself; the address if it does not answer."""
    version: str
    level: str
    """Of its verdict; "" if it does not answer."""
    started_at: float | None
    partitions: int
    error: str
    """Why it does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything at one moment."""

    level: str
    headline: str
    integrations: Sequence[IntegrationRow]
    destinations: Sequence[DestinationRow]
    instances: Sequence[InstanceRow]

    @property
    def is_answered(self) -> bool:
        """Whether any instance has answered."""
        return any(not instance.error for instance in self.instances)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two looks at one process."""

    now: Seen
    before: Seen | None
    """None: there is none, or it was another process."""

    def rate(self, count: Callable[[Seen], int]) -> float | None:
        """By how much a count grew a second."""
        if self.before is None:
            return None
        return max(count(self.now) - count(self.before), 0) / (self.now.at - self.before.at)


def board_of(before: Sequence[Look], now: Sequence[Look]) -> Board:
    """Combine the looks at all instances.

    Args:
        before: earlier looks, some seconds ago; may be empty.
        now: the latest ones, one for each instance.
    """
    earlier = {look.address: look.seen for look in before}
    pairs = [_pair(look.seen, earlier.get(look.address)) for look in now if look.seen is not None]
    level, headline = _verdict(now)
    return Board(
        level=level,
        headline=headline,
        integrations=[
            _integration(name, [pair for pair in pairs if _integration_in(pair.now, name)])
            for name in _names(one.name for pair in pairs for one in pair.now.integrations)
        ],
        destinations=[
            _destination(name, [pair for pair in pairs if _destination_in(pair.now, name)])
            for name in _names(one.name for pair in pairs for one in pair.now.destinations)
        ],
        instances=[_instance(look) for look in now],
    )


def _pair(now: Seen, before: Seen | None) -> _Pair:
    if before is None or before.started_at != now.started_at or before.at >= now.at:
        return _Pair(now, None)
    return _Pair(now, before)


def _verdict(looks: Sequence[Look]) -> tuple[str, str]:
    """In a line: the most urgent one of all instances, and how many do not answer."""
    seen = [look.seen for look in looks if look.seen is not None]
    if not seen:
        return "act", "No instance answers. Whether events are delivered is not known."
    worst = max(seen, key=lambda one: _urgency(LEVELS, one.level))
    level, headline = worst.level, worst.headline
    if level != "well" and len(looks) > 1:
        headline = f"{worst.instance}: {headline}"
    silent = len(looks) - len(seen)
    if silent:
        level = max(level, "watch", key=lambda each: _urgency(LEVELS, each))
        does = "does" if silent == 1 else "do"
        headline = f"{silent} of {len(looks)} instances {does} not answer. From the others: {headline}"
    return level, headline


def _integration(name: str, pairs: Sequence[_Pair]) -> IntegrationRow:
    seen = [_found(_integration_in(pair.now, name)) for pair in pairs]
    worst = max(seen, key=lambda one: _urgency(STATES, one.state))

    def rate(count: Callable[[SeenIntegration], int]) -> float | None:
        return _sum_of_known(
            pair.rate(lambda one: 0 if (found := _integration_in(one, name)) is None else count(found))
            for pair in pairs
        )

    letters = rate(lambda one: one.dead_lettered)
    return IntegrationRow(
        name=name,
        state=worst.state,
        reason=worst.reason,
        since=worst.since,
        in_per_second=rate(lambda one: one.consumed),
        out_per_second=rate(lambda one: one.settled),
        lag=_sum_if_known([one.lag for one in seen]),
        lag_seconds=_longest_if_known([one.lag_seconds for one in seen]),
        eta_seconds=max((one.eta_seconds for one in seen if one.eta_seconds is not None), default=None),
        limited_by=", ".join(_names(one.limited_by for one in seen if one.limited_by)),
        parked=sum(one.parked for one in seen),
        dead_letters_per_minute=None if letters is None else letters * MINUTE,
    )


def _destination(name: str, pairs: Sequence[_Pair]) -> DestinationRow:
    seen = [_found(_destination_in(pair.now, name)) for pair in pairs]
    worst = max(seen, key=lambda one: _urgency(STATES, one.state))
    return DestinationRow(
        name=name,
        state=worst.state,
        reason=worst.reason,
        since=worst.since,
        answers_per_second=_answers(name, pairs),
        p50_seconds=max((one.p50_seconds for one in seen if one.p50_seconds is not None), default=None),
        p99_seconds=max((one.p99_seconds for one in seen if one.p99_seconds is not None), default=None),
        in_flight=sum(one.in_flight for one in seen),
        limit=sum(one.limit for one in seen),
        next_probe_at=min((one.next_probe_at for one in seen if one.next_probe_at is not None), default=None),
    )


def _answers(name: str, pairs: Sequence[_Pair]) -> Mapping[str, float] | None:
    """Answers a second, by class; those classes that have occurred since the start."""
    sums: defaultdict[str, float] = defaultdict(float)
    known = [pair for pair in pairs if pair.before is not None]
    for pair in known:
        for kind in _by_class(pair.now, name):
            sums[kind] += pair.rate(lambda one: _by_class(one, name)[kind]) or 0.0  # noqa: B023 - called at once
    return dict(sorted(sums.items())) if known else None


def _by_class(seen: Seen, name: str) -> Counter[str]:
    destination = _destination_in(seen, name)
    classes: Counter[str] = Counter()
    for answer, count in ({} if destination is None else destination.requests).items():
        classes[f"{answer[0]}xx" if answer.isdecimal() else "fault"] += count
    return classes


def _instance(look: Look) -> InstanceRow:
    seen = look.seen
    return InstanceRow(
        address=look.address,
        name=look.address if seen is None else seen.instance,
        version="" if seen is None else seen.version,
        level="" if seen is None else seen.level,
        started_at=None if seen is None else seen.started_at,
        partitions=0 if seen is None else seen.partitions,
        error=look.error,
    )


def _integration_in(seen: Seen, name: str) -> SeenIntegration | None:
    return next((one for one in seen.integrations if one.name == name), None)


def _destination_in(seen: Seen, name: str) -> SeenDestination | None:
    return next((one for one in seen.destinations if one.name == name), None)


_One = TypeVar("_One")


def _found(one: _One | None) -> _One:
    assert one is not None, "it was looked for before"
    return one


def _names(names: Iterable[str]) -> list[str]:
    """Each once, in the order of the first occurrence."""
    return list(dict.fromkeys(names))


def _urgency(order: Sequence[str], word: str) -> int:
    """A word of a newer version is more urgent than all that we know."""
    return order.index(word) if word in order else len(order)


def _sum_of_known(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _sum_if_known(numbers: Sequence[int | None]) -> int | None:
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _longest_if_known(numbers: Sequence[float | None]) -> float | None:
    return None if None in numbers else max((number for number in numbers if number is not None), default=0.0)
