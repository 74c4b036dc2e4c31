"""Dead letters as the headers of the records in dead-letter topics describe them: read, selected, counted."""

import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from streamer.core.dead_letters.redrive_note import read_note
from streamer.core.model import Record

OUR_HEADERS: Final = ("streamer.", "__connect.errors.")
"""How the names of our headers begin; see `redrive.is_of_dead_letter`."""

REDRIVES: Final = "streamer.redrives"
ORIGINAL_TIMESTAMP: Final = "streamer.original_timestamp"
"""The time of the record in its source topic, in milliseconds since the epoch. A dead letter's own time is when it was
dead-lettered, because retention counts from there."""
KEY_NULL: Final = "streamer.key.null"
"""The record had no key; its dead letter has one because the broker asked for it."""
VALUE_NULL: Final = "streamer.value.null"
"""The record's value was null, and that of its dead letter is empty."""
VALUE_OMITTED: Final = "streamer.value.omitted"
"""The broker refused the record's key and value: they are only in the source topic, as long as it keeps them."""

MAX_REDRIVES_DIGITS: Final = 9
"""A longer count of redrives was not written by streamer."""
MAX_TIMESTAMP_DIGITS: Final = 19
"""Those of a number with 64 bits."""
MAX_PARTITION_DIGITS: Final = 10
LATEST_INSTANT: Final = 253_402_300_799.0
"""The last second of the year 9999, in seconds since the epoch: later instants cannot be shown."""

_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]+")
_INT64: Final = 1 << 63

Partition = tuple[str, int]
"""Name of the topic, and number of the partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What the headers of a dead letter say, in about 200 bytes; its key and value stay on Kafka."""

    integration: str
    reason: str
    topic: str
    """The topic that its record was read from and is written back to."""
    partition: int
    redrives: int
    """How often it was redriven before it became this dead letter."""
    set_aside_at: float
    """Seconds since the epoch."""
    is_tombstone: bool
    original_timestamp: int | None = None
    """The time of its record in milliseconds since the epoch; None: an older dead letter, whose own time it is."""
    is_key_null: bool = False
    """Whether its record has no key, although the dead letter has one."""
    is_value_omitted: bool = False
    """Whether the broker refused key and value of its record, so that the dead letter does not have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters a command selects. Without arguments: all of them."""

    integrations: frozenset[str] = frozenset()
    """Empty: dead letters of all integrations."""
    reasons: frozenset[str] = frozenset()
    """Empty: dead letters with any reason."""
    since: float = -math.inf
    """Set aside at this time or later, in seconds since the epoch."""
    until: float = math.inf
    """Set aside before this time."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is selected."""
        return (
            (not self.integrations or letter.integration in self.integrations)
            and (not self.reasons or letter.reason in self.reasons)
            and self.since <= letter.set_aside_at < self.until
        )


def read_dead_letter(record: Record) -> DeadLetter | None:
    """The dead letter that a record of a dead-letter topic describes; None: it is not a dead letter of ours."""
    # Our headers come last. If a name occurs twice, its last value counts.
    texts = {
        name: value.decode(errors="replace")
        for name, value in record.headers
        if value is not None and name.startswith(OUR_HEADERS)
    }
    partition = _whole_number(texts.get("__connect.errors.partition"), MAX_PARTITION_DIGITS)
    redrives = _whole_number(texts.get(REDRIVES), MAX_REDRIVES_DIGITS)
    if partition is None or redrives is None or min(partition, redrives) < 0:
        return None
    try:
        return DeadLetter(
            integration=sys.intern(texts["streamer.integration"]),
            reason=sys.intern(texts["streamer.reason"]),
            topic=sys.intern(texts["__connect.errors.topic"]),
            partition=partition,
            redrives=redrives,
            set_aside_at=_set_aside_at(texts.get("streamer.dead_letter_time"), record),
            is_tombstone=VALUE_NULL in texts,
            original_timestamp=_whole_number(texts.get(ORIGINAL_TIMESTAMP), MAX_TIMESTAMP_DIGITS),
            is_key_null=KEY_NULL in texts,
            is_value_omitted=VALUE_OMITTED in texts,
        )
    except (KeyError, ValueError, OverflowError):
        return None


def redrives_of(record: Record) -> int:
    """How often a record was redriven before; 0: never, or the header was not written by streamer."""
    for name, value in record.headers:
        if name == REDRIVES and value is not None:
            redrives = _whole_number(value.decode(errors="replace"), MAX_REDRIVES_DIGITS)
            if redrives is not None and redrives >= 0:
                return redrives
    return 0


def _set_aside_at(time: str | None, record: Record) -> float:
    """Seconds since the epoch, within the years that can be shown."""
    # The time is left out of a dead letter that would be too large with it.
    seconds = datetime.fromisoformat(time).timestamp() if time else record.timestamp / 1000
    return min(max(seconds, 0.0), LATEST_INSTANT)


def _whole_number(text: str | None, max_digits: int) -> int | None:
    """The number that a header holds; None: there is none, or it is longer than any number of ours."""
    if text is None or len(text) > max_digits + 1 or not _WHOLE_NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


class Entry(NamedTuple):
    """A dead letter with its place in the dead-letter topic."""

    partition: Partition
    offset: int
    letter: DeadLetter
    is_redriven: bool


class Stock:
    """The selected dead letters of some topics, and which of them were redriven.

    Keeps their descriptions in memory, not their records.
    """

    def __init__(self, selection: Selection) -> None:
        self.foreign = 0
        """How many records are not dead letters of ours; they are left alone."""
        self._selection = selection
        self._letters: dict[Partition, dict[int, DeadLetter]] = {}
        self._redriven: dict[Partition, set[int]] = {}

    def take(self, record: Record) -> None:
        """Read the next record of a partition of a dead-letter topic."""
        partition = (record.topic, record.partition)
        noted = read_note(record)
        if noted is not None:
            letters = self._letters.get(partition, {})
            redriven = self._redriven.setdefault(partition, set())
            for span in noted:
                # A damaged note may list more offsets than anybody could go through.
                shorter, other = (span, letters) if len(span) < len(letters) else (letters, span)
                redriven.update(offset for offset in shorter if offset in other)
            return
        letter = read_dead_letter(record)
        if letter is None:
            self.foreign += 1
        elif self._selection.takes(letter):
            self._letters.setdefault(partition, {})[record.offset] = letter

    def __iter__(self) -> Iterator[Entry]:
        for partition, letters in self._letters.items():
            redriven = self._redriven.get(partition, set())
            for offset, letter in letters.items():
                yield Entry(partition, offset, letter, offset in redriven)


@dataclass(slots=True, kw_only=True)
class Count:
    """How many dead letters of one integration, reason and dead-letter topic there are."""

    integration: str
    reason: str
    topic: str
    dead_letters: int = 0
    redriven: int = 0
    oldest: float = math.inf
    newest: float = -math.inf


def count(entries: Iterable[Entry]) -> list[Count]:
    """How many there are by integration, reason and dead-letter topic, in this order."""
    counts: dict[tuple[str, str, str], Count] = {}
    for (topic, _), _, letter, is_redriven in entries:
        group = (letter.integration, letter.reason, topic)
        if group not in counts:
            counts[group] = Count(integration=letter.integration, reason=letter.reason, topic=topic)
        found = counts[group]
        found.dead_letters += 1
        found.redriven += is_redriven
        found.oldest = min(found.oldest, letter.set_aside_at)
        found.newest = max(found.newest, letter.set_aside_at)
    return [counts[group] for group in sorted(counts)]
