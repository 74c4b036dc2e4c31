"""Redriving dead letters: which of the selected ones are redriven, and what is written for each."""

import enum
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.core.dead_letters.dead_letter import (
    OUR_HEADERS,
    REDRIVEN_FROM,
    REDRIVES,
    DeadLetter,
    Partition,
    place_of,
)
from streamer.core.dead_letters.stock import Entry
from streamer.core.model import Record
from streamer.core.records.own_headers import OWN_HEADERS


class Skip(enum.StrEnum):
    """Why a dead letter is not redriven although it was selected. A closed list."""

    OVER_LIMIT = "over_limit"
    """It was redriven as often as allowed, and became a dead letter each time."""
    NOT_READ = "not_read"
    """It would not be delivered: its integration does not read that topic, or discards its records."""
    TOMBSTONE = "tombstone"
    """There is nothing to deliver: the value of its record is null."""
    TOO_LARGE = "too_large"
    """The broker rejects records of this size in that topic."""
    NO_VALUE = "no_value"
    """The dead-letter topic did not take key and value of its record, so the dead letter does not have them."""
    REFUSED = "refused"
    """The broker refuses the record in that topic for good: its time, a missing key, or another rule."""
    UNCHANGED = "unchanged"
    """Its value in the file with corrections is the one that it has."""
    INVALID = "invalid"
    """Its corrected value would become a dead letter again."""


class Kind(NamedTuple):
    """What decides about the redrive of a dead letter: the same for many of them."""

    integration: str
    reason: str
    topic: str
    """The topic that its record was read from and is written back to."""
    redrives: int = 0
    is_tombstone: bool = False
    is_value_omitted: bool = False


def kind_of(_record: Record, letter: DeadLetter) -> Kind:
    """What a `Stock` of dead letters to be redriven has to know of each."""
    return Kind(
        letter.integration, letter.reason, letter.topic, letter.redrives, letter.is_tombstone, letter.is_value_omitted
    )


@dataclass(slots=True, kw_only=True)
class OutgoingRecord:
    """A record to be written. Its representation may end up in a log, so it shows nothing of its producer."""

    topic: str
    partition: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Sequence[tuple[str, bytes | None]] = field(repr=False)
    timestamp: int = -1
    """Milliseconds since the epoch; -1: the time of writing."""
    offset: int = -1
    """-1: not known before the record is written."""


def is_of_dead_letter(name: str) -> bool:
    """Whether a header is about a dead letter or its redrive, and not of the record: a redrive leaves it out."""
    return name.startswith(OUR_HEADERS) and name not in OWN_HEADERS


