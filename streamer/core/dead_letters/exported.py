"""Dead letters as documents in which people correct the values, and what is written back for a corrected one."""

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

from streamer.core.dead_letters.bytes_as_text import Fields, as_fields, from_fields
from streamer.core.dead_letters.casebook import Case, Place, read_place
from streamer.core.dead_letters.dead_letter import LATEST_INSTANT, DeadLetter
from streamer.core.dead_letters.redrive import OutgoingRecord, redriven_record
from streamer.core.model import Record


def exported(record: Record, letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as a document. Only its value may be corrected; the rest says which one it is."""
    case = Case(record=record, letter=letter)
    return {
        "place": str(case.place),
        "integration": letter.integration,
        "reason": letter.reason,
        "detail": letter.detail or None,
        "message_id": letter.message_id,
        "record": case.source,
        "record_time": time_text(record_time(record, letter)),
        "dead_letter_time": time_text(letter.set_aside_at),
        **as_fields("key", key_of(record, letter)),
        **as_fields("value", value_of(record, letter)),
        "headers": [{"name": name, **as_fields("value", value)} for name, value in record.headers],
    }


def place_in(document: Any) -> Place:
    """Which dead letter a document is about.

    Raises:
        ValueError: it names none.
    """
    place = document.get("place") if isinstance(document, dict) else None
    found = read_place(place) if isinstance(place, str) else None
    if found is None:
        raise ValueError("place: expected topic:partition:offset, as streamer dlq export writes it")
    return found


def corrected_value(record: Record, letter: DeadLetter, document: Fields) -> bytes | None:
    """The value that a document gives to a dead letter; that of the dead letter itself if it means the same.

    Raises:
        ValueError: the document has no value, or one that cannot be read.
    """
    return from_fields("value", document, value_of(record, letter))


def corrected_record(record: Record, letter: DeadLetter, value: bytes) -> OutgoingRecord:
    """What is written back for a dead letter with a corrected value; the rest is as for any other redrive."""
    back = redriven_record(record, letter)
    return dataclasses.replace(back, key=key_of(record, letter), value=value)


def value_of(record: Record, letter: DeadLetter) -> bytes | None:
    """The value of the record that a dead letter is of; None: it has none, or the dead letter does not have it."""
    return None if letter.is_tombstone or letter.is_value_omitted else record.value


def key_of(record: Record, letter: DeadLetter) -> bytes | None:
    """Its key. A dead letter whose value was left out has a key of its own making."""
    return None if letter.is_key_null or letter.is_value_omitted else record.key


def record_time(record: Record, letter: DeadLetter) -> float:
    """The time of its record, in seconds since the epoch; negative if it has none."""
    return (record.timestamp if letter.original_timestamp is None else letter.original_timestamp) / 1000


def time_text(epoch_seconds: float) -> str | None:
    """A time in RFC 3339 with milliseconds; None: there is none, or it cannot be shown."""
    if not 0 <= epoch_seconds <= LATEST_INSTANT:
        return None
    instant = datetime.fromtimestamp(math.floor(epoch_seconds * 1000) / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
