"""The oracle over commits: was every position, and every statement beside one, true when it was stored? Pure.

The oracle of ``tests/service`` compares what went in with what came out at the end. This one holds the history against
it: four logs, written by three programs that know nothing of each other (the records and dead letters in Kafka, the
commits in Kafka, the calls that the sandbox received), with the times of one machine's clock.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import orjson

from streamer.core.model import DeadLetterReason, Filtered, Record
from streamer.core.records import statement as statements
from streamer.core.records.statement import Statement
from tests.faults.history import Commit
from tests.service.oracle import Evidence, Place, source_of

CLOCK_SLACK_MS: Final = 5.0
"""The broker writes whole milliseconds, and reads the clock on its own."""

KILL_SLACK_SECONDS: Final = 1.0
"""How long the sandbox may take to read what a process had sent before it was killed."""

MAX_SHOWN: Final = 20
"""Most violations of one kind that are spelt out."""

Partition = tuple[str, int]
Key = TypeVar("Key")


class Reception(NamedTuple):
    """One call that the sandbox received."""

    at: float
    """Seconds since the epoch."""
    message_id: str
    is_taken: bool
    """Published, or found to be a duplicate of one that was; not refused and not swallowed."""
    is_answered: bool
    """Whether the sender was given a whole answer, and so can know."""


class KillCost(NamedTuple):
    """What one kill cost."""

    at: float
    resent: int
    """Calls taken again because of it."""
    uncovered: int
    """Calls taken before it that no commit covered: in flight, or delivered since. No others may be sent again."""


@dataclass(slots=True, kw_only=True)
class History:
    """One integration's runs, as others have recorded them."""

    evidence: Evidence
    commits: Sequence[Commit]
    """Of its group, in the order in which the broker stored them."""
    receptions: Sequence[Reception]
    """In the order in which the sandbox received them."""
    kills: Sequence[float] | None = None
    """When processes were killed, in seconds since the epoch; None: other things happened too, after which a call may
    be sent again though a commit covers it (an instance that was frozen goes on with what it had)."""