def redriven_record(record: Record, letter: DeadLetter) -> OutgoingRecord:
    """The record that a dead letter was made from, to be written again.

    It has the record's key, value, timestamp and headers; streamer's own that are about dead letters are new. The
    timestamp matters: an event without a time of its own gets this one, and must not get today's. Because of
    ``streamer.integration``, other integrations that read the same topic do not deliver the event a second time.
    """
    ours: list[tuple[str, bytes | None]] = [
        (REDRIVES, str(letter.redrives + 1).encode()),
        ("streamer.integration", letter.integration.encode()),
        (REDRIVEN_FROM, place_of(record).encode()),
    ]
    return OutgoingRecord(
        topic=letter.topic,
        partition=letter.partition,
        key=None if letter.is_key_null else record.key,
        value=record.value,
        headers=[header for header in record.headers if not is_of_dead_letter(header[0])] + ours,
        timestamp=record.timestamp if letter.original_timestamp is None else letter.original_timestamp,
    )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What becomes of the selected dead letters of one integration, reason and topic that they were read from.

    It adds up: ``dead_letters = redriven_before + skipped + redriven + left``.
    """

    integration: str
    reason: str
    topic: str
    dead_letters: int = 0
    redriven_before: int = 0
    skipped: dict[Skip, int] = field(default_factory=dict)
    redriven: int = 0

    @property
    def left(self) -> int:
        """Dead letters that can be redriven and are not redriven yet."""
        return self.dead_letters - self.redriven_before - sum(self.skipped.values()) - self.redriven

    def skip(self, why: Skip) -> None:
        """Count one that is left alone."""
        self.skipped[why] = self.skipped.get(why, 0) + 1


class Plan:
    """Which dead letters will be redriven, and the account of all that were selected."""

    def __init__(
        self,
        entries: Iterable[Entry[Kind]],
        *,
        is_read: Callable[[str, str], bool],
        max_redrives: int,
        again: bool = False,
        corrected: Callable[[Partition, int], Skip | None] | None = None,
    ) -> None:
        """Choose.

        Args:
            entries: the selected dead letters.
            is_read: whether an integration delivers records of a topic.
            max_redrives: dead letters that were redriven this often before are skipped.
            again: also choose those that were redriven before.
            corrected: given if each of them has a corrected value, which takes the place of its own: why that value is
                not written, or None. Dead letters without a value are chosen, then.
        """
        self.chosen: dict[Partition, array[int]] = {}
        """The offsets of those that will be redriven, ascending: 8 bytes for each."""
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        for partition, offset, kind, is_redriven in entries:
            tally = self.tally_of(kind)
            tally.dead_letters += 1
            if is_redriven and not again:
                tally.redriven_before += 1
                continue
            why = _skip_of(kind, is_read, max_redrives, has_value=corrected is not None)
            if why is None and corrected is not None:
                why = corrected(partition, offset)
            if why is None:
                self.chosen.setdefault(partition, array("q")).append(offset)
            else:
                tally.skip(why)

    @classmethod
    def of_all(cls, entries: Iterable[Entry[Kind]], *, again: bool) -> "Plan":
        """Choose all that were not redriven before, or all: to look at them, not to write them back."""
        return cls(
            entries,
            is_read=lambda _integration, _topic: True,
            max_redrives=sys.maxsize,
            again=again,
            corrected=lambda _partition, _offset: None,
        )

    def is_chosen(self, partition: Partition, offset: int) -> bool:
        """Whether the dead letter at a place will be redriven."""
        offsets = self.chosen.get(partition, ())
        index = bisect_left(offsets, offset)
        return index < len(offsets) and offsets[index] == offset

    def tally_of(self, letter: DeadLetter | Kind) -> Tally:
        """The tally in which a dead letter is counted."""
        group = (letter.integration, letter.reason, letter.topic)
        if group not in self._tallies:
            self._tallies[group] = Tally(integration=letter.integration, reason=letter.reason, topic=letter.topic)
        return self._tallies[group]

    @property
    def tallies(self) -> list[Tally]:
        """All tallies, sorted by integration, reason and topic."""
        return [self._tallies[group] for group in sorted(self._tallies)]

    @property
    def redriven(self) -> int:
        """How many were written back to their topics, confirmed by the broker."""
        return sum(tally.redriven for tally in self._tallies.values())

    @property
    def left(self) -> int:
        """How many can be redriven and are not redriven yet."""
        return sum(tally.left for tally in self._tallies.values())

    @property
    def skipped(self) -> Mapping[Skip, int]:
        """How many are left alone, by reason; reasons that do not occur are left out."""
        totals = {why: sum(tally.skipped.get(why, 0) for tally in self._tallies.values()) for why in Skip}
        return {why: total for why, total in totals.items() if total}


def _skip_of(kind: Kind, is_read: Callable[[str, str], bool], max_redrives: int, *, has_value: bool) -> Skip | None:
    """Why dead letters of a kind are left alone, if they are."""
    if kind.redrives >= max_redrives:
        return Skip.OVER_LIMIT
    if not is_read(kind.integration, kind.topic):
        return Skip.NOT_READ
    if kind.is_tombstone and not has_value:
        return Skip.TOMBSTONE
    if kind.is_value_omitted and not has_value:
        return Skip.NO_VALUE
    return None
