"""One call as one line of JSON."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, NamedTuple

import orjson

from streamer.core.model import Json
from streamer.core.records.open_record import OpenRecord
from streamer.core.tapping.redaction import redacted


class AnsweredBatch(NamedTuple):
    """The calls of one request, and its answer, before anything is made of it."""

    records: Sequence[OpenRecord]
    integration: str
    destination: str
    status: int | str
    """HTTP status, or the fault of the network that occurred instead."""
    result: str
    """What becomes of the batch: delivered, retried, split or refused."""
    answered_at: float
    """Seconds since the epoch."""
    duration_seconds: float


BATCH_FIELDS: Final[Mapping[str, Callable[[AnsweredBatch], Json]]] = {
    "integration": attrgetter("integration"),
    "destination": attrgetter("destination"),
    "status": attrgetter("status"),
    "result": attrgetter("result"),
}
"""What is the same for all calls of a batch."""

RECORD_FIELDS: Final[Mapping[str, Callable[[OpenRecord], Json]]] = {
    "topic": attrgetter("record.topic"),
    "partition": attrgetter("record.partition"),
    "offset": attrgetter("record.offset"),
    "messageId": attrgetter("message_id"),
    "attempt": lambda record: record.failures + 1,
}
"""What else is known of a call without decoding it. Nothing of it is a value of the record."""


def known_of(batch: AnsweredBatch, record: OpenRecord) -> dict[str, Json]:
    """What is known of a call without decoding it."""
    return {
        "time": time_of(batch.answered_at),
        **{name: value_of(batch) for name, value_of in BATCH_FIELDS.items()},
        "duration_seconds": round(batch.duration_seconds, 3),
        "batch_calls": len(batch.records),
        **{name: value_of(record) for name, value_of in RECORD_FIELDS.items()},
    }


def names_of(call: Json) -> dict[str, Json]:
    """What each line shows of a call: the event's name, and ``track`` or the like.

    A request to an API that takes one call a request has its method for a type.
    """
    return {"type": _text(call.get("type", call.get("method"))), "event": _text(call.get("event"))}


def line_of(known: dict[str, Json], call: Json, *, shows_values: bool) -> bytes:
    """The line, with the line break.

    Args:
        known: of `known_of`.
        call: the decoded call.
        shows_values: whether values of the call are shown; else their types are.
    """
    shown = call if shows_values else redacted(_without_names(call))
    return orjson.dumps({**known, **names_of(call), "call": shown}, option=orjson.OPT_APPEND_NEWLINE)


def tally_line(tally: dict[str, int]) -> bytes:
    """A line about the tap itself; no line of a call has this key."""
    return orjson.dumps({"tap": tally}, option=orjson.OPT_APPEND_NEWLINE)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _without_names(call: Json) -> Json:
    """The call without what the line shows beside it."""
    return {key: value for key, value in call.items() if key not in {"type", "event", "messageId"}}


def time_of(seconds: float) -> str:
    """RFC 3339, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
