"""Segment's documented behaviour, request by request, against the running sandbox."""

import base64
import gzip
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse

from streamer.devkit.sandbox.server import Sandbox

Post = Callable[..., Coroutine[Any, Any, ClientResponse]]

ACCEPTED = {"success": True}
KEY = "streamer_test_write_key_000000001"


def track(**changes: Any) -> dict[str, Any]:
    """A valid track call with some members changed; None takes one away."""
    call = {
        "type": "track",
        "userId": "u-1001",
        "event": "Survey Question Answered",
        "messageId": "st1-6a1b0c9e",
        "timestamp": "2025-03-04T05:06:07.089Z",
        "properties": {"survey_id": "s-42", "survey_question_id": "q-3", "score": 9},
    } | changes
    return {name: value for name, value in call.items() if value is not None}


def batch(*calls: Any, **envelope: Any) -> dict[str, Any]:
    return {"batch": list(calls), "sentAt": "2025-03-04T05:06:09.000Z", **envelope}


MIXED = batch(
    {"type": "identify", "userId": "u-1001", "messageId": "st1-0001", "traits": {"email": "a@example.com"}},
    {"type": "track", "anonymousId": "anon-7", "event": "Survey Shown", "messageId": "st1-0002", "properties": {}},
    {"type": "alias", "previousId": "anon-7", "userId": "u-1001", "messageId": "st1-0003"},
    writeKey=KEY,
)


def sized(call: dict[str, Any], size: int) -> dict[str, Any]:
    """The call with a text in it that makes its JSON ``size`` bytes long."""
    filled = call | {"properties": {"text": ""}}
    return call | {"properties": {"text": "x" * (size - len(orjson.dumps(filled)))}}


async def test_a_valid_track_call_is_accepted(sandbox: Sandbox, post: Post) -> None:
    answer = await post("/v1/track", track(type=None))
    assert (answer.status, await answer.json()) == (200, ACCEPTED)
    assert answer.headers["Content-Type"] == "application/json"
    assert (sandbox.record.accepted, sandbox.record.count("st1-6a1b0c9e")) == (1, 1)


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/batch/", "/v1/import", "/v1/import/"])
async def test_a_mixed_batch_with_the_key_in_its_body_is_accepted(sandbox: Sandbox, post: Post, path: str) -> None:
    answer = await post(path, MIXED, headers={})
    assert (answer.status, await answer.json()) == (200, ACCEPTED)
    assert sandbox.record.accepted_ids == {"st1-0001", "st1-0002", "st1-0003"}


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("identify", {"userId": "u", "traits": {}}),
        ("page", {"userId": "u", "name": "Pricing"}),
        ("screen", {"anonymousId": "a", "category": "Settings"}),
        ("group", {"userId": "u", "groupId": "g", "traits": None}),
        ("alias", {"userId": "u", "previousId": "a"}),
    ],
)
async def test_every_single_call_has_a_path(sandbox: Sandbox, post: Post, path: str, call: Any) -> None:
    assert (await post(f"/v1/{path}", call)).status == 200
    assert sandbox.record.accepted == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"userId": None}, "no_user_anon_id"),
        ({"userId": ""}, "no_user_anon_id"),
        ({"userId": 1001}, "id_not_string"),
        ({"anonymousId": 7}, "id_not_string"),
        ({"messageId": 7}, "id_not_string"),
        ({"event": None}, "event_not_defined"),
        ({"event": ""}, "event_not_defined"),
        ({"event": 7}, "event_not_string"),
        ({"properties": ["a"]}, "properties_not_object"),
        ({"messageId": "m" * 120}, "message_id_too_long"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_a_call_that_breaks_a_rule_is_swallowed_after_a_200(
    sandbox: Sandbox, post: Post, path: str, changes: dict[str, Any], code: str
) -> None:
    call = track(**changes)
    answer = await post(path, call if path == "/v1/track" else batch(call))
    assert (answer.status, await answer.json()) == (200, ACCEPTED)
    assert sandbox.record.swallowed_by_code == {code: 1}
    assert not sandbox.record.accepted_ids


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"type": "page", "userId": "u-1", "name": ""}, "name_not_string"),
        ({"type": "screen", "userId": "u-1", "category": 3}, "category_not_string"),
        ({"type": "identify", "userId": "u-1", "traits": "none"}, "traits_not_object"),
        ({"type": "survey", "userId": "u-1"}, "bad_request"),
        ({"type": ["track"], "userId": "u-1"}, "bad_request"),
        ({"userId": "u-1"}, "bad_request"),
        ("call", "bad_request"),
        (None, "bad_request"),
    ],
)
async def test_a_bad_call_in_a_batch_is_swallowed_and_its_neighbours_are_published(
    sandbox: Sandbox, post: Post, call: Any, code: str
) -> None:
    assert (await post("/v1/batch", batch(track(), call))).status == 200
    assert sandbox.record.swallowed_by_code == {code: 1}
    assert sandbox.record.accepted_ids == {"st1-6a1b0c9e"}
    assert sandbox.record.requests_by_discard == {"multi_user_error": 1}


