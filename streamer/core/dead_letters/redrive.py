"""Redriving dead letters: which of the selected ones are redriven, and what is written for each."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streamer.core.dead_letters.dead_letter import OUR_HEADERS, REDRIVES, DeadLetter, Entry, Partition
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
        ("streamer.redriven.from", f"{record.topic}-{record.partition}-{record.offset}".encode()),
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
        entries: Iterable[Entry],
        *,
        is_read: Callable[[str, str], bool],
        max_redrives: int,
        again: bool = False,
    ) -> None:
        """Choose.

        Args:
            entries: the selected dead letters.
            is_read: whether an integration delivers records of a topic.
            max_redrives: dead letters that were redriven this often before are skipped.
            again: also choose those that were redriven before.
        """
        self.chosen: dict[Partition, dict[int, DeadLetter]] = {}
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        for partition, offset, letter, is_redriven in entries:
            tally = self.tally_of(letter)
            tally.dead_letters += 1
            if is_redriven and not again:
                tally.redriven_before += 1
            elif letter.redrives >= max_redrives:
                tally.skip(Skip.OVER_LIMIT)
            elif not is_read(letter.integration, letter.topic):
                tally.skip(Skip.NOT_READ)
            elif letter.is_tombstone:
                tally.skip(Skip.TOMBSTONE)
            elif letter.is_value_omitted:
                tally.skip(Skip.NO_VALUE)
            else:
                self.chosen.setdefault(partition, {})[offset] = letter

    def tally_of(self, letter: DeadLetter) -> Tally:
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
