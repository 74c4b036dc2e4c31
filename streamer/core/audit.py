"""Judges from outside whether every record of a range has come to a recorded end.

What a running streamer counts itself is not used. Each record is judged by what others can see of it:

    dead letter with the record's coordinates           dead_lettered
    receipt of its messageId, from its own place        delivered
    settled, and the mapping filters it                 filtered
    settled, and a receipt from another place           duplicate
    not settled, and stated as open by the commit       open
    not settled                                         waiting
    settled, and none of these                          unaccounted; not_provable if the proof may have been deleted

A record is *settled* when the group's stored position is behind it, or when the metadata stored with the position says
so. Positions must be read before receipts and dead letters, and these before the records: whatever was settled by then
had its proof by then.
"""

import enum
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records.statement import Statement


class End(enum.StrEnum):
    """What is known of one record. The list is complete."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    DEAD_LETTERED = "dead_lettered"
    OPEN = "open"
    """Read, and not settled when the position was stored."""
    WAITING = "waiting"
    """Not read yet, or read after the position was stored."""
    NOT_PROVABLE = "not_provable"
    """Settled, and what would prove its outcome may have been deleted."""
    UNACCOUNTED = "unaccounted"
    """Settled without an outcome that can be seen."""


class Doubt(enum.StrEnum):
    """Why an outcome cannot be proved. The list is complete."""

    NO_RECEIPTS = "records of this integration have no receipts: the newest record of each key replaces the others"
    RECEIPTS_GONE = "no receipts of their time are known"
    LETTERS_GONE = "the dead letters of their time have been deleted"
    BEFORE_START = "the group may have begun behind them (see start)"


Partition = tuple[str, int]
"""Topic and number."""

Place = tuple[str, int, int]
"""Topic, partition and offset."""

Fate = bytes | FilterReason | DeadLetterReason
"""What the mapping makes of a record: a call, given as the digest of its messageId; or nothing, and why."""


class Stored(NamedTuple):
    """What a consumer group has stored for one partition."""

    position: int | None
    """None: nothing."""
    statement: Statement | None = None
    """What the metadata states; None: it is not streamer's, or damaged."""

    def is_settled(self, offset: int) -> bool:
        """Whether the record had its outcome when this was stored."""
        if self.position is None:
            return False
        return offset < self.position or (self.statement is not None and self.statement.is_settled(offset))

    def is_open(self, offset: int) -> bool:
        """Whether the record was read and not settled when this was stored."""
        return self.statement is not None and any(
            run.first <= offset < run.end for run in self.statement.open_from(offset)
        )

    def deleted_unread(self, log_start: int) -> list[range]:
        """The offsets that were not settled and are not there any more: retention has deleted them."""
        if self.position is None or self.position >= log_start:
            return []
        horizon = self.position if self.statement is None else max(self.statement.horizon, self.position)
        runs = [] if self.statement is None else list(self.statement.open_from(self.position))
        spans = [*((run.first, run.end) for run in runs), (horizon, log_start)]
        return [range(first, min(end, log_start)) for first, end in spans if first < min(end, log_start)]


NOTHING_STORED: Final = Stored(None)


