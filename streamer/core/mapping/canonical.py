"""The canonical document <-> `SurveyEvent`: the form that every dialect is read into, and a dialect of its own."""

from typing import Any, Final, cast

from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.event import EventDocument, SurveyEvent
from streamer.core.mapping.native import Document, check_ranks

SCHEMA_VERSION: Final = 1

_CONTRACT: Final = "survey_event"
_REQUIRED: Final = ("event_id", "kind", "source", "occurred_at", "occurred_at_origin", "subject")
_OPTIONAL: Final = (
    "survey",
    "response",
    "answers",
    "trigger",
    "context",
    "references",
    "properties",
    "updated_at",
)
_KNOWN: Final = frozenset({"schema_version", "extra", *_REQUIRED, *_OPTIONAL})


def contract_of(_document: Document, _settings: None) -> str:
    """The one form this dialect has."""
    return _CONTRACT


def read(document: Document, _contract: str, _record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event; unknown keys go to ``extra``."""
    for place, answer in enumerate(document.get("answers", ())):
        if answer["type"] == "rank":
            check_ranks(answer["value"], f"/answers/{place}/value")
    extra: Document = document.get("extra", {})
    if not _KNOWN.issuperset(document):
        extra = {**{key: value for key, value in document.items() if key not in _KNOWN}, **extra}
    return SurveyEvent(
        document["event_id"],
        document["kind"],
        document["source"],
        document["occurred_at"],
        document["occurred_at_origin"],
        document["subject"],
        extra,
        *map(document.get, _OPTIONAL),
    )


def extra_of(event: SurveyEvent) -> Document:
    """The ``extra`` of the record, and its unknown keys."""
    return event.native


def to_document(event: SurveyEvent, extra: Document) -> EventDocument:
    """The canonical document of an event; absent parts are absent keys.

    Args:
        event: the event.
        extra: what its record says beyond the canonical form: `Dialect.extra_of`.
    """
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    document.update((name, getattr(event, name)) for name in _REQUIRED)
    document.update((name, part) for name in _OPTIONAL if (part := getattr(event, name)) is not None)
    if extra:
        document["extra"] = extra
    return cast("EventDocument", document)


DIALECT: Final[Dialect[None]] = Dialect(
    name="canonical",
    platform="Canonical form",
    contracts=(_CONTRACT,),
    contract_of=contract_of,
    read=read,
    extra_of=extra_of,
    write=None,
    message_id_key="event_id",
    message_id="`event_id`, unchanged.",
    filters={},
)
