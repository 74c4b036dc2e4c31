"""What each field of a record does to its event and its call: found out by changing the field and mapping the record.

A page that is written from this says nothing that the mapping does not do.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import orjson

from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import Filtered, Json, MappingSettings
from streamer.devkit.docs.record_fields import (
    ITEMS,
    TEXT,
    FieldPath,
    shown,
    value_at,
    values_to_try,
    with_value,
    without,
)

TIMES_MS: Final = (1_767_225_600_000, 1_767_225_601_000)
"""Two times that the broker may give a record."""

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class End:
    """How one record ends: with a call, or with the name of the rule by which it makes none."""

    reason: str | None
    event: dict[str, Json]
    """The canonical document; empty: the record has no event."""
    call: dict[str, Json]
    warnings: frozenset[str]


@dataclass(slots=True)
class Effect:
    """What one field does, over all values that were tried.

    Each finding has the conditions under which it was made, in words; ``""``: none.
    """

    event: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Places of the canonical event that take the value; if none does, those that depend on it."""
    call: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Places of the call that take the value."""
    changed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Places of the call that depend on the value without taking it."""
    reasons: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Rules by which some values make no call."""
    reasons_without: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Rules by which a record without the field makes no call."""
    warnings_without: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Warnings with which a record without the field is accepted."""


class Prober:
    """Maps records of one dialect, under the default settings and with one setting changed at a time."""

    def __init__(self, dialect: Dialect[Any]) -> None:
        chosen: dict[str, Mapping[str, object]] = {"": {}}
        for owner in DIALECTS.values():
            if owner is dialect or dialect.write is None:
                chosen |= {f"{owner.name}.{written}": {owner.name: own} for written, own in _settings_to_try(owner)}
        self._mappers = {
            written: Mapper(MappingSettings(dialect=dialect.name, dialect_settings=settings))
            for written, settings in chosen.items()
        }

    def end(self, record: Json, record_time_ms: int = TIMES_MS[0], setting: str = "") -> End | None:
        """How a record ends; None: it would be dead-lettered."""
        mapper = self._mappers[setting]
        mapper.warnings.clear()
        try:
            event = mapper.read(orjson.dumps(record), record_time_ms)
            if isinstance(event, Filtered):
                return End(event.reason, {}, {}, frozenset())
            document: dict[str, Json] = orjson.loads(orjson.dumps(mapper.to_document(event)))
            call = mapper.write(event)
        except RecordError:
            return None
        if isinstance(call, Filtered):
            return End(call.reason, document, {}, frozenset())
        return End(None, document, orjson.loads(call.body), frozenset(mapper.warnings))

    def effect(
        self, records: Sequence[Json], path: FieldPath, rule: dict[str, Any], others: Sequence[FieldPath]
    ) -> Effect:
        """What one field does in some records, also under other settings, and where another field is absent.

        Args:
            records: records that keep their contract.
            path: of the field.
            rule: what the schema says of it.
            others: paths of all fields.
        """
        effect = Effect()
        for record in records:
            for setting in self._mappers:
                self._try(effect, record, path, rule, f"with `{setting}`" if setting else "", setting)
            for other in others:
                thinner = record if other == path else without(record, other)
                if thinner != record:
                    self._try(effect, thinner, path, rule, f"if `{shown(other)}` is absent")
        return effect

    def _try(
        self, effect: Effect, record: Json, path: FieldPath, rule: dict[str, Any], condition: str, setting: str = ""
    ) -> None:
        """Add to ``effect`` what becomes of one record if the field changes, and if it is absent."""
        before = self.end(record, setting=setting)
        if before is None:
            return
        current = value_at(record, path)
        for value in values_to_try(rule, current):
            after = self.end(with_value(record, path, value), setting=setting)
            if after is not None:
                _compare(effect, condition, before, after, value)
                if current is None:
                    _compare_absence(effect, condition, after, before)
                elif after.call and before.reason is not None:
                    effect.reasons[before.reason].add(condition)
        absent = self.end(without(record, path), setting=setting)
        if absent is not None:
            _compare_absence(effect, condition, before, absent)

    def places_of_record_time(self, records: Sequence[Json], times: Sequence[FieldPath]) -> set[str]:
        """Places of the call that take the broker's time of a record that has no time itself.

        Args:
            records: records to try.
            times: the fields that state a time.
        """
        places = set()
        for record in records:
            bare = record
            for path in times:
                shorter = without(bare, path)
                bare = bare if self.end(shorter) is None else shorter
            early, late = (self.end(bare, time) for time in TIMES_MS)
            if early is not None and late is not None:
                places |= _differences(early.call, late.call)
        return places


def flattened(document: Json, place: str = "") -> dict[str, Json]:
    """Every scalar of a document by its place: ``properties.answers[].value``."""
    if isinstance(document, dict):
        inner = [flattened(part, f"{place}.{key}" if place else key) for key, part in document.items()]
        return {key: value for part in inner for key, value in part.items()}
    if isinstance(document, list):
        return flattened(document[0], place + ITEMS) if document else {}
    return {place: document}


def _settings_to_try(dialect: Dialect[Any]) -> Iterator[tuple[str, object]]:
    """Each other value of each setting that is a choice, as it is written, with the settings in which it is chosen."""
    if dialect.settings is None:
        return
    default, hints = dialect.settings(), get_type_hints(dialect.settings)
    for one in dataclasses.fields(dialect.settings):
        value = getattr(default, one.name)
        others: list[object] = [TEXT] if value is None else []
        if isinstance(value, bool):
            others = [not value]
        elif get_origin(hints[one.name]) is Literal:
            others = [choice for choice in get_args(hints[one.name]) if choice != value]
        for other in others:
            written = "..." if other is TEXT else str(other).lower()
            yield f"{one.name}: {written}", dataclasses.replace(default, **{one.name: other})


def _compare(effect: Effect, condition: str, before: End, after: End, value: Json) -> None:
    """Add to ``effect`` what the ``value`` of a field has changed."""
    if before.event and after.event:
        for place in _places_of(value, before.event, after.event) or _differences(before.event, after.event):
            effect.event[place].add(condition)
    if before.call and after.reason is not None:
        effect.reasons[after.reason].add(condition)
    if before.call and after.call:
        taking = _places_of(value, before.call, after.call)
        for place in taking:
            effect.call[place].add(condition)
        for place in _differences(before.call, after.call):
            if not is_in(place, taking):
                effect.changed[place].add(condition)


def _compare_absence(effect: Effect, condition: str, present: End, absent: End) -> None:
    """Add to ``effect`` what it means that the field is absent."""
    if present.call:
        if absent.reason is not None:
            effect.reasons_without[absent.reason].add(condition)
        for warning in absent.warnings - present.warnings:
            effect.warnings_without[warning].add(condition)


def is_in(place: str, others: Iterable[str]) -> bool:
    """Whether a place is one of the others, or inside of one."""
    return any(place == other or place.startswith((f"{other}.", other + ITEMS)) for other in others)


def _differences(before: Json, after: Json) -> set[str]:
    """Places at which two documents differ."""
    old, new = flattened(before), flattened(after)
    return {place for place in old.keys() | new.keys() if old.get(place, _ABSENT) != new.get(place, _ABSENT)}


def _places_of(value: Json, before: Json, after: Json, place: str = "") -> set[str]:
    """The outermost places of ``after`` that have ``value``, or the text of a number, and did not in ``before``."""
    if before == after:
        return set()
    if place and (after in ([value, str(value)] if type(value) is int else [value]) or _is_merged(value, after)):
        return {place}
    if isinstance(after, dict):
        old = before if isinstance(before, dict) else {}
        inner = [(old.get(key, _ABSENT), part, f"{place}.{key}" if place else key) for key, part in after.items()]
    else:
        old_items = before if isinstance(before, list) and before else [_ABSENT]
        inner = [(old_items[0], part, place + ITEMS) for part in after[:1]] if isinstance(after, list) else []
    return {found for old_part, part, where in inner for found in _places_of(value, old_part, part, where)}


def _is_merged(value: Json, part: Json) -> bool:
    """Whether an object has all keys of another one, and perhaps more."""
    return isinstance(value, dict) and isinstance(part, dict) and value.items() <= part.items()
