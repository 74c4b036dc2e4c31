"""The files under ``schemas/``: each is a sound JSON Schema, says what it accepts, and its examples are true."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing import PUSHES

SCHEMAS = Path(__file__).parents[3] / "schemas"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json"))


def objects_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object and names some of its keys, and the schema itself."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects_in(part)
    elif isinstance(schema, dict):
        if "properties" in schema and "type" in schema:
            yield schema
        for key, part in schema.items():
            if key != "examples":
                yield from objects_in(part)


def test_every_schema_is_used_by_a_dialect_and_every_dialect_has_its_schemas() -> None:
    used = [name for dialect in DIALECTS.values() for name in dialect.contracts]
    used += [push.contract for push in PUSHES.values()]
    assert sorted(used) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_valid_and_says_who_it_is(name: str) -> None:
    schema = read_schema(name)
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:streamer:schema:{name}:1"
    assert schema["type"] == "object"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", NAMES)
def test_examples_keep_their_own_contract(name: str) -> None:
    schema = read_schema(name)
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert schema["examples"]
    for example in schema["examples"]:
        validator.validate(example)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys_pass_explicitly_everywhere(name: str) -> None:
    """A platform adds keys without asking; a schema that is silent about it leaves producers guessing."""
    for part in objects_in(read_schema(name)):
        assert "additionalProperties" in part, list(part["properties"])
        assert part["additionalProperties"] is not False


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_described(name: str) -> None:
    for part in objects_in(read_schema(name)):
        undescribed = [key for key, rule in part["properties"].items() if "description" not in rule]
        assert undescribed == []


def test_sprig_forms_share_the_shapes_of_answers() -> None:
    """Each file stands alone for its readers, so the shapes are written three times; they must not drift apart."""
    webhook, export, stream = (read_schema(name)["allOf"] for name in ("sprig_webhook", "sprig_export", "sprig_stream"))
    assert webhook == export == stream


def test_schemas_are_formatted_as_one() -> None:
    for name in NAMES:
        path = SCHEMAS / f"{name}.schema.json"
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2, ensure_ascii=False) + "\n", name
