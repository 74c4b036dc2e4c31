"""What serialisers write where nothing is meant: null for any part, ``[]`` for an empty map.

Only a document that breaks its contract is looked at, and only at places where the contract allows neither. So this
costs nothing for other records, and holds for the contracts of all dialects alike.
"""

from collections.abc import Mapping
from typing import Any, Final

from streamer.core.mapping.expectation import choices_of, types_of
from streamer.core.mapping.native import Document
from streamer.core.model import Json

_ABSENT: Final = object()


def without_absent(document: Document, rule: Mapping[str, Any]) -> Document:
    """A copy of an object without the optional parts that are null, or ``[]`` in the place of an object.

    A required object that is ``[]`` becomes an empty one, and an answer that is ``[]`` instead of a map becomes null.

    Args:
        document: a decoded object.
        rule: what its schema says of it.
    """
    rules, required = rule.get("properties", {}), rule.get("required", ())
    present = {}
    for key, value in document.items():
        part = _present(value, rules[key]) if key in rules else value
        if part is not _ABSENT:
            present[key] = part
        elif key in required:
            present[key] = value if value is None else {}
    for branch in rule.get("allOf", ()):
        if _applies(branch.get("if"), present):
            for key, part_rule in branch["then"]["properties"].items():
                if _is_empty_map(present.get(key), part_rule):
                    present[key] = None
    return present


def _present(value: Json, rule: dict[str, Any]) -> Json:
    """``value`` without absent parts, or `_ABSENT`."""
    if value is None:
        types, choices = types_of(rule), choices_of(rule)
        return None if "null" in types or None in choices or not (types or choices) else _ABSENT
    if _is_empty_map(value, rule):
        return _ABSENT
    if isinstance(value, dict) and "properties" in rule:
        return without_absent(value, rule)
    items = rule.get("items", {})
    if isinstance(value, list) and "properties" in items:
        return [without_absent(item, items) if isinstance(item, dict) else item for item in value]
    return value


def _is_empty_map(value: Json, rule: dict[str, Any]) -> bool:
    types = types_of(rule)
    return isinstance(value, list) and not value and "object" in types and "array" not in types


def _applies(condition: dict[str, Any] | None, document: Document) -> bool:
    """Whether a document meets the condition of a branch: that keys have one of the values that it lists."""
    return condition is not None and all(
        document.get(key) in choices_of(rule) for key, rule in condition["properties"].items()
    )
