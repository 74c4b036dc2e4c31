"""Field by field of a call: from where it comes, and by which rule.

A call is made in two steps, so its origins are declared in two: of the call's fields out of the event, by the dialect
that writes it, and of the event's fields out of the record, by the dialect that reads it. Here both are joined for one
record. `Dialect.event_origins` and `Dialect.call_origins` have the declarations, and this module those that all
dialects share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.canonical import to_document
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.native import Document
from streamer.core.mapping.origin import EACH, Origin, Source, origin
from streamer.core.mapping.pointer import NOTHING, Place, leaves_in, pointer_of, value_at
from streamer.core.model import Json, MappingSettings

NOT_DECLARED: Final = "The dialect does not declare from where this comes."

_SHARED: Final = (
    origin("", NOT_DECLARED),
    origin("/type", "Each event becomes a track call."),
    origin("/messageId", "", "/event_id"),
    origin("/timestamp", "In UTC, with milliseconds.", "/occurred_at"),
    origin("/properties/responseTruncated", "The call was over Segment's limit, so its longest texts are cut."),
    origin("/properties/responseOriginalBytes", "Bytes of the texts that are cut, as they were before."),
)
_OF_CANONICAL: Final = (origin("", "", ""), origin("/extra", "", ("/extra", "")))
"""A canonical record has the form of the event. Keys of it that are not canonical count as ``extra``."""


@dataclass(frozen=True, slots=True)
class Explained:
    """From where one field of a call comes."""

    field: str
    """JSON Pointer of the field in the call, with everything inside it that is not explained by itself."""
    value: Json
    pointers: tuple[str, ...]
    """JSON Pointers in the record to all that decides the value."""
    rule: str
    """A sentence or two."""
    settings: tuple[str, ...]
    """The settings that decide the value."""


def explain(settings: MappingSettings, record: Document, event: SurveyEvent, call: Document) -> list[Explained]:
    """Each field of a call, in the call's order.

    Args:
        settings: with which the record was mapped.
        record: decoded.
        event: what was read of it.
        call: what was written of the event.
    """
    reader = DIALECTS[settings.dialect]
    of_event = _OF_CANONICAL if reader.event_origins is None else reader.event_origins(event)
    of_call = _call_origins(settings, event)
    sources = _Sources(record, {**to_document(event, {}), "extra": event.native}, of_event)
    fields: dict[Place, Origin] = {}
    for place, _ in leaves_in(call):
        found = _origin_of(place, of_call)
        fields.setdefault(place[: _length(found)], found)
    return [
        Explained(pointer_of(field), value_at(call, field), *sources.of(field, found), found.settings)
        for field, found in fields.items()
    ]


def _call_origins(settings: MappingSettings, event: SurveyEvent) -> list[Origin]:
    """The origins of the fields of a call, with what the integration's own settings add to them."""
    dialect = DIALECTS[settings.dialect]
    writer = dialect if dialect.write is not None else DIALECTS[event.source["dialect"]]
    choices = writer.settings_in(settings.dialect_settings)
    declared = {one.field: one for one in _SHARED}
    if writer.call_origins is not None:
        declared |= {one.field: one for one in writer.call_origins(event, choices)}
    if settings.message_id_suffix:
        suffix = "The suffix of the destination is appended."
        declared["/messageId"] = replace(declared["/messageId"], rule=suffix, settings=("message_id_suffix",))
    written = None if writer.write is None else writer.write(event, choices)
    name = declared.get("/event")
    if name is not None and isinstance(written, dict) and written["event"] in settings.rename:
        rule, named_by = f"{name.rule} The integration renames it.", (*name.settings, "events.rename")
        declared["/event"] = replace(name, rule=rule, settings=named_by)
    return list(declared.values())


class _Sources:
    """What the fields of the call of one record come from."""

    def __init__(self, record: Document, event: Document, of_event: Sequence[Origin]) -> None:
        self._record = record
        self._event = event
        self._of_event = of_event

    def of(self, field: Place, declared: Origin) -> tuple[tuple[str, ...], str]:
        """Pointers to all places of the record that decide a field of the call, and the rules, as one text."""
        rules = {declared.rule: None}
        pointers: dict[str, None] = {}
        for source in declared.sources:
            place = _first(source, _index(field, declared), self._event, lambda _: True)
            if place is None:
                continue
            native = _origin_of(place, self._of_event)
            rules[native.rule] = None
            for pointer in native.sources:
                found = _first(pointer, _index(place, native), self._record, _is_there, place[_length(native) :])
                if found is not None:
                    pointers[pointer_of(found)] = None
        return tuple(pointers), " ".join(filter(None, rules)) or "Taken over as it is."


def _origin_of(place: Place, declared: Sequence[Origin]) -> Origin:
    """The origin of the innermost declared field around a place."""
    return max((one for one in declared if _covers(one, place)), key=_length, default=origin("", NOT_DECLARED))


def _covers(declared: Origin, place: Place) -> bool:
    steps = _steps(declared.field)
    return len(steps) <= len(place) and all(
        step in {str(given), EACH if isinstance(given, int) else None}
        for step, given in zip(steps, place, strict=False)
    )


def _index(place: Place, declared: Origin) -> str:
    """The index that `EACH` stands for at a place."""
    given = (str(given) for step, given in zip(_steps(declared.field), place, strict=False) if step == EACH)
    return next(given, EACH)


def _first(
    source: Source, index: str, document: Document, is_there: Callable[[Json], bool], rest: Place = ()
) -> Place | None:
    """The first place of a source at which there is something; if there is none, one that exists at all."""
    pointers = (source,) if isinstance(source, str) else source
    places = [(*(_step(step, index) for step in _steps(pointer)), *rest) for pointer in pointers]
    existing = [place for place in places if value_at(document, place) is not NOTHING]
    return next((place for place in existing if is_there(value_at(document, place))), next(iter(existing), None))


def _is_there(value: Json) -> bool:
    """Whether a value of a record counts, so that no other one is looked for in its place."""
    return value is not None and not (isinstance(value, str) and is_blank(value))


def _step(step: str, index: str) -> str | int:
    step = index if step == EACH else step
    return int(step) if step.isdecimal() else step


def _steps(pointer: str) -> list[str]:
    return pointer.split("/")[1:]


def _length(declared: Origin) -> int:
    return len(_steps(declared.field))
