"""Records of a dead-letter topic, for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamer.core.dead_letters.dead_letter import DeadLetter, read_dead_letter
from streamer.core.dead_letters.redrive_note import note_header

SET_ASIDE_AT = 1_770_000_000.0

HEADERS: Mapping[str, bytes | None] = {
    "streamer.reason": b"rejected_400",
    "streamer.integration": b"surveys",
    "streamer.redrives": b"1",
    "__connect.errors.topic": b"surveys",
    "__connect.errors.partition": b"4",
    "__connect.errors.offset": b"99",
    "streamer.dead_letter_time": b"2026-02-02T02:40:00.000Z",
}


@dataclass(slots=True, kw_only=True)
class StoredRecord:
    topic: str = "surveys.dlq"
    partition: int = 0
    offset: int = 7
    timestamp: int = 1_600_000_000_000
    key: bytes | None = b"visitor"
    value: bytes | None = b"{}"
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=list)


def dead_letter(
    offset: int = 7, changes: Mapping[str, bytes | None] | None = None, value: bytes | None = b"{}"
) -> StoredRecord:
    """A dead letter with some of its headers changed, or left out where the change is None."""
    headers = {**HEADERS, **(changes or {})}
    kept = [(name, text) for name, text in headers.items() if text is not None]
    return StoredRecord(offset=offset, headers=kept, value=value)


def note(offset: int, *redriven: int) -> StoredRecord:
    return StoredRecord(offset=offset, key=None, value=b"", headers=[note_header(redriven)])


def letter_of(record: StoredRecord) -> DeadLetter:
    letter = read_dead_letter(record)
    assert letter is not None
    return letter
