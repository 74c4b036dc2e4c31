"""Dead letters as they are written, and what is left out when the broker refuses one for good.

A refused dead letter is written in a form that the broker takes: with fewer headers, with a key, with the record's own
time, and at last without its value. Reason and place of the record are in every form, so that its bytes can be looked
up in the source topic while they are there. Nothing here can fail, whatever the record or the error text looks like:
if no dead letter could be made of a record, the record would be read again and again, without end.
"""

import dataclasses
import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from streamer.core.dead_letters.dead_letter import (
    DETAIL,
    KEY_NULL,
    MESSAGE_ID,
    ORIGINAL_TIMESTAMP,
    REDRIVEN_FROM,
    REDRIVES,
    VALUE_NULL,
    VALUE_OMITTED,
    redriven_from,
    redrives_of,
)
from streamer.core.dead_letters.redrive import OutgoingRecord, is_of_dead_letter
from streamer.core.model import Record
from streamer.core.records.pending_letter import PendingLetter

MAX_DETAIL_BYTES: Final = 1_000
"""Longest error text put into a header."""

Header = tuple[str, bytes | None]
_Text = str | int | None


class Refusal(enum.Enum):
    """Why a broker does not take a record, now or later."""

    TOO_LARGE = enum.auto()
    TIME = enum.auto()
    """Its time is further from the broker's than the topic allows."""
    RULE = enum.auto()
    """It breaks another rule of the topic."""
    UNCLEAR = enum.auto()
    """The answer may mean a record without a key in a compacted topic, or a broker in trouble."""


class Headers(enum.IntEnum):
    """How many headers a dead letter has."""

    ALL = 0
    REQUIRED = 1
    """The producer's, and those of ours that a redrive needs."""
    OURS = 2
    """Only those of ours that a redrive needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """In which form a dead letter is written. The default has everything."""

    headers: Headers = Headers.ALL
    has_value: bool = True
    needs_key: bool = False
    """Whether a record without a key gets one."""
    has_own_time: bool = False
    """Whether the record's own time is used, instead of the present time."""


COMPLETE: Final = Form()


def next_form(form: Form, refusal: Refusal, *, has_key: bool) -> Form | None:
    """The form to try after a refused one; None: there is no other, so it is tried again later.

    Args:
        form: the refused one.
        refusal: why.
        has_key: whether the record has a key of its own.
    """
    if refusal is Refusal.TIME:
        return None if form.has_own_time else dataclasses.replace(form, has_own_time=True)
    if refusal in {Refusal.RULE, Refusal.UNCLEAR} and not (has_key or form.needs_key):
        return dataclasses.replace(form, needs_key=True)
    if refusal is Refusal.UNCLEAR or not form.has_value:
        return None
    if form.headers is Headers.OURS:
        return dataclasses.replace(form, has_value=False, needs_key=True)
    following = Headers(form.headers + 1) if refusal is Refusal.TOO_LARGE else Headers.OURS
    return dataclasses.replace(form, headers=following)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Makes the dead letters of one integration."""

    integration: str
    destination: str
    instance: int
    """Number of the process."""
    mapping_version: str
    replay: str = ""
    """Names the replay in which they are made; "": in none."""

    def compose(self, letter: PendingLetter, form: Form, *, now: float) -> OutgoingRecord:
        """What to write for a letter; ``now`` in seconds since the epoch. The topic is left to the caller."""
        record = letter.record
        required = self._required(record, letter)
        key, value = record.key, record.value
        if not form.has_value or letter.is_unreadable:
            required.append((VALUE_OMITTED, "1"))
            key, value = _key_of(record), b""
        elif form.needs_key and key is None:
            required.append((KEY_NULL, "1"))
            key = _key_of(record)
            if value is None:
                # With a key, a null value would be a tombstone, which a compacted topic deletes.
                required.append((VALUE_NULL, "1"))
                value = b""
        # Those of an earlier dead letter, on a redriven record, are replaced; the record's own are kept.
        kept = [] if form.headers is Headers.OURS else [_writable(header) for header in record.headers]
        optional = self._optional(letter, now) if form.headers is Headers.ALL else []
        ours: list[Header] = [(name, _bytes(str(text))) for name, text in required + optional if text is not None]
        return OutgoingRecord(
            topic=record.topic,
            partition=record.partition,
            key=key,
            value=value,
            headers=[header for header in kept if not is_of_dead_letter(header[0])] + ours,
            timestamp=record.timestamp if form.has_own_time else -1,
        )

    def _required(self, record: Record, letter: PendingLetter) -> list[tuple[str, _Text]]:
        """What a redrive needs."""
        return [
            ("streamer.reason", letter.reason),
            ("streamer.integration", self.integration),
            (REDRIVES, redrives_of(record)),
            ("__connect.errors.topic", record.topic),
            ("__connect.errors.partition", record.partition),
            ("__connect.errors.offset", record.offset),
            (ORIGINAL_TIMESTAMP, record.timestamp),
        ]

    def _optional(self, letter: PendingLetter, now: float) -> list[tuple[str, _Text]]:
        """What consoles for Kafka Connect show, and what people want to know."""
        opened = letter.opened
        texts: list[tuple[str, _Text]] = [
            ("__connect.errors.connector.name", self.integration),
            ("__connect.errors.task.id", self.instance),
            ("__connect.errors.stage", letter.stage),
            ("__connect.errors.exception.class.name", letter.error_class),
            (DETAIL, _bytes(letter.detail)[:MAX_DETAIL_BYTES].decode(errors="ignore")),
            ("streamer.destination", self.destination),
            ("streamer.replay", self.replay or None),
            ("streamer.dead_letter_time", _utc(now)),
            ("streamer.mapping_version", self.mapping_version),
            ("streamer.http.status", letter.http_status),
            (MESSAGE_ID, letter.message_id),
            (REDRIVEN_FROM, redriven_from(letter.record)),
        ]
        if opened is not None:
            texts += [
                ("streamer.attempts", opened.attempts),
                (
                    "streamer.first_failure_time",
                    None if opened.first_failed_at is None else _utc(opened.first_failed_at),
                ),
            ]
        return texts


def _key_of(record: Record) -> bytes:
    """A key that no other record has, so that compaction removes none of them."""
    return f"{record.topic}-{record.partition}-{record.offset}".encode()


def _writable(header: Header) -> Header:
    """A header with a name that the client can write: it takes nothing but UTF-8."""
    name, value = header
    return printable(name), value


def printable(text: str) -> str:
    """A text without what UTF-8, and so a log or a header, cannot hold."""
    return _bytes(text).decode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _utc(epoch_seconds: float) -> str | None:
    try:
        instant = datetime.fromtimestamp(epoch_seconds, UTC)
    except (ValueError, OverflowError, OSError):  # the clock is set to a year that does not exist
        return None
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
