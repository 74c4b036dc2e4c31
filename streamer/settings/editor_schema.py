"""The configuration as a JSON Schema, with which editors complete and check the YAML file.

It describes the file as people write it: durations and sizes with their units, ``${VARIABLE}`` in place of any value,
null for a default. What only the whole can say (a destination that does not exist) is left to ``streamer check``.
"""

from typing import Any, Final

from streamer.settings.model import Settings
from streamer.settings.sections import Switch

SCHEMA_ID: Final = "urn:streamer:schema:config:1"

_VARIABLE: Final = {"type": "string", "pattern": r"\$\{"}
"""A value that the environment gives."""


def editor_schema() -> dict[str, Any]:
    """The schema, JSON Schema 2020-12."""
    schema = Settings.model_json_schema()
    integration = schema["$defs"]["IntegrationSettings"]
    integration["required"].remove("group_id")  # streamer.NAME without it
    for name, field in Settings.model_fields.items():
        if Switch in field.metadata:
            schema["properties"][name]["anyOf"].append({"const": False})
    adapted = _adapted(schema)
    adapted["$defs"] = {name: _or_null(part) for name, part in adapted["$defs"].items()}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "streamer's configuration",
    }
    return {**head, **{key: value for key, value in adapted.items() if key not in head}}


def _adapted(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule for what stands in the file, instead of for what the model holds."""
    # Defaults are shown by the model in its own units, and titles only repeat the names.
    adapted = {key: value for key, value in rule.items() if key not in {"default", "title"}}
    for key in adapted.keys() & {"properties", "$defs"}:
        adapted[key] = {name: _adapted(part) for name, part in adapted[key].items()}
    for key in adapted.keys() & {"items", "additionalProperties"}:
        if isinstance(adapted[key], dict):
            adapted[key] = _adapted(adapted[key])
    if "anyOf" in adapted:
        adapted["anyOf"] = [_adapted(part) for part in adapted["anyOf"]]
    if "properties" in adapted:
        required = adapted.get("required", ())
        adapted["properties"] = {
            name: part if name in required else _or_null(part) for name, part in adapted["properties"].items()
        }
    return _or_variable(adapted)


def _or_variable(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule for a value that a variable may give. A text without a pattern may be one already."""
    is_number = rule.get("type") in ("integer", "number", "boolean")
    if not is_number and rule.keys().isdisjoint({"enum", "const", "pattern"}):
        return rule
    description = {"description": rule.pop("description")} if "description" in rule else {}
    return {**description, "anyOf": [rule, _VARIABLE]}


def _or_null(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule for a value that may be left empty, which stands for its default."""
    if "anyOf" in rule:
        return {**rule, "anyOf": [*rule["anyOf"], {"type": "null"}]}
    if isinstance(rule.get("type"), str):
        # Not as another alternative: editors name the place of a fault only outside of them.
        return {**rule, "type": [rule["type"], "null"]}
    return rule