def read_receptions(path: Path) -> list[Reception]:
    """The record file of the sandbox; a line that is being written is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [
        Reception(
            line["time"], line["messageId"], line["verdict"] in {"accepted", "duplicate"}, line["status"] is not None
        )
        for line in map(orjson.loads, lines)
    ]


def verify_history(history: History) -> list[str]:
    """Every promise that was broken at some moment; empty when there was none.

    - Every record is delivered, dead-lettered, or resolved as duplicate or filtered by the rule that says so.
    - Whatever a commit claims had happened when it was stored: the end of each record below the position, and of each
      one that the metadata declares settled.
    - What a stored commit covers is not sent again after a kill, unless nobody could know that it had been taken.
    """
    settled_at = _settled_at(history)
    found = [f"{place} never came to an end" for place, at in settled_at.items() if at is None]
    found = _shortened(found)
    covered, untrue = _follow(history, settled_at)
    found += _shortened(untrue)
    if history.kills is not None:
        found += _shortened(_sent_without_need(history, covered))
    return found


def sent_long_after_commit(history: History, seconds: float) -> list[str]:
    """Calls that were taken although commits covered all their records so long before.

    An instance that was frozen goes on with what it had, until it hears that others have finished it. That takes
    seconds; what is sent again later was read again, although it was known to have ended.
    """
    covered, _ = _follow(history, _settled_at(history))
    return _shortened(
        [
            f"{reception.message_id} was sent again more than {seconds:g} s after a commit covered it"
            for reception in history.receptions
            if reception.is_taken and covered.covers(reception.message_id, reception.at - seconds)
        ]
    )


def costs_of_kills(history: History) -> list[KillCost]:
    """What each kill cost, in calls."""
    covered, _ = _follow(history, _settled_at(history))
    kills = sorted(history.kills or ())
    resent = Counter(kill for _, kill in _repeats(history, covered) if kill is not None)
    first_taken = _first((reception.message_id, reception.at) for reception in history.receptions if reception.is_taken)
    return [
        KillCost(
            kill,
            resent[kill],
            sum(at <= kill and not covered.covers(message_id, kill) for message_id, at in first_taken.items()),
        )
        for kill in kills
    ]


@dataclass(slots=True)
class _Coverage:
    """Since when each record is covered by a stored commit, by the call it became."""

    since_ms: dict[Place, int] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def covers(self, message_id: str, at: float) -> bool:
        """Whether at that moment no record with this messageId was to be read again."""
        return all(self.since_ms.get(place, float("inf")) <= at * 1000 for place in self.places[message_id])


def _settled_at(history: History) -> dict[Place, float | None]:
    """When each record had its end, in ms since the epoch: 0, always; None, never."""
    evidence = history.evidence
    delivered = _first(
        (reception.message_id, reception.at * 1000)
        for reception in history.receptions
        if reception.is_taken and reception.is_answered
    )
    set_aside = _first((source_of(letter), float(letter.timestamp)) for letter in evidence.dead_letters)
    return {
        _place(record): _end_of(evidence.fate_of(record), delivered, set_aside.get(_place(record)))
        for record in evidence.records
    }


def _end_of(fate: object, delivered: Mapping[str, float], set_aside: float | None) -> float | None:
    if isinstance(fate, Filtered):
        return 0.0
    sent = delivered.get(fate) if isinstance(fate, str) and not isinstance(fate, DeadLetterReason) else None
    return min((at for at in (sent, set_aside) if at is not None), default=None)


def _follow(history: History, settled_at: Mapping[Place, float | None]) -> tuple[_Coverage, list[str]]:
    """Go through the commits in order, and look at each record when the first one claims that it has ended."""
    coverage, untrue = _Coverage(), list[str]()
    unclaimed: dict[Partition, dict[int, None]] = defaultdict(dict)
    for record in sorted(history.evidence.records, key=_place):
        fate = history.evidence.fate_of(record)
        unclaimed[record.topic, record.partition][record.offset] = None
        if isinstance(fate, str) and not isinstance(fate, DeadLetterReason):
            coverage.places[fate].append(_place(record))
    for commit in history.commits:
        statement = statements.decode(commit.metadata, commit.offset)
        if statement is None and statements.is_ours(commit.metadata):
            untrue.append(f"the metadata stored with {commit.topic} {commit.partition} at {commit.offset} is damaged")
        waiting = unclaimed[commit.topic, commit.partition]
        for offset in list(_claimed(waiting, commit.offset, statement)):
            place = (commit.topic, commit.partition, offset)
            del waiting[offset]
            coverage.since_ms[place] = commit.at_ms
            if (at := settled_at[place]) is None or at > commit.at_ms + CLOCK_SLACK_MS:
                untrue.append(_told(place, commit, at))
    return coverage, untrue


def _claimed(offsets: Iterable[int], committed: int, statement: Statement | None) -> Iterator[int]:
    """Of the offsets, ascending, those that a commit claims to have ended."""
    horizon = max(committed, statement.horizon if statement is not None else 0)
    for offset in offsets:
        if offset >= horizon:
            return
        if offset < committed or (statement is not None and statement.is_settled(offset)):
            yield offset


def _told(place: Place, commit: Commit, at: float | None) -> str:
    how = f"below the position {commit.offset}" if place[2] < commit.offset else "declared settled by the metadata"
    when = "it never ended" if at is None else f"it ended {at - commit.at_ms:.0f} ms later"
    return f"{place} was {how} when that was stored: {when}"


def _sent_without_need(history: History, covered: _Coverage) -> list[str]:
    return [
        f"{reception.message_id} was sent again though a commit covered it before the last kill"
        for reception, kill in _repeats(history, covered)
        if kill is None
    ]


def _repeats(history: History, covered: _Coverage) -> Iterator[tuple[Reception, float | None]]:
    """Calls taken again after an answer, each with the kill that made it necessary."""
    kills = sorted(history.kills or ())
    latest: dict[str, Reception] = {}
    for reception in history.receptions:
        if not reception.is_taken:
            continue
        before = latest.get(reception.message_id)
        latest[reception.message_id] = reception
        if before is None or not before.is_answered:
            continue
        since = bisect_right(kills, before.at - KILL_SLACK_SECONDS)
        until = bisect_right(kills, reception.at)
        causes = (kill for kill in reversed(kills[since:until]) if not covered.covers(reception.message_id, kill))
        yield reception, next(causes, None)


def _first(moments: Iterable[tuple[Key, float]]) -> dict[Key, float]:
    """The earliest moment of each key."""
    earliest: dict[Key, float] = {}
    for key, at in moments:
        earliest[key] = min(at, earliest.get(key, at))
    return earliest


def _shortened(found: Sequence[str]) -> list[str]:
    rest = len(found) - MAX_SHOWN
    return [*found[:MAX_SHOWN], *([f"and {rest} more like these"] if rest > 0 else [])]


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset
