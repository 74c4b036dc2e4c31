"""What a record is, rule by rule in their order, and that no record of any form breaks the reader."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.inbound.body import split
from streamer.core.inbound.call import Action, Call, Ignored, IgnoredReason, Rejected
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.model import DeadLetterReason, Stage

SAMPLES = Path(__file__).parents[2] / "samples" / "inbound"
RULES = Rules()
RECEIVED_MS = 1_780_300_800_041
HEADERS = [
    ("streamer.webhook", b"production"),
    ("streamer.received", b"2026-06-01T08:00:00.041Z"),
    ("streamer.authenticated", b"true"),
]
IDENTIFY = {"type": "identify", "userId": "u-1", "messageId": "m-1"}
TRACK = {"type": "track", "event": "Pricing Viewed", "userId": "u-1", "messageId": "m-1"}


def read_text(text: str | bytes, rules: Rules = RULES) -> Call | Ignored | Rejected:
    return read(text if isinstance(text, bytes) else text.encode(), HEADERS, RECEIVED_MS, rules)


def read_call(call: Any, rules: Rules = RULES) -> Call:
    found = read_text(json.dumps(call), rules)
    assert isinstance(found, Call), found
    return found


def ignored(call: Any, rules: Rules = RULES) -> IgnoredReason:
    found = read_text(json.dumps(call), rules)
    assert isinstance(found, Ignored), found
    return found.reason


def rejected(call: Any, rules: Rules = RULES) -> Rejected:
    found = read_text(call if isinstance(call, str | bytes) else json.dumps(call), rules)
    assert isinstance(found, Rejected), found
    return found


def test_every_sample_is_read_as_expected() -> None:
    """The reasons that need no directory, and the actions."""
    ignored_early = {"own_event", "not_an_action", "unknown_type", "no_event_name"}
    for path in sorted(SAMPLES.glob("*.body.json")):
        calls = split(path.read_bytes(), 10)
        assert isinstance(calls, list)
        counts = json.loads(Path(str(path).replace(".body.", ".expect.")).read_bytes())["counts"]
        expected = {reason: n for reason, n in counts["ignored"].items() if reason in ignored_early}
        reasons = [found.reason for found in map(read_text, calls) if isinstance(found, Ignored)]
        assert {reason.value: reasons.count(reason) for reason in reasons} == expected, path.name
        assert not any(isinstance(found, Rejected) for found in map(read_text, calls))


# Step 1: decode


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        r'{"a":"\ud800"}',
        r'{"a":"\udc00\ud800"}',
        '{"a":1e999}',
        '{"a":' + "9" * 5_000 + "}",
        b'{"a":"\xff"}',
        "[" * 65 + "]" * 65,
        '{"a":' * 65 + "1" + "}" * 65,
        '{"a":[' * 33 + "1" + "]}" * 33,
        "[" * 40_000 + "]" * 40_000,
        '{"a":' * 1_100 + "1" + "}" * 1_100,
    ],
    ids=lambda value: str(value[:16]),
)
def test_what_cannot_be_decoded_is_a_decode_error(value: str | bytes) -> None:
    found = rejected(value)
    assert (found.reason, found.stage, found.type_label) == (DeadLetterReason.DECODE_ERROR, Stage.DECODE, "_other")
    assert found.message_id is None


def test_64_levels_are_read() -> None:
    inner: Any = 1
    for _ in range(63):
        inner = {"a": inner}
    (name,) = read_call({**IDENTIFY, "traits": inner}).traits.attributes
    assert name == ".".join(["a"] * 63)
    assert rejected({**IDENTIFY, "traits": {"a": inner}}).reason is DeadLetterReason.DECODE_ERROR
    assert rejected({"json": {**IDENTIFY, "traits": inner}}).reason is DeadLetterReason.DECODE_ERROR
    assert read_call({**TRACK, "properties": {"text": "[{" * 1_000}}).properties == {"text": "[{" * 1_000}


def test_a_call_over_its_limits_is_too_large() -> None:
    fits = json.dumps({**TRACK, "properties": {"x": ""}}).encode()
    padded = fits.replace(b'""', b'"' + b"x" * ((512 << 10) - len(fits)) + b'"')
    assert len(padded) == 512 << 10
    assert isinstance(read_text(padded), Call)
    assert rejected(padded + b" ").reason is DeadLetterReason.TOO_LARGE
    assert rejected("[" + "0," * 60_000 + "0]").reason is DeadLetterReason.TOO_LARGE
    assert rejected("[" + "0," * 60_000 + "0]").stage is Stage.DECODE


def test_of_a_repeated_key_the_last_one_counts() -> None:
    found = read_text('{"type":"track","type":"identify","userId":"a","userId":"b"}')
    assert isinstance(found, Call)
    assert (found.action, found.user_id) == (Action.IDENTIFY_USER, "b")


def test_a_tombstone_is_no_call() -> None:
    found = read(None, [], 0, RULES)
    assert isinstance(found, Rejected)
    assert found.reason is DeadLetterReason.DECODE_ERROR


# Steps 2 and 3: wrapper and shape


def test_an_object_with_only_the_key_json_is_a_wrapper() -> None:
    assert read_call({"json": IDENTIFY}) == read_call(IDENTIFY)
    fault = rejected({"json": {**IDENTIFY, "userId": {}}})
    assert fault.pointer == "/json/userId"
    assert read_call({"json": 1, **IDENTIFY}).user_id == "u-1"
    assert rejected({"json": {"json": IDENTIFY}}).pointer == "/json/type"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("[]", "the call: expected an object, found array"),
        ("null", "the call: expected an object, found null"),
        ('"secret"', "the call: expected an object, found string"),
        ("{}", "/type: expected a string, found nothing"),
        ('{"type":null}', "/type: expected a string, found null"),
        ('{"type":["track"]}', "/type: expected a string, found array"),
        ('{"json":12}', "/json: expected an object, found integer"),
    ],
)
def test_what_has_no_type_is_invalid(value: str, detail: str) -> None:
    found = rejected(value)
    assert (found.reason, found.stage) == (DeadLetterReason.SCHEMA_INVALID, Stage.VALIDATE)
    assert (found.detail, found.type_label, found.message_id) == (detail, "_other", None)


# Step 4: messageId


@pytest.mark.parametrize(
    ("given_id", "read_id"), [("m-1", "m-1"), (" m ", " m "), (17, "17"), (2**64 - 1, str(2**64 - 1))]
)
def test_the_message_id_is_kept_as_text(given_id: object, read_id: str) -> None:
    assert read_call({**IDENTIFY, "messageId": given_id}).message_id == read_id
    assert read_call({**IDENTIFY, "messageId": read_id}).message_id == read_id


@pytest.mark.parametrize("blank", [None, "", "  ", "\t\u00a0"])
def test_without_message_id_the_same_bytes_have_the_same(blank: str | None) -> None:
    text = json.dumps({"type": "identify", "userId": "u-1", "messageId": blank}).encode()
    found = read_text(text)
    assert isinstance(found, Call)
    assert found.message_id == "call_" + hashlib.sha256(text).hexdigest()[:40]
    assert found.message_id != read_call({"type": "identify", "userId": "u-1"}).message_id


@pytest.mark.parametrize(("wrong", "kind"), [({}, "object"), (True, "boolean"), (1.5, "number"), (2**64, "number")])
def test_a_message_id_of_another_type_is_invalid(wrong: object, kind: str) -> None:
    found = rejected({**IDENTIFY, "type": "page", "messageId": wrong})
    assert found.pointer == "/messageId"
    assert found.detail.endswith(f"found {kind}")


# Step 5 is the directory's: it needs the messageId of whatever was rejected or ignored later


def test_what_is_rejected_or_ignored_has_its_message_id() -> None:
    assert rejected({**IDENTIFY, "userId": []}).message_id == "m-1"
    found = read_text(json.dumps({**IDENTIFY, "type": "unheard"}))
    assert isinstance(found, Ignored)
    assert (found.message_id, found.webhook) == ("m-1", "production")


# Step 6: type


@pytest.mark.parametrize("kind", ["page", "screen", "group"])
def test_pages_screens_and_groups_are_ignored_whatever_they_hold(kind: str) -> None:
    call = {"type": kind, "userId": {}, "context": [], "messageId": "spr_" + "0" * 40}
    assert ignored(call) is IgnoredReason.NOT_AN_ACTION


@pytest.mark.parametrize("kind", ["Track", "IDENTIFY", " track", "", "unheard"])
def test_types_are_compared_to_the_letter(kind: str) -> None:
    found = read_text(json.dumps({"type": kind, "userId": {}}))
    assert isinstance(found, Ignored)
    assert (found.reason, found.type_label) == (IgnoredReason.UNKNOWN_TYPE, "_other")


# Step 7: fields


@pytest.mark.parametrize("name", ["userId", "anonymousId", "previousId"])
@pytest.mark.parametrize(
    ("given_id", "read_id"),
    [
        (None, None),
        ("", None),
        (" \t\u00a0\u2003", None),
        ("\u200b", None),
        (" x ", " x "),
        ("ÄX", "ÄX"),
        ("a\u0308", "a\u0308"),
        (0, "0"),
        (-(2**63), str(-(2**63))),
        (2**64 - 1, str(2**64 - 1)),
        ("x" * 255, "x" * 255),
        ("a/b?c#d\u2028", "a/b?c#d\u2028"),
    ],
)
def test_ids_are_kept_to_the_letter(name: str, given_id: object, read_id: str | None) -> None:
    found = read_call({"type": "alias", name: given_id})
    field = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "previous_id"}[name]
    assert getattr(found, field) == read_id


@pytest.mark.parametrize("name", ["userId", "anonymousId", "previousId"])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ([], "array"),
        ({"secret": 1}, "object"),
        (True, "boolean"),
        (12.0, "number"),
        (2**64, "number"),
        (-(2**63) - 1, "number"),
        ("x" * 256, "a string of 256 characters"),
        ("secret\u0000", "a string with control characters"),
        ("\u0000", "a string with control characters"),
        ("se\u0085cret", "a string with control characters"),
    ],
)
def test_other_ids_are_invalid(name: str, wrong: object, kind: str) -> None:
    found = rejected({**TRACK, name: wrong})
    assert (found.pointer, found.type_label) == (f"/{name}", "track")
    assert found.detail.endswith(f"found {kind}")


@pytest.mark.parametrize("wrong", ["text", [], 1, False])
def test_parts_are_objects(wrong: object) -> None:
    for name in ("context", "traits", "properties"):
        assert rejected({**IDENTIFY, name: wrong}).pointer == f"/{name}"
        assert isinstance(read_call({**IDENTIFY, name: None}), Call)
    assert rejected({**IDENTIFY, "context": {"traits": wrong}}).pointer == "/context/traits"
    assert read_call({**TRACK, "properties": None}).properties == {}


def test_a_delete_reads_only_user_id_and_timestamp() -> None:
    call = {"type": "delete", "userId": 5, "timestamp": "2026-01-01", "anonymousId": [], "context": 1, "event": {}}
    found = read_call({**call, "messageId": "pf_" + "a" * 40})
    assert (found.action, found.user_id, found.anonymous_id) == (Action.DELETE_USER, "5", None)
    assert rejected({"type": "delete", "userId": {}}).pointer == "/userId"


# Steps 8 and 9: loop guard and names


@pytest.mark.parametrize(
    "change",
    [
        {"context": {"integration": {"name": "sprig"}}},
        {"context": {"integration": {"name": "product-fruits"}}},
        {"context": {"integration": {"name": "streamer"}}},
        {"context": {"library": {"name": "streamer"}}},
        {"event": "Flow Viewed"},
        {"messageId": "spr_" + "0a" * 20},
        {"messageId": "pf_" + "0a" * 20},
    ],
    ids=str,
)
def test_own_calls_are_ignored(change: dict[str, Any]) -> None:
    assert ignored({**TRACK, **change}) is IgnoredReason.OWN_EVENT
    if "event" not in change:
        assert ignored({**TRACK, **change, "event": None}) is IgnoredReason.OWN_EVENT
        assert ignored({**IDENTIFY, **change}) is IgnoredReason.OWN_EVENT


@pytest.mark.parametrize(
    "change",
    [
        {"context": {"integration": {"name": "Sprig"}}},
        {"context": {"integration": "sprig"}},
        {"context": {"integration": {"name": ["sprig"]}}},
        {"context": {"library": {"name": "sprig"}}},
        {"event": "flow viewed"},
        {"messageId": "spr_" + "0A" * 20},
        {"messageId": "spr_" + "0a" * 20 + "\n"},
    ],
    ids=str,
)
def test_others_are_not(change: dict[str, Any]) -> None:
    assert read_call({**TRACK, **change}).action is Action.TRACK_EVENT


def test_own_events_are_those_of_the_settings() -> None:
    rules = replace(RULES, own_events=frozenset({"Rated"}))
    assert ignored({**TRACK, "event": "Rated"}, rules) is IgnoredReason.OWN_EVENT
    assert read_call({**TRACK, "event": "Flow Viewed"}, rules).event == "Flow Viewed"
    assert read_call({**IDENTIFY, "event": "Rated"}, rules).action is Action.IDENTIFY_USER


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_an_event_without_name_is_ignored(blank: str | None) -> None:
    assert ignored({**TRACK, "event": blank}) is IgnoredReason.NO_EVENT_NAME
    assert rejected({**TRACK, "event": 5}).pointer == "/event"
    assert rejected({**TRACK, "event": "x" * 256}).pointer == "/event"


def test_only_signed_out_to_the_letter_signs_out() -> None:
    assert read_call({**TRACK, "event": "Signed Out"}).action is Action.SIGN_OUT_USER
    assert read_call({**TRACK, "event": "signed out"}).action is Action.TRACK_EVENT
    assert read_call({**TRACK, "event": "Signed Out "}).action is Action.TRACK_EVENT


# Settings


def test_a_screen_can_be_an_event_named_by_its_name() -> None:
    rules = replace(RULES, screen_is_event=True)
    call = {"type": "screen", "name": "Board", "userId": "u-1", "properties": {"a": None}, "event": 5}
    found = read_call(call, rules)
    assert (found.action, found.event, found.properties) == (Action.TRACK_EVENT, "Board", {"a": None})
    assert found.type_label == "screen"
    assert ignored({**call, "name": ""}, rules) is IgnoredReason.NO_EVENT_NAME
    assert ignored({**call, "name": "Flow Viewed"}, rules) is IgnoredReason.OWN_EVENT
    assert rejected({**call, "name": 5}, rules).pointer == "/name"


def test_a_group_can_be_attributes() -> None:
    rules = replace(RULES, group_is_attributes=True)
    traits = {"name": "Acme", "email": "info@example.com", "id": "other", "plan": {"seats": 3}, "firstName": "A"}
    call = {"type": "group", "userId": "u-1", "groupId": 7, "traits": traits}
    found = read_call({**call, "context": {"traits": {"email": "info@example.com"}}}, rules)
    assert found.action is Action.GROUP_USER
    assert found.traits.email is found.traits.firstname is None
    assert found.traits.attributes == {
        "group.id": "7",
        "group.name": "Acme",
        "group.email": "info@example.com",
        "group.plan.seats": 3,
        "group.firstName": "A",
    }
    assert read_call({"type": "group", "userId": "u-1"}, rules).traits.attributes == {}
    assert rejected({**call, "groupId": []}, rules).pointer == "/groupId"


def test_calls_that_no_signature_covers_can_be_set_aside() -> None:
    rules = replace(RULES, refuse_unauthenticated=frozenset({"production"}))
    value = json.dumps({**IDENTIFY, "type": "page"}).encode()
    for authenticated in ([("streamer.authenticated", b"false")], [], [("streamer.authenticated", None)]):
        found = read(value, [("streamer.webhook", b"production"), *authenticated], RECEIVED_MS, rules)
        assert isinstance(found, Rejected)
        assert (found.reason, found.message_id) == (DeadLetterReason.UNAUTHENTICATED, "m-1")
        assert isinstance(read(value, [("streamer.webhook", b"other"), *authenticated], RECEIVED_MS, rules), Ignored)
        redriven = [("streamer.webhook", b"production"), *authenticated, ("streamer.redrives", b"1")]
        assert isinstance(read(value, redriven, RECEIVED_MS, rules), Ignored), "who redrives it vouches for it"
    assert isinstance(read(value, HEADERS, RECEIVED_MS, rules), Ignored)


# Time and receipt

RECEIVED = RECEIVED_MS * 1_000


@pytest.mark.parametrize(
    ("timestamp", "before_receipt_ms"),
    [
        ("2026-06-01T08:00:00.000Z", 41),
        ("2026-06-01T08:00:00.000z", 41),
        ("2026-06-01T10:00:00.000+02:00", 41),
        ("2026-06-01T08:00:00", 41),
        ("2026-06-01 08:00", 41),
        ("20260601T080000Z", 41),
        ("2026-06-01", 8 * 3_600_000 + 41),
        ("2026-06-01T08:00:00.000041Z", 40.959),
        ("2026-06-01T07:59:60Z", 42),
        ("2026-06-01T08:00:00.041000001Z", 0),
        ("2026-06-01T08:00:01Z", 0),
        ("9999-12-31T23:59:59-12:00", 0),
        ("yesterday", 0),
        ("", 0),
        ("1780300800", 0),
        ("2026-02-30T00:00:00Z", 0),
        ("2026-06-01T08:00:61Z", 0),
        ("x" * 100_000, 0),
        (None, 0),
        (1_780_300_800, 0),
        ({}, 0),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_time_of_a_call_is_never_later_than_its_receipt(timestamp: object, before_receipt_ms: float) -> None:
    at = read_call({**IDENTIFY, "timestamp": timestamp}).at
    assert at == RECEIVED - round(before_receipt_ms * 1_000)


def test_the_first_and_last_year_are_read() -> None:
    assert read_call({**IDENTIFY, "timestamp": "0001-01-01T00:00:00+14:00"}).at < -(10**16)
    far = read(json.dumps(IDENTIFY).encode(), [], 1 << 62, RULES)
    assert isinstance(far, Call)
    assert far.received.startswith("9999-")


def test_a_call_tells_how_it_arrived() -> None:
    found = read_call(IDENTIFY)
    assert (found.webhook, found.received, found.authenticated) == ("production", "2026-06-01T08:00:00.041Z", True)
    bare = read(json.dumps(IDENTIFY).encode(), [("streamer.received", b"\xff")], RECEIVED_MS, RULES)
    assert isinstance(bare, Call)
    assert (bare.webhook, bare.received, bare.authenticated) == ("", "2026-06-01T08:00:00.041Z", False)
    assert bare.at == RECEIVED
    timeless = read(json.dumps(IDENTIFY).encode(), [], -1, RULES)
    assert isinstance(timeless, Call)
    assert (timeless.at, timeless.received) == (0, "1970-01-01T00:00:00.000Z")


# Any record

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SECRET = "hunter2"
odd = json_values | st.sampled_from([SECRET, [SECRET], {SECRET: SECRET}, SECRET + "\0", SECRET * 100])
calls = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["identify", "track", "alias", "delete", "page", "screen", "group", SECRET]) | odd,
        **dict.fromkeys(["userId", "anonymousId", "previousId", "groupId", "messageId", "event", "name"], odd),
        **dict.fromkeys(["timestamp", "traits", "properties", "context", "writeKey"], odd),
    },
)


@given(
    calls | st.fixed_dictionaries({"json": calls}) | odd,
    st.builds(Rules, remove_nulls=st.booleans(), screen_is_event=st.booleans(), group_is_attributes=st.booleans()),
)
def test_any_json_is_read_and_no_value_is_quoted(call: object, rules: Rules) -> None:
    found = read_text(json.dumps(call), rules)
    if isinstance(found, Rejected):
        assert SECRET not in found.detail + found.pointer
    if isinstance(found, Call):
        assert SECRET not in found.type_label
        assert found.at <= RECEIVED


@given(st.binary(max_size=64), st.lists(st.tuples(st.text(), st.none() | st.binary())), st.integers(-1, 2**63))
def test_any_bytes_are_read(value: bytes, headers: list[tuple[str, bytes | None]], timestamp_ms: int) -> None:
    assert read(value, headers, timestamp_ms, RULES) is not None
