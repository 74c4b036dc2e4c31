"""The canonical document <-> `SurveyEvent`: the form that every dialect is read into, and a dialect of its own."""

from typing import Final

from streamer.core.mapping.native import Document, check_ranks
from streamer.core.model import MappingSettings, SurveyEvent

CONTRACTS: Final = ("survey_event",)
SCHEMA_VERSION: Final = 1

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


def contract_of(_document: Document, _settings: MappingSettings) -> str:
    """The one form this dialect has."""
    return CONTRACTS[0]


def read(document: Document, _contract: str, _record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event; keys that the form does not know go to ``extra``."""
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
        _extra_of,
        *map(document.get, _OPTIONAL),
    )


def to_document(event: SurveyEvent) -> Document:
    """The canonical document of an event; absent parts are absent keys."""
    document: Document = {"schema_version": SCHEMA_VERSION}
    document.update((name, getattr(event, name)) for name in _REQUIRED)
    for name in (*_OPTIONAL, "extra"):
        part = getattr(event, name)
        if part is not None:
            document[name] = part
    return document


def _extra_of(event: SurveyEvent) -> Document:
    return event.native
