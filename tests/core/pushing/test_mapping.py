"""Profiles and triggers -> calls of each API, and the rules by which a record makes none."""

import hashlib
from typing import Any

import orjson
import pytest

from streamer.core.errors import MappingError, RecordError, SchemaError
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.naming import message_id_of
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall
from streamer.core.pushing import APIS, PUSHES, new_mapper
from streamer.core.pushing.profiles import ProfilesSettings
from streamer.core.pushing.request import decode_request

(PROFILE,) = read_schema("profile")["examples"]
(TRIGGER,) = read_schema("trigger")["examples"]
SUCCESSOR = [("streamer.successor", b"new"), ("streamer.change", b"renamed")]


def push(
    dialect: str, kind: str, record: Any, headers: Any = (), key: bytes | None = b"usr_48151", **chosen: Any
) -> Any:
    """How a record ends, as ``[method, path, body]`` or a reason; and the warnings."""
    mapper = new_mapper(MappingSettings(dialect=dialect, kind=kind, **chosen))
    end = mapper.map(None if record is None else orjson.dumps(record), 0, headers, key)
    if isinstance(end, Filtered):
        return end.reason, dict(mapper.warnings)
    method, path, body = decode_request(end.body)
    return [method, path, orjson.loads(body) if body else None], dict(mapper.warnings)


def test_a_profile_for_sprig_has_scalars_only() -> None:
    request, warnings = push("profiles", "sprig", PROFILE)
    assert request == [
        "POST",
        "/v2/users",
        {
            "userId": "usr_48151",
            "attributes": {
                "!email": "ada@example.com",
                "firstname": "Ada",
                "plan": "Pro",
                "role": "admin",
                "seats": 12,
                "signUpAt": "2026-05-01T10:00:00Z",
                "trial": False,
            },
        },
    ]
    assert warnings == {"sprig_list_attribute": 1}


def test_a_profile_for_sprig_has_at_most_100_attributes() -> None:
    attributes = {f"a{number}": number for number in range(100)}
    (_, _, body), warnings = push("profiles", "sprig", {**PROFILE, "attributes": attributes})
    assert list(body["attributes"]) == ["!email", "firstname", *(f"a{number}" for number in range(98))]
    assert warnings == {"sprig_attribute_over_100": 2}


def test_an_attribute_never_stands_in_for_what_the_directory_knows_itself() -> None:
    attributes = {"!email": "other@example.com", "firstname": "Bob"}
    (_, _, body), _ = push("profiles", "sprig", {**PROFILE, "email": None, "attributes": attributes})
    assert body["attributes"] == {"firstname": "Ada"}


def test_a_profile_for_product_fruits_has_role_and_sign_up_from_attributes() -> None:
    request, warnings = push("profiles", "product_fruits", PROFILE)
    assert request == [
        "POST",
        "/v1/identify",
        {
            "user": {
                "username": "usr_48151",
                "firstname": "Ada",
                "role": "admin",
                "signUpAt": "2026-05-01T10:00:00Z",
                "props": {
                    "plan": "Pro",
                    "seats": 12,
                    "tags": ["beta", "eu"],
                    "trial": False,
                    "email": "ada@example.com",
                },
            }
        },
    ]
    assert warnings == {}


def test_what_product_fruits_does_not_know_as_such_is_a_property_or_left_out() -> None:
    attributes = {"role": ["a", "b"], "signUpAt": "last week", "flags": [True]}
    profile = {**PROFILE, "firstname": None, "email": None, "attributes": attributes}
    (_, _, body), warnings = push("profiles", "product_fruits", profile)
    assert body == {"user": {"username": "usr_48151", "props": {"role": ["a", "b"], "signUpAt": "last week"}}}
    assert warnings == {"product_fruits_list_of_booleans": 1}


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("sprig", ["POST", "/v2/purge/visitors", {"userIds": ["usr_48151"], "delaySeconds": 0}]),
        ("product_fruits", ["DELETE", "/v1/users/usr_48151", None]),
    ],
)
def test_a_name_that_is_gone_is_deleted_and_a_renamed_one_as_chosen(kind: str, request_: list[Any]) -> None:
    assert push("profiles", kind, None) == (request_, {})
    assert push("profiles", kind, None, SUCCESSOR) == (FilterReason.TOMBSTONE, {})
    deleting = {"profiles": ProfilesSettings(renamed="delete")}
    assert push("profiles", kind, None, SUCCESSOR, dialect_settings=deleting) == (request_, {})


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_tombstone_without_a_name_deletes_nobody(key: bytes | None) -> None:
    with pytest.raises(MappingError, match="the record's key: expected the username"):
        push("profiles", "sprig", None, key=key)


