"""What the headers of one dead letter tell of its record: its place, why it was set aside, and after what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamer.core.dead_letters.dead_letter import DeadLetter, read_dead_letter
from streamer.core.model import Record

MAX_OFFSET_DIGITS: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLetter:
    """One dead letter; texts are absent where the broker did not take all headers."""

    letter: DeadLetter
    offset: int | None
    """Of its record in the source topic; None: an older dead letter, or a damaged header."""
    message_id: str | None
    detail: str | None
    http_status: str | None
    attempts: str | None
    first_failure_time: str | None
    destination: str | None

    @property
    def place(self) -> tuple[str, int, int] | None:
        """Topic, partition and offset of its record; None: not known."""
        return None if self.offset is None else (self.letter.topic, self.letter.partition, self.offset)


def read_told(record: Record) -> ToldLetter | None:
    """What a record of a dead-letter topic tells; None: it is not a dead letter of ours."""
    letter = read_dead_letter(record)
    if letter is None:
        return None
    headers = record.headers
    offset = _text(headers, "__connect.errors.offset") or ""
    is_offset = offset.isascii() and offset.isdigit() and len(offset) <= MAX_OFFSET_DIGITS
    return ToldLetter(
        letter=letter,
        offset=int(offset) if is_offset else None,
        message_id=_text(headers, "streamer.message_id"),
        detail=_text(headers, "__connect.errors.exception.message"),
        http_status=_text(headers, "streamer.http.status"),
        attempts=_text(headers, "streamer.attempts"),
        first_failure_time=_text(headers, "streamer.first_failure_time"),
        destination=_text(headers, "streamer.destination"),
    )


def _text(headers: Sequence[tuple[str, bytes | None]], name: str) -> str | None:
    """A header as text. Ours come last: if a name occurs twice, its last value counts."""
    value = next((value for known, value in reversed(headers) if known == name), None)
    return None if value is None else value.decode(errors="replace")
