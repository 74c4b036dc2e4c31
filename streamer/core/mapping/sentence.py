"""What a schema says of the place that the detail of a dead letter names: for people who do not know the schema."""

import re
from functools import lru_cache
from typing import Any, Final

from streamer.core.mapping.contract import SCHEMAS, read_schema

_FAULT: Final = re.compile(r"(?:^|; |: )(the record|(?:/[^/:;\s]+)+): expected ")
_SCHEMA: Final = re.compile(r"\(([a-z0-9_]+)\.schema\.json\)$")

THE_RECORD: Final = "the record"
"""Stands in details for the whole document."""

MAX_POINTER_STEPS: Final = 64
"""A longer pointer is not one of ours."""


@lru_cache(maxsize=1_024)
def sentence_of(detail: str) -> str:
    """The ``description`` in the schema of the first place that a detail names.

    Args:
        detail: as a dead letter has it, with the name of its schema at its end; indexes may be ``*``.

    Returns:
        Empty if the detail names no schema, or no place that the schema describes.
    """
    fault, name = _FAULT.search(detail), _SCHEMA.search(detail)
    if fault is None or name is None or not SCHEMAS.joinpath(f"{name[1]}.schema.json").is_file():
        return ""
    steps = [] if fault[1] == THE_RECORD else fault[1].split("/")[1:]
    return _description(_schema(name[1]), steps) if len(steps) <= MAX_POINTER_STEPS else ""


@lru_cache
def _schema(name: str) -> dict[str, Any]:
    return read_schema(name)


def _description(rule: dict[str, Any], steps: list[str]) -> str:
    """What the schema says of the place; where it says nothing, of the part around it that it describes."""
    described = str(rule.get("description", ""))
    for step in steps:
        part = rule.get("properties", {}).get(step)
        if part is None and (step == "*" or step.isdigit()):
            part = rule.get("items")
        if part is None:
            part = rule.get("additionalProperties")
        if not isinstance(part, dict):
            break
        rule = part
        described = str(rule.get("description", described))
    return described