async def test_a_messageid_of_100_characters_is_still_accepted(sandbox: Sandbox, post: Post) -> None:
    await post("/v1/track", track(messageId="m" * 100))
    assert sandbox.record.accepted == 1


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize("body", [b'{"userId":"u-1",', b"", b"\xff", b"[]", b"7", b'{"batch": NaN}'])
async def test_a_body_that_is_not_a_json_object_is_answered_400_in_plain_text(
    sandbox: Sandbox, post: Post, path: str, body: bytes
) -> None:
    answer = await post(path, body)
    assert (answer.status, await answer.text()) == (400, "Bad Request")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert (sandbox.record.received, sandbox.record.requests_by_answer) == (0, {"400": 1})


async def test_a_batch_that_is_not_a_list_is_answered_400(post: Post) -> None:
    assert (await post("/v1/batch", {"batch": {"type": "track"}})).status == 400


@pytest.mark.parametrize(("size", "status"), [(32_000, 200), (32_001, 400), (33_000, 400)])
async def test_a_single_call_may_have_32_kb(sandbox: Sandbox, post: Post, size: int, status: int) -> None:
    assert (await post("/v1/track", sized(track(), size))).status == status
    assert (sandbox.record.accepted, sandbox.record.refused) == ((1, 0) if status == 200 else (0, 1))


@pytest.mark.parametrize(("size", "status"), [(500_000, 200), (500_001, 400), (535_982, 400)])
async def test_a_batch_may_have_500_kb(sandbox: Sandbox, post: Post, size: int, status: int) -> None:
    """The calls of a refused batch count as refused: they were received, and will come again."""
    calls = [sized(track(messageId=f"m-{number}"), 24_000) for number in range(20)]
    padding = size - len(orjson.dumps(batch(*calls, pad="")))
    assert (await post("/v1/batch", batch(*calls, pad="x" * padding))).status == status
    assert (sandbox.record.accepted, sandbox.record.refused) == ((20, 0) if status == 200 else (0, 20))


async def test_a_batch_of_2500_calls_is_accepted(sandbox: Sandbox, post: Post) -> None:
    calls = [{"type": "track", "userId": "u", "event": "e", "messageId": f"m-{number}"} for number in range(2_500)]
    assert (await post("/v1/batch", batch(*calls))).status == 200
    assert sandbox.record.accepted == 2_500


async def test_a_batch_of_2501_calls_is_swallowed_whole(sandbox: Sandbox, post: Post) -> None:
    calls = [{"type": "track", "userId": "u", "event": "e", "messageId": f"m-{number}"} for number in range(2_501)]
    assert (await post("/v1/batch", batch(*calls))).status == 200
    assert sandbox.record.swallowed_by_code == {"too_many_calls": 2_501}


async def test_one_call_of_40_kb_refuses_its_whole_batch(sandbox: Sandbox, post: Post) -> None:
    """Segment's documentation leaves it open: the sandbox takes the reading that is harder on the sender."""
    small = [track(messageId=f"m-{number}") for number in range(10)]
    assert (await post("/v1/batch", batch(*small, sized(track(), 40_000)))).status == 400
    assert (sandbox.record.refused, sandbox.record.accepted) == (11, 0)


