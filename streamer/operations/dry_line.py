"""What a dry run prints of one record: how it would end, its calls, and what its producer has to look at."""

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.core.errors import RecordError
from streamer.core.mapping.decode import decode
from streamer.core.mapping.pointer import NOTHING, Place, pointer_of, value_at
from streamer.core.model import DeadLetterReason, Filtered, MappingSettings
from streamer.operations.dry_mapping import DryEnd

if TYPE_CHECKING:
    from streamer.core.mapping import Mapper
    from streamer.core.mapping.event import EventDocument
    from streamer.core.mapping.native import Document
    from streamer.pipeline.intake import MapsRecords

MAX_FOUND: Final = 5
"""Most values that are shown of one refused record, as many as faults are spelled out."""

MAX_SHOWN_CHARACTERS: Final = 200
"""Of a longer value, only so many characters are shown on stderr."""

_POINTER: Final = re.compile(r"(/[^\s:*]+): ")


def line_of(end: DryEnd) -> dict[str, Any]:
    """How a record ends, as a JSON object; the call is exactly what would be sent."""
    calls = [] if end.call is None else [orjson.Fragment(end.call.body)]
    return {"outcome": end.outcome, "reason": end.reason, "detail": end.detail, "calls": calls}


def event_document(value: bytes, record_time_ms: int, mapper: "Mapper") -> "EventDocument | None":
    """The event of a record in canonical form, also of one that makes no call because of what the event says."""
    try:
        event = mapper.read(value, record_time_ms)
        return None if isinstance(event, Filtered) else mapper.to_document(event)
    except Exception:  # noqa: BLE001 - how the record ends says what is wrong with it
        return None


def found_in(value: bytes, end: DryEnd, mapper: "MapsRecords", settings: MappingSettings) -> list[dict[str, Any]]:
    """The values for which a record is refused, with their JSON Pointers.

    The service never does this: its errors hold places and no values. Here the operator asks about records that are on
    their own machine.
    """
    try:
        document = decode(value, strip_registry_prefix=settings.strip_registry_prefix)
    except RecordError:
        return []
    if not isinstance(document, dict):
        return []
    values = ((place, value_at(document, place)) for place in _places(document, len(value), end, mapper) if place)
    found = [{"pointer": pointer_of(place), "value": part} for place, part in values if part is not NOTHING]
    return found[:MAX_FOUND]


def _places(document: "Document", size: int, end: DryEnd, mapper: "MapsRecords") -> list[Place]:
    from streamer.core.mapping import Mapper  # noqa: PLC0415 - the schemas' library takes a while to load

    if end.reason == DeadLetterReason.SCHEMA_INVALID and isinstance(mapper, Mapper):
        places = mapper.places_refused(document, size)
        if places:
            return places
    named = _POINTER.match(end.detail or "")
    return [] if named is None else [tuple(named[1].split("/")[1:])]


def refusal(where: str, end: DryEnd, found: list[dict[str, Any]]) -> str:
    """One line about a refused record: where it is, which one it is, and why."""
    named = f", messageId {end.message_id}" if end.message_id else ""
    values = "".join(f"; {each['pointer']} is {_shown(each['value'])}" for each in found)
    return f"{where}: refused ({end.reason}){named}: {end.detail}{values}"


def _shown(value: Any) -> str:
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return "nested too deeply to be shown"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def looks_cut_into_lines(value: bytes, end: DryEnd) -> bool:
    """Whether the first line of a file seems to be the beginning of a document over several lines."""
    text = value.strip()
    is_cut = text[:1] in {b"{", b"["} and text[-1:] not in {b"}", b"]"}
    return is_cut and end.reason == DeadLetterReason.DECODE_ERROR
