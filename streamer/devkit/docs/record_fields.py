"""The fields of a record: which there are by its schema, and copies of the record in which one of them is changed."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from streamer.core.model import Json

FieldPath = tuple[str, ...]
"""Keys that lead to a field of a record."""

ITEMS: Final = "[]"
"""In a path or a place: the items of a list. The first one stands for all."""

OTHER_KEY: Final = "*"
"""In a path: a key that the schema does not name."""

TEXT: Final = "marked"
"""The text that stands for any other text."""

_OF_TYPE: Final[Mapping[str, list[Json]]] = {
    "string": [TEXT],
    "integer": [7, 8],
    "boolean": [True, False],
    "array": [[], [7], [TEXT]],
    "object": [{TEXT: TEXT}],
}
_OF_FORMAT: Final = {"date-time": "2001-02-03T04:05:06.000Z", "uuid": "00000000-0000-4000-8000-000000000000"}
_TYPES: Final = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


def schema_fields(rule: dict[str, Any], path: FieldPath = ()) -> Iterator[tuple[FieldPath, dict[str, Any], bool]]:
    """The fields of a record that a schema names, except objects that hold others; and whether each is required.

    Where fields hold others, one more stands for all keys that the schema does not name.
    """
    if "items" in rule:
        rule, path = rule["items"], (*path, ITEMS)
    for key, part in rule["properties"].items():
        if "properties" not in part:
            yield (*path, key), part, key in rule.get("required", ())
        if "properties" in part or "properties" in part.get("items", {}):
            yield from schema_fields(part, (*path, key))
    yield (*path, OTHER_KEY), {"type": "string", "description": "Keys that are not listed here."}, False


def shown(path: FieldPath) -> str:
    """A path in one word."""
    return ".".join(path).replace(f".{ITEMS}", ITEMS)


def values_to_try(rule: dict[str, Any], current: Json) -> list[Json]:
    """Other values of a field: all that the schema lists, else some of each type that it allows.

    Where it allows any type, the type stays as it is.
    """
    if "enum" in rule or "const" in rule:
        return [value for value in rule.get("enum", ()) if value != current]
    types = rule.get("type", [_TYPES.get(type(current), "string")])
    values = [value for name in ([types] if isinstance(types, str) else types) for value in _OF_TYPE.get(name, ())]
    values = [_OF_FORMAT.get(rule.get("format", ""), value) if value == TEXT else value for value in values]
    return [value for value in values if value != current]


def value_at(record: Json, path: FieldPath) -> Json:
    """The value of a field; None: null, or the field is absent."""
    for step in path:
        record = (record or [None])[0] if step == ITEMS else (record or {}).get(step)
    return record


def with_value(record: Json, path: FieldPath, value: Json) -> Json:
    """A copy of ``record`` with ``value`` at ``path``; what is missing on the way is made."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == ITEMS:
        first, *others = record or [None]
        return [with_value(first, rest, value), *others]
    return {**(record or {}), step: with_value((record or {}).get(step), rest, value)}


def without(record: Json, path: FieldPath) -> Json:
    """A copy of ``record`` without the field at ``path``."""
    step, rest = path[0], path[1:]
    if not record or (step != ITEMS and step not in record):
        return record
    if step == ITEMS:
        return [without(record[0], rest), *record[1:]]
    kept = {key: value for key, value in record.items() if key != step}
    return {**kept, step: without(record[step], rest)} if rest else kept
