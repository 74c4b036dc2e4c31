"""Null for an absent part and ``[]`` for an empty map are absent, in all dialects and at all places alike."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping import Mapper
from streamer.core.mapping.contract import Contract, read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.expectation import choices_of, types_of
from streamer.core.model import MappingSettings, TrackCall
from streamer.devkit.docs.record_fields import with_value, without

SAMPLES = Path(__file__).parents[2] / "samples"
MAPPERS = {name: Mapper(MappingSettings(dialect=name)) for name in DIALECTS}
CONTRACTS = [(dialect.name, contract) for dialect in DIALECTS.values() for contract in dialect.contracts]
REQUIRED, OPTIONAL = True, False


def places(rule: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any], bool]]:
    """Every place that a schema names, with its rule and whether it is required there."""
    for key, part in rule["properties"].items():
        yield (*path, key), part, key in rule.get("required", ())
        if "properties" in part:
            yield from places(part, (*path, key))
        if "properties" in part.get("items", {}):
            yield from places(part["items"], (*path, key, "[]"))


def is_there(record: Any, path: tuple[str, ...]) -> bool:
    """Whether a record has all that leads to a place."""
    for step in path[:-1]:
        record = record[0] if step == "[]" and record else record.get(step) if isinstance(record, dict) else None
    return isinstance(record, dict)


def end_of(dialect: str, record: Any) -> Any:
    """The decoded call of a record, or the rule by which it makes none."""
    end = MAPPERS[dialect].map(orjson.dumps(record), 0)
    return json.loads(end.body) if isinstance(end, TrackCall) else end


def end_or_detail(dialect: str, record: Any) -> Any:
    """The same, or what its producer is told."""
    try:
        return end_of(dialect, record)
    except MappingError as error:
        return error.detail


def cases(contract: str, *, is_required: bool) -> Iterator[tuple[Any, tuple[str, ...], dict[str, Any]]]:
    schema = read_schema(contract)
    for record in schema["examples"]:
        for path, rule, required in places(schema):
            if required == is_required and is_there(record, path):
                yield record, path, rule


@pytest.mark.parametrize(("dialect", "contract"), CONTRACTS)
def test_null_is_absent_wherever_the_contract_does_not_allow_it(dialect: str, contract: str) -> None:
    tried = 0
    for record, path, rule in cases(contract, is_required=OPTIONAL):
        if (types_of(rule) or choices_of(rule)) and "null" not in types_of(rule):
            tried += 1
            assert end_or_detail(dialect, with_value(record, path, None)) == end_or_detail(
                dialect, without(record, path)
            ), path
    assert tried or dialect in {"sprig", "product_fruits"}  # their contracts allow null nearly everywhere


@pytest.mark.parametrize(("dialect", "contract"), CONTRACTS)
def test_an_empty_list_is_absent_wherever_a_map_is_meant(dialect: str, contract: str) -> None:
    tried = 0
    for record, path, rule in cases(contract, is_required=OPTIONAL):
        if "object" in types_of(rule):
            tried += 1
            assert end_of(dialect, with_value(record, path, [])) == end_of(dialect, without(record, path)), path
    assert tried or contract == "product_fruits_survey"


@pytest.mark.parametrize(("dialect", "contract"), CONTRACTS)
def test_a_required_part_cannot_be_null(dialect: str, contract: str) -> None:
    for record, path, rule in cases(contract, is_required=REQUIRED):
        if "null" not in types_of(rule) and path[-1] not in {"response", "value"}:
            with pytest.raises(SchemaError, match=f"/{path[-1]}: expected .* found null"):
                end_of(dialect, with_value(record, path, None))


def test_a_required_map_may_be_an_empty_list_only_where_it_may_be_empty() -> None:
    event = json.loads((SAMPLES / "canonical/sprig-01-nps.json").read_text())
    assert end_of("canonical", {**event, "subject": []}) == end_of("canonical", {**event, "subject": {}})
    with pytest.raises(SchemaError, match=r"^/source: expected an object, found array"):
        end_of("canonical", {**event, "source": []})
    with pytest.raises(SchemaError, match=r"^/properties: expected an object, found array"):
        end_of("getuserfeedback", {**read_schema("getuserfeedback_event")["examples"][0], "properties": []})


@pytest.mark.parametrize("question_type", ["MATRIX", "RANKORDER", "CONSENTLEGAL", "VIDEOVOICE", "matrix"])
def test_an_answer_that_is_an_empty_list_instead_of_a_map_is_null(question_type: str) -> None:
    row = {**json.loads((SAMPLES / "sprig/08-matrix-export-row.json").read_text()), "questionType": question_type}
    assert end_of("sprig", {**row, "response": []}) == end_of("sprig", {**row, "response": None})


def test_a_list_with_something_in_it_is_no_empty_map() -> None:
    event = json.loads((SAMPLES / "getuserfeedback/01-flow-viewed.json").read_text())
    with pytest.raises(SchemaError, match=r"^/context: expected an object, found array"):
        end_of("getuserfeedback", {**event, "context": [[]]})


def test_what_is_unknown_or_may_be_anything_stays_as_it_is() -> None:
    """Only places that the contract names are looked at, and only those where it allows neither."""
    event = json.loads((SAMPLES / "getuserfeedback/01-flow-viewed.json").read_text())
    event["properties"]["traits"] = {"plan": None, "tags": []}
    call = end_of("getuserfeedback", {**event, "context": None, "unknown": None})
    assert call["properties"]["traits"] == {"plan": None, "tags": []}


def test_a_document_is_not_changed_by_being_looked_at() -> None:
    """Its faults are told of as it came."""
    event = {**read_schema("getuserfeedback_event")["examples"][0], "context": None, "timestamp": 1}
    before = orjson.dumps(event)
    with pytest.raises(SchemaError, match="/context: expected an object, found null"):
        end_of("getuserfeedback", event)
    Contract("getuserfeedback_event").without_absent(event)
    assert orjson.dumps(event) == before
