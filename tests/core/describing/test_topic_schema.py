"""One schema a topic: it takes the records that the dialect takes, each by the form that the dialect reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.describing.topic_schema import bundled, file_name, name_of, names, published, schema_of
from streamer.core.errors import SchemaError
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.pushing import PUSHES

SAMPLES: Final = Path(__file__).parents[2] / "samples"
DIALECT: Final = DIALECTS["sprig"]


def validator_of(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def forms_of(name: str, document: Any, chosen: dict[str, object] | None = None) -> list[str]:
    """The forms of a dialect's schema that a document has by the rules beside the contracts."""
    forms = schema_of(name, chosen)["oneOf"]
    rules = {
        form["$ref"].split(":")[3]: {k: v for k, v in form.items() if k not in {"$ref", "title"}} for form in forms
    }
    return [contract for contract, rule in rules.items() if validator_of(rule).is_valid(document)]


@pytest.mark.parametrize("name", names())
def test_each_is_sound_and_says_who_it_is(name: str) -> None:
    schema = schema_of(name)
    jsonschema_rs.meta.validate(schema)
    assert name_of(schema["$id"]) == name_of(file_name(name)) == name_of(name) == name


def test_what_is_no_schema() -> None:
    assert name_of("sprigg") is None


@pytest.mark.parametrize("name", [*DIALECTS, *PUSHES])
def test_every_example_is_a_record_of_its_topic(name: str) -> None:
    validator = validator_of(bundled(schema_of(name)))
    for form in schema_of(name)["oneOf"]:
        for example in read_schema(form["$ref"].split(":")[3])["examples"]:
            validator.validate(example)
    assert not validator.is_valid({"answer": 42})


def test_a_bundle_stands_alone_and_a_form_already_does() -> None:
    assert set(bundled(schema_of("product_fruits"))["$defs"]) == set(DIALECTS["product_fruits"].contracts)
    assert bundled(schema_of("sprig_export")) == schema_of("sprig_export")


def test_published_schemas_refer_to_addresses_of_files() -> None:
    schema = published(bundled(schema_of("sprig")), "https://schemas.example.com/surveys/")
    base = "https://schemas.example.com/surveys"
    assert schema["$id"] == f"{base}/sprig.schema.json"
    assert {form["$ref"] for form in schema["oneOf"]} == {f"{base}/{file_name(one)}" for one in DIALECT.contracts}
    assert "urn:streamer" not in json.dumps(schema)
    for example in read_schema("sprig_stream")["examples"]:
        validator_of(schema).validate(example)


def test_event_types_of_the_settings_count() -> None:
    record = {**read_schema("sprig_webhook")["examples"][0], "eventType": "REPLY_SENT"}
    assert not validator_of(bundled(schema_of("sprig"))).is_valid(record)
    chosen = {"sprig": SprigSettings(answer_event_types=("reply.sent",))}
    assert validator_of(bundled(schema_of("sprig", chosen))).is_valid(record)


event_types = st.sampled_from(
    ["ANSWER_SUBMITTED", "answer.submitted", "test", "STUDY_SEEN", "Study-Seen", "OTHER", "é"]
)
records = st.fixed_dictionaries(
    {},
    optional={
        "eventType": event_types,
        "responseGroupId": st.just("g"),
        "externalUserId": st.just("u"),
        "questionText": st.just("q"),
        "response": st.integers(),
    },
)


@given(records)
def test_the_rules_between_forms_are_those_of_the_mapping(record: dict[str, Any]) -> None:
    """Of a record without any mark of a form, the mapping says what a webhook should have: it has no event type."""
    settings = SprigSettings()
    try:
        expected = [DIALECT.contract_of(record, settings)]
    except SchemaError:
        expected = []
    required = {form: set(read_schema(form)["required"]) & {"eventType"} for form in DIALECT.contracts}
    found = [form for form in forms_of("sprig", record) if required[form] <= record.keys()]
    if expected == ["sprig_webhook"] and "eventType" not in record:
        expected = ["sprig_export"]  # whose contract refuses it, too
    assert found == expected


def sample_records() -> Iterator[Any]:
    for path in sorted(SAMPLES.glob("*/*.json")):
        if path.parent.name in DIALECTS and path.name.count(".") == 1:
            yield pytest.param(path, id=f"{path.parent.name}/{path.stem}")


@pytest.mark.parametrize("path", list(sample_records()))
def test_samples_have_one_form_each(path: Path) -> None:
    """Or none that the mapping would read either: some samples are refused on purpose."""
    record = json.loads(path.read_text("utf-8"))
    schema = bundled(schema_of(path.parent.name))
    valid = sum(validator_of({**form, "$defs": schema["$defs"]}).is_valid(record) for form in schema["oneOf"])
    assert valid == 1
