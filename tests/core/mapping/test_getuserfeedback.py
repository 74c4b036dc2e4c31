"""What is peculiar to getuserfeedback.com: its own message ids, almost the same names, warnings instead of refusals."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import SchemaError
from streamer.core.mapping import Mapper, getuserfeedback
from streamer.core.model import MappingSettings, TrackCall

SAMPLES = Path(__file__).parents[2] / "samples/getuserfeedback"


def sample(name: str, *, properties: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A sample record with some keys, or some of its properties, replaced; ``...`` removes one."""
    [path] = [path for path in SAMPLES.glob(f"{name}-*.json") if path.name.count(".") == 1]
    document = json.loads(path.read_text())
    if properties is not None:
        merged = {**document["properties"], **properties}
        changes["properties"] = {key: value for key, value in merged.items() if value is not ...}
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


def mapper() -> Mapper:
    return Mapper(MappingSettings(dialect="getuserfeedback"))


def sent(document: dict[str, Any]) -> dict[str, Any]:
    call = mapper().map(orjson.dumps(document), -1)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    return body


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("01", {}),
        ("07", {}),
        ("13", {"response_id_absent": 2}),
        ("14", {"identities_absent": 2, "references_absent": 2}),
    ],
)
def test_what_is_missing_is_accepted_and_counted(name: str, warnings: dict[str, int]) -> None:
    counting = mapper()
    for _ in range(2):
        assert isinstance(counting.map(orjson.dumps(sample(name)), 0), TrackCall)
    assert counting.warnings == warnings


def test_a_known_person_without_user_id_has_no_key_for_it() -> None:
    assert "userId" not in sent(sample("01", userId=None))
    assert "userId" not in sent(sample("01", userId=...))


def test_ids_that_are_numbers_become_strings_and_their_numbers_are_kept() -> None:
    document = sample("03", userId=1, anonymousId=2, properties={"app_id": 3, "survey_id": 4, "response_id": None})
    body = sent(document)
    assert (body["userId"], body["anonymousId"]) == ("1", "2")
    assert (body["properties"]["app_id"], body["properties"]["survey_id"]) == ("3", "4")
    assert "response_id" not in body["properties"]
    extra = getuserfeedback.extra_of(getuserfeedback.read(document, "getuserfeedback_event", 0))
    assert extra == {"userId": 1, "anonymousId": 2, "properties": {"app_id": 3, "survey_id": 4, "response_id": None}}


@pytest.mark.parametrize("key", ["survey_id", "response_id", "app_id", "organization_id"])
def test_an_empty_id_is_a_fault(key: str) -> None:
    with pytest.raises(SchemaError, match=f"^/properties/{key}: expected a non-empty string"):
        mapper().map(orjson.dumps(sample("03", properties={key: ""})), 0)


@pytest.mark.parametrize("characters", [1, 99])
def test_native_message_ids_go_out_unchanged(characters: int) -> None:
    message_id = "é" * characters
    assert sent(sample("01", messageId=message_id))["messageId"] == message_id


@pytest.mark.parametrize("message_id", ["", "m" * 100, 7, None])
def test_a_message_id_that_segment_would_not_take_is_refused(message_id: Any) -> None:
    with pytest.raises(SchemaError, match=r"^/messageId: expected a string of 1 to 99 characters"):
        mapper().map(orjson.dumps(sample("01", messageId=message_id)), 0)


def test_unknown_keys_are_kept_in_their_places_and_do_not_reach_segment() -> None:
    context = {"page": {"path": "/a", "title": "A"}, "locale": "cs", "userAgent": "Browser"}
    document = sample("01", context=context, tenant=1, properties={"score": 5})
    event = getuserfeedback.read(document, "getuserfeedback_event", 0)
    assert getuserfeedback.extra_of(event) == {
        "tenant": 1,
        "properties": {"score": 5},
        "context": {"userAgent": "Browser", "page": {"title": "A"}},
    }
    assert event.context == {"page": {"path": "/a"}, "locale": "cs"}
    body = sent(document)
    assert body["context"] == {"page": {"path": "/a"}, "locale": "cs"}
    assert body["properties"] == sent(sample("01"))["properties"]


@pytest.mark.parametrize("traits", [{}, {"email": 5}, {"email": None}])
def test_only_an_email_that_is_text_becomes_the_persons(traits: dict[str, Any]) -> None:
    document = sample("01", properties={"traits": traits})
    assert "email" not in getuserfeedback.read(document, "getuserfeedback_event", 0).subject
    assert sent(document)["properties"]["traits"] == traits