@dataclass(slots=True)
class Evidence:
    """The receipts and dead letters of one integration. It takes about 200 bytes for each of them."""

    letters: set[Place] = field(default_factory=set)
    """The places of dead-lettered records."""
    delivered: dict[Partition, set[int]] = field(default_factory=dict)
    """The offsets of records that were delivered."""
    digests: set[bytes] = field(default_factory=set)
    """Of the messageIds that were delivered."""
    lowest: dict[Partition, int] = field(default_factory=dict)
    """The lowest offset that anything is known of."""

    def add_letter(self, place: Place) -> None:
        """A dead letter names this place."""
        self.letters.add(place)
        self._note(place[:2], place[2])

    def add_receipts(self, partition: Partition, offsets: Sequence[int], digests: Iterable[bytes]) -> None:
        """Records of a partition were delivered."""
        self.delivered.setdefault(partition, set()).update(offsets)
        self.digests.update(digests)
        self._note(partition, min(offsets))

    def _note(self, partition: Partition, offset: int) -> None:
        self.lowest[partition] = min(offset, self.lowest.get(partition, offset))


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Since when proofs must be there. Times are seconds since the epoch."""

    receipts_since: float = math.inf
    """Whatever was delivered since then has a receipt that is known; infinity: none is known for certain."""
    letters_since: float = -math.inf
    """Whatever was dead-lettered since then is still in the dead-letter topic."""
    has_receipts: bool = True
    """Whether the integration writes receipts."""
    starts_at: float = -math.inf
    """Records before this time were never for the group to read; infinity: it began at the end, whenever that was."""


class Auditor:
    """Judges the records of one integration."""

    def __init__(self, stored: Mapping[Partition, Stored], evidence: Evidence) -> None:
        """Prepare.

        Args:
            stored: by partition; read before the evidence.
            evidence: receipts and dead letters; may grow while records are judged.
        """
        self._stored = stored
        self._evidence = evidence

    def judge(self, place: Place, fate: Fate) -> End | None:
        """What is known of a record; None: it is settled, and nothing proves its outcome yet."""
        topic, partition, offset = place
        evidence = self._evidence
        if place in evidence.letters:
            return End.DEAD_LETTERED
        if isinstance(fate, bytes) and offset in evidence.delivered.get((topic, partition), ()):
            return End.DELIVERED
        stored = self._stored.get((topic, partition), NOTHING_STORED)
        if not stored.is_settled(offset):
            return End.OPEN if stored.is_open(offset) else End.WAITING
        if isinstance(fate, FilterReason):
            return End.FILTERED
        if isinstance(fate, bytes) and fate in evidence.digests:
            return End.DUPLICATE
        return None

    def doubt(self, place: Place, record_time: float, fate: Fate, known: Knowledge) -> Doubt | None:
        """Why the outcome of a settled record without proof may be in order all the same; None: it is unaccounted.

        A record is settled after the time that it carries, unless its producer's clock is ahead of the broker's.

        Args:
            place: of the record.
            record_time: seconds since the epoch.
            fate: what the mapping makes of it.
            known: since when proofs must be there.
        """
        topic, partition, offset = place
        if isinstance(fate, bytes) and not known.has_receipts:
            return Doubt.NO_RECEIPTS
        if record_time < known.starts_at and offset < self._evidence.lowest.get((topic, partition), offset + 1):
            return Doubt.BEFORE_START
        if isinstance(fate, bytes) and record_time < known.receipts_since:
            return Doubt.RECEIPTS_GONE
        return Doubt.LETTERS_GONE if record_time < known.letters_since else None


class Oldest(NamedTuple):
    """The oldest record of one partition of a topic that proofs are read from."""

    log_start: int
    """0: nothing was deleted yet."""
    time: float
    """Of the first record that is left, in seconds since the epoch; infinity: there is none."""


def complete_since(oldest: Iterable[Oldest], *, from_first: bool) -> float:
    """Since when everything that was written to a topic is there, in seconds since the epoch.

    Args:
        oldest: of each of its partitions.
        from_first: True: the topic has been written to only since its first record, as one of receipts that was
            switched on later. False: as long as nothing was deleted it has everything.
    """
    partitions = list(oldest)
    # What was deleted from an emptied partition was there until now, for all that can be known.
    deleted = max((one.time for one in partitions if one.log_start > 0), default=-math.inf)
    begun = min((one.time for one in partitions), default=math.inf) if from_first else -math.inf
    return max(deleted, begun)


class Unproved(NamedTuple):
    """One record that is settled and unaccounted."""

    place: Place
    message_id: str | None
    """None: the record has none that can be read."""
    record_time: float
    """Seconds since the epoch."""


class Tally:
    """The result for one integration."""

    def __init__(self) -> None:
        self.ends: dict[Partition, dict[End, int]] = {}
        self.doubts: dict[Doubt, int] = {}
        self.unaccounted: list[Unproved] = []

    def add(self, partition: Partition, end: End) -> None:
        """Count one record."""
        counts = self.ends.setdefault(partition, dict.fromkeys(End, 0))
        counts[end] += 1

    def add_unproved(self, unproved: Unproved, doubt: Doubt | None) -> None:
        """Count one record that nothing proves the outcome of."""
        topic, partition, _ = unproved.place
        self.add((topic, partition), End.UNACCOUNTED if doubt is None else End.NOT_PROVABLE)
        if doubt is None:
            self.unaccounted.append(unproved)
        else:
            self.doubts[doubt] = self.doubts.get(doubt, 0) + 1

    def rows(self) -> Iterator[tuple[Partition, Mapping[End, int]]]:
        """The counts of each partition, in order."""
        yield from sorted(self.ends.items())
