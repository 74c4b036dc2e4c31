"""Dead letters as the headers of the records in dead-letter topics describe them: read, selected."""

import math
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streamer.core.dead_letters.detail import matches
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
DETAIL: Final = "__connect.errors.exception.message"
"""What is wrong, for people."""
MESSAGE_ID: Final = "streamer.message_id"
REDRIVEN_FROM: Final = "streamer.redriven.from"
"""Which dead letter a record, or the dead letter that it became again, is from: ``topic-partition-offset``."""
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
    """What the headers of a dead letter say; its key and value stay on Kafka."""

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
    offset: int | None = None
    """The offset of its record in ``topic``; None: its header is damaged."""
    message_id: str | None = None
    """None: the record has none that can be read, or the dead letter goes without its optional headers."""
    detail: str = ""
    """What is wrong, without any value of the record; empty: the dead letter goes without its optional headers."""
    redriven_from: str | None = None
    """The dead letter that its record was redriven from: ``topic-partition-offset``; None: none, or it does not say."""


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
    message_ids: frozenset[str] = frozenset()
    """Empty: whatever their messageIds."""
    details: tuple[re.Pattern[str], ...] = ()
    """Patterns of `detail.pattern_of`, one of which has to match; empty: whatever their details."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is selected."""
        return (
            (not self.integrations or letter.integration in self.integrations)
            and (not self.reasons or letter.reason in self.reasons)
            and self.since <= letter.set_aside_at < self.until
            and (not self.message_ids or letter.message_id in self.message_ids)
            and (not self.details or any(matches(pattern, letter.detail) for pattern in self.details))
        )


def read_dead_letter(record: Record) -> DeadLetter | None:
    """The dead letter that a record of a dead-letter topic describes; None: it is not a dead letter of ours."""
    # Our headers come last. If a name occurs twice, its last value counts.
    texts = texts_of(record)
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
            offset=_whole_number(texts.get("__connect.errors.offset"), MAX_TIMESTAMP_DIGITS),
            message_id=texts.get(MESSAGE_ID),
            detail=texts.get(DETAIL, ""),
            redriven_from=texts.get(REDRIVEN_FROM),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def texts_of(record: Record) -> dict[str, str]:
    """Our headers of a record of a dead-letter topic, by name."""
    return {
        name: value.decode(errors="replace")
        for name, value in record.headers
        if value is not None and name.startswith(OUR_HEADERS)
    }


def place_of(record: Record) -> str:
    """The place of a dead letter, as `REDRIVEN_FROM` names it."""
    return f"{record.topic}-{record.partition}-{record.offset}"


def redrives_of(record: Record) -> int:
    """How often a record was redriven before; 0: never, or the header was not written by streamer."""
    for name, value in record.headers:
        if name == REDRIVES and value is not None:
            redrives = _whole_number(value.decode(errors="replace"), MAX_REDRIVES_DIGITS)
            if redrives is not None and redrives >= 0:
                return redrives
    return 0


def redriven_from(record: Record) -> str | None:
    """Which dead letter a record was redriven from; None: none."""
    return texts_of(record).get(REDRIVEN_FROM)


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
