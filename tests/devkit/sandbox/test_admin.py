"""The endpoints under ``/_sandbox/`` that programs use."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import ClientResponse

from streamer.devkit.sandbox import admin
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.record import KEPT_CALLS
from streamer.devkit.sandbox.server import Sandbox

Post = Callable[..., Coroutine[Any, Any, ClientResponse]]


def batch(*ids: str, **changes: Any) -> dict[str, Any]:
    return {"batch": [{"type": "track", "userId": "u", "event": "e", "messageId": given, **changes} for given in ids]}


async def test_the_record_shows_all_counters(sandbox: Sandbox, post: Post, ask: Post) -> None:
    await post("/v1/batch", batch("a", "b", "a"))
    await post("/v1/batch", batch("c", userId=None))
    await post("/v1/batch", b"{")
    assert await (await ask("GET", f"{sandbox.url}/_sandbox/record")).json() == {
        "received": 4,
        "accepted": 2,
        "duplicates": 1,
        "swallowed": 1,
        "refused": 0,
        "swallowed_by_code": {"no_user_anon_id": 1},
        "requests_by_answer": {"200": 2, "400": 1},
        "requests_by_discard": {},
        "requests_in_flight": 0,
        "max_requests_in_flight": 1,
        "ids": 2,
        "forgotten_ids": 0,
    }


async def test_calls_are_the_latest_with_their_bodies(sandbox: Sandbox, post: Post, ask: Post) -> None:
    await post("/v1/track", {"userId": "u", "messageId": "old", "event": "e"})
    await post("/v1/track", {"userId": "u", "messageId": "new", "writeKey": "a-secret-write-key"})
    answer = await ask("GET", f"{sandbox.url}/_sandbox/calls?limit=1")
    assert await answer.json() == [
        {
            "time": 1_741_064_769.0,
            "messageId": "new",
            "verdict": "swallowed",
            "code": "event_not_defined",
            "path": "/v1/track",
            "answer": "200",
            "call": {"userId": "u", "messageId": "new"},
        }
    ]


async def test_a_write_key_in_the_body_is_not_put_on_record(sandbox: Sandbox, post: Post, ask: Post) -> None:
    await post("/v1/track", {"userId": "u", "event": "e", "writeKey": "a-secret-write-key"}, headers={})
    assert sandbox.record.accepted == 1
    for path in ("/", "/_sandbox/calls"):
        assert "a-secret-write-key" not in await (await ask("GET", sandbox.url + path)).text()


@pytest.mark.parametrize(("limit", "calls"), [("0", 0), ("9" * 30, KEPT_CALLS)])
async def test_limit_is_bounded(sandbox: Sandbox, post: Post, ask: Post, limit: str, calls: int) -> None:
    await post("/v1/batch", batch(*map(str, range(KEPT_CALLS + 1))))
    assert len(await (await ask("GET", f"{sandbox.url}/_sandbox/calls?limit={limit}")).json()) == calls


@pytest.mark.parametrize("limit", ["-1", "x", "", "²", "9" * 5_000])
async def test_a_limit_that_is_no_number_is_answered_400(sandbox: Sandbox, ask: Post, limit: str) -> None:
    assert (await ask("GET", f"{sandbox.url}/_sandbox/calls?limit={limit}")).status == 400


async def test_calls_are_searched(sandbox: Sandbox, post: Post, ask: Post) -> None:
    await post("/v1/batch", batch("a", "b", "c", "b"))
    answer = await ask("GET", f"{sandbox.url}/_sandbox/calls?message_id=B&verdict=duplicate")
    assert [call["messageId"] for call in await answer.json()] == ["b"]
    assert (await ask("GET", f"{sandbox.url}/_sandbox/calls?verdict=lost")).status == 400


@pytest.mark.parametrize("count", [0, 1, 5, 6, 11])
async def test_ids_are_one_object_however_many_parts_it_takes(
    sandbox: Sandbox, post: Post, ask: Post, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(admin, "IDS_A_WRITE", 5)
    ids = [f'm-{number}"' for number in range(count)]
    await post("/v1/batch", batch(*ids))
    await post("/v1/batch", batch(*ids[:1]))
    expected = dict.fromkeys(ids, 1) | dict.fromkeys(ids[:1], 2)
    assert await (await ask("GET", f"{sandbox.url}/_sandbox/ids")).json() == expected


async def test_faults_are_put_added_shown_and_deleted(sandbox: Sandbox, ask: Post) -> None:
    url = f"{sandbox.url}/_sandbox/faults"
    sandbox.faults.add(Fault(action=Action(hang=True)))
    assert (await ask("PUT", url, [{"action": {"status": 503}}])).status == 200
    assert sandbox.faults.in_force == [Fault(action=Action(status=503))]
    answer = await ask("POST", url, {"times": 2, "action": {"latency": 1}})
    assert await answer.json() == [{"action": {"status": 503}}, {"times": 2, "action": {"latency": 1.0}}]
    assert await (await ask("GET", url)).json() == await answer.json()
    assert await (await ask("DELETE", url)).json() == []
    assert sandbox.faults.in_force == []


async def test_a_script_with_a_mistake_changes_nothing(sandbox: Sandbox, ask: Post) -> None:
    fault = Fault(action=Action(status=503))
    sandbox.faults.add(fault)
    answer = await ask("PUT", f"{sandbox.url}/_sandbox/faults", [{"action": {"statsu": 500}}])
    assert answer.status == 400
    assert "0.action.statsu" in await answer.text()
    assert sandbox.faults.in_force == [fault]


async def test_reset_clears_the_record_and_leaves_the_faults(sandbox: Sandbox, post: Post, ask: Post) -> None:
    sandbox.faults.add(Fault(action=Action(status=201)))
    await post("/v1/batch", batch("a"))
    assert (await (await ask("POST", f"{sandbox.url}/_sandbox/reset")).json())["received"] == 0
    await post("/v1/batch", batch("a"))
    assert (sandbox.record.accepted, sandbox.record.duplicates) == (1, 0)
    assert sandbox.faults.in_force
