"""Dead letters as documents that people correct, and what is written back."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.bytes_as_text import as_fields, from_fields
from streamer.core.dead_letters.casebook import Place
from streamer.core.dead_letters.exported import corrected_record, corrected_value, exported, place_in
from tests.core.dead_letters.letters import StoredRecord, dead_letter, letter_of

TIME = {"streamer.original_timestamp": b"1500000000000"}


def through_a_file(record: StoredRecord) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(exported(record, letter_of(record)), ensure_ascii=False))
    return document


def test_a_document_says_which_dead_letter_it_is() -> None:
    record = dead_letter(17, TIME, value=b'{ "rank": 1.0 }')
    record.headers = [("app", b"web"), ("bytes", b"\xff"), ("empty", None), *record.headers]
    document = through_a_file(record)
    assert place_in(document) == Place("surveys.dlq", 0, 17)
    assert document["headers"][:3] == [
        {"name": "app", "value_text": "web"},
        {"name": "bytes", "value_base64": base64.b64encode(b"\xff").decode()},
        {"name": "empty", "value_text": None},
    ]
    del document["headers"]
    assert document == {
        "place": "surveys.dlq:0:17",
        "integration": "surveys",
        "reason": "rejected_400",
        "detail": None,
        "message_id": None,
        "record": "surveys:4:99",
        "record_time": "2017-07-14T02:40:00.000Z",
        "dead_letter_time": "2026-02-02T02:40:00.000Z",
        "key_text": "visitor",
        "value_json": {"rank": 1.0},
    }


VALUES = st.one_of(
    st.binary(max_size=50),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).map(lambda document: json.dumps(document, indent=1).encode()),
    st.sampled_from([b'{"a":1,"a":2}', b"[NaN]", b'{"a":"\\ud800"}', b"[" * 3_000 + b"]" * 3_000, b"[1e999]"]),
)


@given(VALUES)
def test_what_nobody_corrects_stays_as_it_is_to_the_byte(value: bytes) -> None:
    """Blanks, repeated keys and the notation of numbers are lost in a JSON document, and must not be lost here."""
    record = dead_letter(value=value)
    assert corrected_value(record, letter_of(record), through_a_file(record)) == value


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("value_json", {"rank": True}, b'{"rank":true}'),
        ("value_json", {"rank": 1.0}, b'{"rank":1.0}'),
        ("value_json", {"name": "Zoë"}, '{"name":"Zoë"}'.encode()),
        ("value_text", "plain", b"plain"),
        ("value_text", None, None),
        ("value_base64", "/w==", b"\xff"),
    ],
)
def test_a_correction_is_what_is_written(field: str, given: Any, value: bytes | None) -> None:
    """In Python, ``True == 1 == 1.0``; for whoever corrects a record they are three values."""
    record = dead_letter(value=b'{"rank": 1}')
    document = through_a_file(record)
    del document["value_json"]
    assert corrected_value(record, letter_of(record), {**document, field: given}) == value


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "found 0"),
        ({"value_json": {}, "value_text": ""}, "found 2"),
        ({"value_text": 3}, "value_text: expected a string"),
        ({"value_text": "\ud800"}, "value_text: cannot be written"),
        ({"value_base64": "?"}, "value_base64: cannot be written"),
        ({"value_json": {"secret": "\ud800"}}, "value_json: has a number or a string"),
        ({"value_json": {"secret": float("nan")}}, "value_json: has a number or a string"),
    ],
)
def test_what_cannot_be_written_is_said_without_quoting_it(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        from_fields("value", fields, b"original")
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize("document", [None, [], {}, {"place": 3}, {"place": "evt_3"}])
def test_a_document_without_a_place_is_none_of_ours(document: Any) -> None:
    with pytest.raises(ValueError, match="place: expected topic:partition:offset"):
        place_in(document)


def test_a_corrected_record_goes_back_as_any_other() -> None:
    record = dead_letter(12, TIME)
    record.headers = [("app", b"web"), *record.headers]
    back = corrected_record(record, letter_of(record), b"corrected")
    assert (back.topic, back.partition, back.key, back.value) == ("surveys", 4, b"visitor", b"corrected")
    assert back.timestamp == 1_500_000_000_000
    assert back.headers == [
        ("app", b"web"),
        ("streamer.redrives", b"2"),
        ("streamer.integration", b"surveys"),
        ("streamer.redriven.from", b"surveys.dlq-0-12"),
    ]


def test_a_value_that_the_broker_did_not_accept_can_be_given_back() -> None:
    """The key of such a dead letter is of its own making."""
    record = dead_letter(changes={"streamer.value.omitted": b"1"}, value=b"")
    document = through_a_file(record)
    assert (document["key_text"], document["value_text"]) == (None, None)
    assert corrected_value(record, letter_of(record), document) is None
    assert corrected_value(record, letter_of(record), {**document, "value_text": "found"}) == b"found"
    assert corrected_record(record, letter_of(record), b"found").key is None


def test_bytes_that_are_not_there_are_not_empty_ones() -> None:
    assert as_fields("key", None) != as_fields("key", b"")
    assert from_fields("key", as_fields("key", None), b"") is None
