"""One JSON Schema for any record of a topic, made of the contracts of its dialect.

Each contract describes one form of a record, and a topic may hold all forms of its dialect: a record keeps exactly one
of them (``oneOf``). Every schema has its own ``$id``, by which others refer to it. These are names, not addresses,
until `published` puts the address in front under which somebody serves the files.
"""

from collections.abc import Mapping
from typing import Any, Final

from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import Json
from streamer.core.pushing.pushes import PUSHES

META_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_ID: Final = "urn:streamer:schema:{name}:1"

Schema = dict[str, Any]


def names() -> list[str]:
    """What has a schema: the dialects, those of the way back included, then the forms of their records."""
    return [*DIALECTS, *PUSHES, *sorted(contracts())]


def contracts() -> dict[str, str]:
    """The forms of records: name of the contract -> its dialect."""
    found = {contract: dialect.name for dialect in DIALECTS.values() for contract in dialect.contracts}
    return found | {push.contract: push.name for push in PUSHES.values()}


def file_name(name: str) -> str:
    """The name of the file of a schema, as in ``schemas/``."""
    return f"{name}.schema.json"


def schema_of(name: str, chosen: Mapping[str, object] | None = None) -> Schema:
    """The schema of one of `names`.

    Args:
        name: a dialect, whose schema refers to those of its forms, or a form.
        chosen: settings of dialects by name, as in an integration; what is left out has its default.
    """
    if name in contracts():
        return read_schema(name)
    forms: dict[str, dict[str, Json]]
    if name in PUSHES:
        forms = {PUSHES[name].contract: {}}
    else:
        dialect = DIALECTS[name]
        rules = {} if dialect.form_rules is None else dialect.form_rules(dialect.settings_in(chosen or {}))
        forms = {one: dict(rules.get(one, {})) for one in dialect.contracts}
    return {
        "$schema": META_SCHEMA,
        "$id": _ID.format(name=name),
        "title": f"Any record of a topic with the dialect {name}",
        "description": "A record keeps exactly one of these contracts.",
        "type": "object",
        "oneOf": [_form(contract, rule) for contract, rule in forms.items()],
    }


def bundled(schema: Schema) -> Schema:
    """A schema with all schemas that it refers to, so that it stands alone."""
    parts = {name: read_schema(name) for name in contracts()}
    used = {
        name: part for name, part in parts.items() if any(one["$ref"] == part["$id"] for one in _references(schema))
    }
    return {**schema, "$defs": used} if used else schema


def published(schema: Schema, base: str) -> Schema:
    """A schema whose ``$id`` and references are addresses below ``base``, where its files can be fetched."""
    addresses = {_ID.format(name=name): f"{base.rstrip('/')}/{file_name(name)}" for name in names()}
    moved: Schema = _moved(schema, addresses)
    return moved


def name_of(text: str) -> str | None:
    """The name of the schema that somebody means: by its name, its file's name or its ``$id``; None: no schema."""
    return next((name for name in names() if text in (name, file_name(name), _ID.format(name=name))), None)


def _form(contract: str, rule: Mapping[str, Json]) -> Schema:
    schema = read_schema(contract)
    return {"title": schema["title"], "$ref": schema["$id"], **rule}


def _references(schema: Schema) -> list[Schema]:
    return [form for form in schema.get("oneOf", ()) if "$ref" in form]


def _moved(part: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(part, list):
        return [_moved(entry, addresses) for entry in part]
    if not isinstance(part, dict):
        return part
    return {
        key: addresses.get(value, value)
        if key in {"$id", "$ref"} and isinstance(value, str)
        else _moved(value, addresses)
        for key, value in part.items()
    }