def test_a_name_is_one_segment_of_the_path() -> None:
    request, _ = push("profiles", "product_fruits", None, key="a/b?c#d%2e é".encode())
    assert request[1] == "/v1/users/a%2Fb%3Fc%23d%252e%20%C3%A9"
    for name in (b".", b".."):
        with pytest.raises(MappingError, match="a name that an address can hold"):
            push("profiles", "product_fruits", None, key=name)


def test_all_calls_about_a_user_have_one_message_id() -> None:
    mapper = new_mapper(MappingSettings(dialect="profiles", kind="sprig"))
    ends = [
        mapper.map(value, 0, (), b"usr_48151")
        for value in (orjson.dumps(PROFILE), orjson.dumps({**PROFILE, "revision": 1}), None)
    ]
    (message_id,) = {end.message_id for end in ends if isinstance(end, TrackCall)}
    assert message_id == "profile_" + hashlib.sha256(b"usr_48151").hexdigest()[:40]


def test_a_trigger_for_sprig_is_an_event_without_properties() -> None:
    request, warnings = push("triggers", "sprig", TRIGGER)
    events = [{"event": "Report Exported", "timestamp": 1780301220000}]
    assert request == ["POST", "/v2/users", {"userId": "usr_48151", "events": events}]
    assert warnings == {}


def test_a_trigger_for_product_fruits_has_its_scalar_properties() -> None:
    properties = {"format": "csv", "pages": 3, "tags": ["q2"], "none": None, "username": "somebody", "deep": {"a": 1}}
    request, warnings = push("triggers", "product_fruits", {**TRIGGER, "properties": properties})
    body = {"event": "Report Exported", "properties": {"format": "csv", "pages": 3, "username": "usr_48151"}}
    assert request == ["POST", "/v1/events/track", body]
    assert warnings == {"product_fruits_property": 3}


@pytest.mark.parametrize("kind", APIS)
def test_rules_by_which_a_trigger_makes_no_call(kind: str) -> None:
    assert push("triggers", kind, {**TRIGGER, "username": None})[0] == FilterReason.NO_IDENTITY
    assert push("triggers", kind, TRIGGER, disabled=frozenset({"Report Exported"}))[0] == FilterReason.EVENT_DISABLED
    assert push("triggers", kind, None)[0] == FilterReason.TOMBSTONE
    (_, _, body), _ = push("triggers", kind, TRIGGER, rename={"Report Exported": "export"})
    assert body.get("event") == "export" or body["events"][0]["event"] == "export"


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize(("dialect", "record"), [("profiles", PROFILE), ("triggers", TRIGGER)])
def test_rules_of_both(kind: str, dialect: str, record: Any) -> None:
    redriven = [("streamer.redrives", b"1"), ("streamer.integration", b"another")]
    assert push(dialect, kind, record, redriven, integration="mine")[0] == FilterReason.REDRIVEN_FOR_OTHER
    assert push(dialect, kind, record, discard=True)[0] == FilterReason.PAUSED
    right = [("streamer.schema", PUSHES[dialect].contract.encode() + b".1")]
    assert isinstance(push(dialect, kind, record, right)[0], list)
    with pytest.raises(SchemaError, match=r"the header streamer\.schema: expected"):
        push(dialect, kind, record, [("streamer.schema", b"other.1")])
    for key in read_schema(PUSHES[dialect].contract)["required"]:
        with pytest.raises(SchemaError, match=f"/{key}: expected"):
            push(dialect, kind, {name: value for name, value in record.items() if name != key})


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b"null", b"\xff", b'{"username":"a"}'])
@pytest.mark.parametrize("dialect", PUSHES)
def test_what_is_no_record_of_the_directory_is_rejected_without_being_quoted(dialect: str, value: bytes) -> None:
    mapper = new_mapper(MappingSettings(dialect=dialect, kind="sprig"))
    with pytest.raises(RecordError) as caught:
        mapper.map(value, 0, (), b"ada")
    assert "ada" not in str(caught.value)


def test_a_rejected_trigger_has_its_message_id() -> None:
    with pytest.raises(RecordError) as caught:
        push("triggers", "sprig", {**TRIGGER, "timestamp": "0000-01-01T00:00:00Z"})
    assert message_id_of(caught.value) == "in-0008"
