"""What a producer is told: place, expectation and type; never a value, and never a key that is data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.mapping.contract import MAX_BYTES_FOR_ALL_FAULTS, MAX_FAULTS, SCHEMAS, Contract, read_schema
from streamer.core.mapping.expectation import expectation
from streamer.core.mapping.finding import finding

SAMPLES = Path(__file__).parents[2] / "samples"


def fault_of(contract: str, document: Any, size: int = 1_000) -> str:
    """The detail of the error that ``document``, as a record of ``size`` bytes, is refused with."""
    broken = Contract(contract)
    assert not broken.is_kept_by(document)
    return broken.explain_breach(document, size)


def sample(name: str, **changes: Any) -> dict[str, Any]:
    return {**json.loads((SAMPLES / f"{name}.json").read_text()), **changes}


def test_a_sample_keeps_its_contract() -> None:
    assert Contract("sprig_webhook").is_kept_by(sample("sprig/01-nps"))


def test_every_fault_is_listed_with_the_name_of_the_schema() -> None:
    detail = fault_of("sprig_webhook", sample("sprig/01-nps", timestamp=1, surveyId=True, email=[]))
    faults, _, name = detail.rpartition(" (")
    assert name == "sprig_webhook.schema.json)"
    assert sorted(faults.split("; ")) == [
        "/email: expected a string or null, found array",
        "/surveyId: expected a non-empty string or an integer, found boolean",
        "/timestamp: expected an RFC 3339 time, found integer",
    ]


def test_many_faults_are_counted_not_listed() -> None:
    answers = [{"questionId": None, "answer": "x"}] * 9
    document = sample("product_fruits/07-survey-nps-and-text")
    document["data"]["answers"] = answers
    detail = fault_of("product_fruits_survey", document)
    assert detail.count("expected") == MAX_FAULTS
    assert "; and 4 more (" in detail


def test_a_large_record_gets_its_first_fault_only() -> None:
    """To collect a hundred thousand faults would stop the event loop for seconds."""
    document = sample("product_fruits/07-survey-nps-and-text")
    document["data"]["answers"] = [{"questionId": {}, "other": 1}] * 2
    assert fault_of("product_fruits_survey", document, MAX_BYTES_FOR_ALL_FAULTS).count("expected") == 4
    assert fault_of("product_fruits_survey", document, MAX_BYTES_FOR_ALL_FAULTS + 1).count("expected") == 1


def test_keys_that_are_data_are_masked() -> None:
    """The names of attributes and the labels of a matrix's rows are the customer's; one of them may be a name."""
    attributes = fault_of("sprig_webhook", sample("sprig/01-nps", attributes={"Jane Doe": {}}))
    assert attributes.startswith("/attributes/*: expected a string, a number, a boolean or null, found object")
    matrix = fault_of("sprig_export", sample("sprig/08-matrix-export-row", response={"Jane Doe": 1}))
    assert matrix.startswith("/response/*: expected a string or null, found integer")
    assert "Jane" not in attributes + matrix


@pytest.mark.parametrize("key", ["0", "7", "007", "4207123456789", "-1", "~1/a"])
def test_keys_that_look_like_indexes_are_masked_too(key: str) -> None:
    """An attribute may be named after a telephone number."""
    detail = fault_of("sprig_webhook", sample("sprig/01-nps", attributes={key: [[]]}))
    assert detail.startswith("/attributes/*: expected")


def test_faults_that_read_the_same_are_listed_once() -> None:
    detail = fault_of("sprig_webhook", sample("sprig/01-nps", attributes={"Jane Doe": {}, "John Doe": {}}))
    assert detail.count("expected") == 1


def test_a_breach_nested_deeper_than_can_be_shown_is_still_an_error() -> None:
    deep = orjson.loads(b"[" * 1_000 + b"]" * 1_000)
    detail = fault_of("getuserfeedback_event", sample("getuserfeedback/01-flow-viewed", context=deep))
    assert detail.startswith("it breaks the contract, and is nested too deeply to say where")


def test_unknown_keys_nested_deeply_pass() -> None:
    deep = orjson.loads(b"[" * 1_000 + b"]" * 1_000)
    assert Contract("getuserfeedback_event").is_kept_by(sample("getuserfeedback/01-flow-viewed", unknown=deep))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "a value"),
        ({"type": "string"}, "a string"),
        ({"type": "string", "minLength": 1}, "a non-empty string"),
        ({"type": "string", "minLength": 1, "maxLength": 99}, "a string of 1 to 99 characters"),
        ({"type": "string", "format": "uuid"}, "a UUID"),
        ({"type": ["string", "null"], "format": "date-time"}, "an RFC 3339 time or null"),
        ({"type": "string", "pattern": "\\S"}, "a non-empty string"),
        ({"type": "integer", "minimum": 1}, "an integer of at least 1"),
        ({"type": ["integer", "null"], "minimum": 0, "maximum": 10}, "an integer from 0 to 10 or null"),
        ({"type": ["array", "string", "null"]}, "an array, a string or null"),
        ({"type": ["object", "boolean", "number"]}, "an object, a boolean or a number"),
        ({"const": 1}, "1"),
        ({"enum": ["a", "b", "c"]}, "a, b or c"),
    ],
)
def test_expectations_read_as_words(rule: dict[str, Any], words: str) -> None:
    assert expectation(rule) == words


@pytest.mark.parametrize(
    "time",
    ["2026-03-02T09:15:27Z", "2026-03-02T09:15:27.123456789Z", "2026-03-02T09:15:27+02:00", "2024-02-29T00:00:00Z"],
)
def test_real_times_pass(time: str) -> None:
    assert Contract("getuserfeedback_event").is_kept_by(sample("getuserfeedback/01-flow-viewed", timestamp=time))


@pytest.mark.parametrize(
    ("time", "found"),
    [
        ("2026-02-29T00:00:00Z", "a time that does not exist"),
        ("2026-03-02T25:00:00+01:00", "a time that does not exist"),
        ("2026-03-02T09:15:60Z", "a time that does not exist"),
        ("2026-03-02", "a date without a time"),
        ("2026-03-02T09:15:27", "a time without a zone"),
        ("2026-03-02 09:15:27.418", "a time without a zone"),
        ("2026-03-02 09:15:27Z", "a time with a blank instead of its T"),
        ("1772442927", "only digits"),
        ("Mon, 02 Mar 2026 09:15:27 GMT", "a string that is no time"),
        ("2" * 100, "a string of 100 characters"),
        ("2026-03-02T09:15:27." + "0" * 99 + "Y", "a string of 120 characters"),
        ("", "an empty string"),
        (" \u200b\x00", "a blank string"),
    ],
)
def test_times_that_are_none_are_refused_with_what_is_wrong(time: str, found: str) -> None:
    detail = fault_of("getuserfeedback_event", sample("getuserfeedback/01-flow-viewed", timestamp=time))
    assert detail == f"/timestamp: expected an RFC 3339 time, found {found} (getuserfeedback_event.schema.json)"


@pytest.mark.parametrize(
    ("rule", "value", "keyword", "found"),
    [
        ({"type": "string"}, 1, "type", "integer"),
        ({"type": "object"}, '{"a": 1}', "type", "JSON text in a string"),
        ({"type": ["array", "null"]}, " [1] ", "type", "JSON text in a string"),
        ({"type": "integer"}, '{"a": 1}', "type", "string"),
        ({"type": "object"}, "{a", "type", "string"),
        ({"type": "object"}, [], "type", "array"),
        ({"type": "string", "minLength": 1}, "", "minLength", "an empty string"),
        ({"type": "string", "maxLength": 9}, "x" * 10, "maxLength", "a string of 10 characters"),
        ({"type": "string", "format": "uuid"}, "x", "format", "a string that is no UUID"),
        ({"enum": ["Flow Viewed"]}, "flow_viewed", "enum", "one of them in another spelling"),
        ({"enum": ["Flow Viewed"]}, "Flow Opened", "enum", "none of them"),
        ({"enum": ["Flow Viewed"]}, "Flow Viewed" * 9, "enum", "none of them"),
        ({"enum": ["Flow Viewed"]}, "", "enum", "an empty string"),
        ({"enum": ["Flow Viewed"]}, 7, "enum", "integer"),
        ({"const": 1}, 2, "const", "another integer"),
        ({"const": 1}, "1", "const", "string"),
        ({"type": "integer", "minimum": 0, "maximum": 10}, -1, "minimum", "a smaller integer"),
        ({"type": "integer", "minimum": 0, "maximum": 10}, 11, "maximum", "a larger integer"),
        ({"type": "string", "pattern": "^a"}, "b", "pattern", "another string"),
    ],
)
def test_findings_say_what_is_wrong_and_quote_nothing(
    rule: dict[str, Any], value: Any, keyword: str, found: str
) -> None:
    assert finding(rule, value, keyword) == found


def string_rules() -> Iterator[dict[str, Any]]:
    """Every part of a schema that says more of a string than that it is one."""
    suffix = ".schema.json"
    for name in sorted(path.name.removesuffix(suffix) for path in SCHEMAS.iterdir() if path.name.endswith(suffix)):
        parts: list[Any] = [read_schema(name)]
        while parts:
            part = parts.pop()
            if isinstance(part, dict):
                if part.keys() & {"pattern", "format", "minLength", "maxLength", "enum", "const"}:
                    yield part
                parts.extend(child for key, child in part.items() if key != "examples")
            elif isinstance(part, list):
                parts.extend(part)


RULES = list({json.dumps(rule, sort_keys=True): rule for rule in string_rules()}.values())

TEXTS = st.one_of(st.text(), st.text(st.characters(codec="ascii"), min_size=60), st.datetimes().map(str))


@given(st.sampled_from(RULES), TEXTS)
def test_no_schema_of_ours_finds_just_another_string(rule: dict[str, Any], text: str) -> None:
    """It says nothing: the producer has to know what is wrong with the string."""
    validator = jsonschema_rs.Draft202012Validator(rule, validate_formats=True)
    for error in validator.iter_errors(text):
        assert finding(rule, text, str(error.schema_path[-1])) != "another string"