async def test_a_call_nested_too_deep_to_be_measured_does_not_break_the_sandbox(sandbox: Sandbox, post: Post) -> None:
    deep = (
        b'{"batch":[{"type":"track","properties":{"d":'
        + b"[" * 900
        + b"]" * 900
        + b'},"pad":"'
        + b"x" * 32_000
        + b'"}]}'
    )
    assert (await post("/v1/batch", deep)).status == 400
    assert sandbox.record.refused == 1


async def test_an_unknown_write_key_gets_a_200(post: Post) -> None:
    assert (await post("/v1/batch", batch(track(), writeKey="k" * 32), headers={})).status == 200


@pytest.mark.parametrize("key", ["", "abc123", None, 7])
async def test_an_empty_or_very_short_write_key_is_answered_400(sandbox: Sandbox, post: Post, key: Any) -> None:
    assert (await post("/v1/batch", batch(track(), writeKey=key), headers={})).status == 400
    assert sandbox.record.refused == 1


@pytest.mark.parametrize("header", [b"no-colon-at-all", b"\xff\xff:", b""])
async def test_a_basic_header_that_is_malformed_carries_no_key(post: Post, header: bytes) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(header).decode()}
    assert (await post("/v1/batch", batch(track()), headers=headers)).status == 400
    assert (await post("/v1/batch", batch(track()), headers={"Authorization": "Basic ***"})).status == 400


async def test_a_messageid_is_published_once_within_24_hours(
    sandbox: Sandbox, post: Post, advance: Callable[[float], None]
) -> None:
    """Whatever else the second call says, and whatever write key it comes under."""
    await post("/v1/track", track())
    advance(24 * 3600 - 1)
    answer = await post("/v1/track", track(properties={"other": True}, writeKey="k" * 32), headers={})
    assert (answer.status, await answer.json()) == (200, ACCEPTED)
    assert (sandbox.record.accepted, sandbox.record.duplicates, sandbox.record.count("st1-6a1b0c9e")) == (1, 1, 2)
    advance(1)
    await post("/v1/track", track())
    assert (sandbox.record.accepted, sandbox.record.duplicates, sandbox.record.count("st1-6a1b0c9e")) == (2, 1, 3)


async def test_a_messageid_twice_in_one_batch_is_a_duplicate(sandbox: Sandbox, post: Post) -> None:
    await post("/v1/batch", batch(track(), track()))
    assert (sandbox.record.accepted, sandbox.record.duplicates) == (1, 1)


async def test_an_empty_batch_gets_a_200_and_is_noted(sandbox: Sandbox, post: Post) -> None:
    for document in (batch(), {}):
        assert (await post("/v1/batch", document)).status == 200
    assert sandbox.record.requests_by_discard == {"empty_batch": 2}
    assert sandbox.record.received == 0


async def test_a_gzip_batch_is_accepted(sandbox: Sandbox, post: Post) -> None:
    body = gzip.compress(orjson.dumps(MIXED))
    assert (await post("/v1/batch", body, headers={"Content-Encoding": "gzip"})).status == 200
    assert sandbox.record.accepted == 3


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(orjson.dumps(MIXED))[:-9], id="cut"),
        pytest.param(gzip.compress(b"x" * 100_000_000), id="bomb"),
    ],
)
async def test_damaged_gzip_and_a_bomb_are_answered_400(post: Post, body: bytes) -> None:
    assert (await post("/v1/batch", body, headers={"Content-Encoding": "gzip"})).status == 400


async def test_another_encoding_is_answered_400(post: Post) -> None:
    assert (await post("/v1/batch", b"x", headers={"Content-Encoding": "br"})).status == 400


async def test_a_body_of_more_than_8_mb_is_not_read(sandbox: Sandbox, post: Post) -> None:
    assert (await post("/v1/batch", b" " * 8_000_001)).status == 400
    assert sandbox.record.requests_by_answer == {"400": 1}


async def test_other_paths_and_methods_are_not_segments(sandbox: Sandbox, post: Post, ask: Post) -> None:
    assert (await post("/v1/b", MIXED)).status == 404
    assert (await ask("GET", f"{sandbox.url}/v1/batch")).status == 405
