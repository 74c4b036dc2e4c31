"""Every scripted fault, as the sender meets it and as it stands in the record."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest
from aiohttp import (
    ClientConnectionResetError,
    ClientOSError,
    ClientPayloadError,
    ClientResponse,
    ServerDisconnectedError,
)

from streamer.devkit.sandbox.fault_script import MAX_FAULTS, FaultScript
from streamer.devkit.sandbox.faults import (
    Action,
    Fault,
    FaultsError,
    Match,
    read_faults,
    write_faults,
)
from streamer.devkit.sandbox.server import Sandbox

Post = Callable[..., Coroutine[Any, Any, ClientResponse]]
RESETS = (ClientConnectionResetError, ClientOSError, ServerDisconnectedError)
REFUSE = Action(status=400)


def call(message_id: str = "m-1", **changes: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "u", "event": "Survey Shown", "messageId": message_id, **changes}


def batch(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"batch": list(calls)}


@pytest.mark.parametrize("status", [301, 408, 410, 413, 422, 429, 460, 500, 501, 502, 503, 504, 505, 511, 529])
async def test_a_scripted_status_refuses_and_the_same_batch_passes_afterwards(
    sandbox: Sandbox, post: Post, status: int
) -> None:
    sandbox.faults.set(Fault(action=Action(status=status), times=1))
    assert (await post("/v1/batch", batch(call("m-1"), call("m-2")))).status == status
    assert (sandbox.record.refused, len(sandbox.record.accepted_ids)) == (2, 0)
    assert (await post("/v1/batch", batch(call("m-1"), call("m-2")))).status == 200
    assert sandbox.record.accepted_ids == {"m-1", "m-2"}


@pytest.mark.parametrize("status", [201, 204])
async def test_another_2xx_takes_the_calls(sandbox: Sandbox, post: Post, status: int) -> None:
    sandbox.faults.set(Fault(action=Action(status=status, body="ok" if status == 201 else None)))
    answer = await post("/v1/batch", batch(call()))
    assert (answer.status, await answer.text()) == (status, "ok" if status == 201 else "")
    assert sandbox.record.accepted == 1


async def test_a_scripted_2xx_does_not_hide_a_400(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(status=202)))
    assert (await post("/v1/batch", b"{")).status == 400


async def test_a_rate_limit_says_when_to_come_again(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(status=429, retry_after=12, body="slow down")))
    answer = await post("/v1/batch", batch(call()))
    assert (answer.status, await answer.text()) == (429, "slow down")
    assert (answer.headers["Retry-After"], answer.headers["X-RateLimit-Reset"]) == ("12", "12")


async def test_retry_after_may_be_a_date(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(status=503, retry_after="Wed, 04 Mar 2026 05:06:07 GMT")))
    answer = await post("/v1/batch", batch(call()))
    assert answer.headers["Retry-After"] == "Wed, 04 Mar 2026 05:06:07 GMT"
    assert "X-RateLimit-Reset" not in answer.headers


async def test_a_redirect_can_name_its_target(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(status=301, headers={"Location": "/elsewhere"})))
    assert (await post("/v1/batch", batch(call()))).headers["Location"] == "/elsewhere"


async def test_reset_takes_nothing(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(reset=True)))
    with pytest.raises(RESETS):
        await post("/v1/batch", batch(call()))
    assert (sandbox.record.refused, sandbox.record.accepted) == (1, 0)
    assert sandbox.record.requests_by_answer == {"reset": 1}


async def test_reset_after_takes_the_calls_so_that_a_new_attempt_is_a_duplicate(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(reset_after=True), times=1))
    with pytest.raises(RESETS):
        await post("/v1/batch", batch(call()))
    assert sandbox.record.accepted_ids == {"m-1"}
    assert (await post("/v1/batch", batch(call()))).status == 200
    assert (sandbox.record.accepted, sandbox.record.duplicates, sandbox.record.count("m-1")) == (1, 1, 2)


async def test_a_cut_body_breaks_off_after_a_200(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(cut_body=True), times=1))
    with pytest.raises(ClientPayloadError):
        await post("/v1/batch", batch(call()))
    assert (sandbox.record.accepted, sandbox.record.requests_by_answer) == (1, {"cut_body": 1})


async def test_hang_takes_the_calls_and_never_answers(sandbox: Sandbox, post: Post) -> None:
    """Which is what a read timeout looks like from outside: the outcome is unknown, the same ids are sent again."""
    sandbox.faults.set(Fault(action=Action(hang=True), times=1))
    hanging = asyncio.create_task(post("/v1/batch", batch(call())))
    async with asyncio.timeout(5):
        await sandbox.until(lambda record: record.accepted == 1)
    assert not hanging.done()
    assert sandbox.record.requests_in_flight == 1
    await post("/v1/batch", batch(call()))
    assert (sandbox.record.duplicates, sandbox.record.max_requests_in_flight) == (1, 2)
    await sandbox.stop()
    with pytest.raises(RESETS):
        await hanging


async def test_a_sender_that_gives_up_frees_its_hanging_request(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(hang=True), times=1))
    with pytest.raises(TimeoutError):
        await post("/v1/batch", batch(call()), timeout_seconds=0.05)
    async with asyncio.timeout(5):
        await sandbox.until(lambda record: not record.requests_in_flight)


async def test_latency_delays_the_answer_and_not_the_record(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(latency_seconds=60)))
    waiting = asyncio.create_task(post("/v1/batch", batch(call())))
    async with asyncio.timeout(5):
        await sandbox.until(lambda record: record.accepted == 1)
    assert not waiting.done()
    await sandbox.stop()
    assert (await waiting).status == 200


async def test_short_latency_passes_by_itself(sandbox: Sandbox, post: Post) -> None:
    sandbox.faults.set(Fault(action=Action(latency_seconds=0.03)))
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await post("/v1/batch", batch(call()))).status == 200
    assert loop.time() - started >= 0.03


@pytest.mark.parametrize(
    "match",
    [
        Match(message_ids=frozenset({"m-2", "m-9"})),
        Match(event="Poisoned"),
        Match(marked="poison"),
        Match(path="/v1/batch", marked="poison"),
    ],
)
async def test_one_marked_call_refuses_its_whole_batch_and_no_other(sandbox: Sandbox, post: Post, match: Match) -> None:
    sandbox.faults.set(Fault(match=match, action=REFUSE))
    marked = call("m-2", event="Poisoned", properties={"sandbox": "poison"})
    assert (await post("/v1/batch", batch(call("m-1"), marked, call("m-3")))).status == 400
    assert sandbox.record.refused == 3
    assert (await post("/v1/batch", batch(call("m-1"), call("m-3")))).status == 200
    assert sandbox.record.accepted_ids == {"m-1", "m-3"}


@pytest.mark.parametrize("odd", [7, None, "text", {"messageId": 7, "event": [], "properties": 3}])
def test_odd_calls_match_nothing(odd: Any) -> None:
    for match in (Match(message_ids=frozenset({"m"})), Match(event="e"), Match(marked="poison")):
        assert not match.holds("/v1/batch", [odd])


def test_a_path_matches_itself_only() -> None:
    assert Match(path="/v1/batch").holds("/v1/batch", [])
    assert not Match(path="/v1/batch").holds("/v1/track", [])


def test_every_counts_the_requests_that_match() -> None:
    script = FaultScript([Fault(match=Match(path="/v1/batch", every=3), action=REFUSE)])
    decided = []
    for _ in range(7):
        script.decide("/v1/track", [])
        decided.append(script.decide("/v1/batch", []).refuses)
    assert decided == [False, False, True, False, False, True, False]


def test_a_fault_is_over_after_its_times() -> None:
    script = FaultScript([Fault(action=REFUSE, times=2)])
    assert [script.decide("/v1/batch", []).refuses for _ in range(3)] == [True, True, False]
    assert script.in_force == []


def test_a_fault_is_over_after_its_time() -> None:
    now = 100.0
    script = FaultScript(clock=lambda: now)
    script.add(Fault(action=REFUSE, for_seconds=5))
    now = 104.9
    assert script.decide("/v1/batch", []).refuses
    now = 105.0
    assert not script.decide("/v1/batch", []).refuses
    assert script.in_force == []


def test_latencies_add_up_and_the_first_answer_wins() -> None:
    script = FaultScript(
        Fault(action=action)
        for action in (
            Action(latency_seconds=1),
            Action(status=429, latency_seconds=2),
            Action(status=500, latency_seconds=4),
        )
    )
    action = script.decide("/v1/batch", [])
    assert (action.status, action.latency_seconds) == (429, 3)


def test_a_script_is_bounded() -> None:
    fault = Fault(action=REFUSE)
    script = FaultScript([fault] * MAX_FAULTS)
    with pytest.raises(FaultsError, match="more than"):
        script.add(fault)
    assert len(script.in_force) == MAX_FAULTS


def test_what_runs_says_since_when_how_often_and_how_long() -> None:
    now = 100.0
    script = FaultScript(clock=lambda: now)
    script.add(Fault(action=REFUSE, times=5), Fault(action=Action(hang=True), for_seconds=60))
    now = 110.0
    script.decide("/v1/batch", [])
    first, second = script.running
    assert (first.age_seconds, first.requests, first.ends_in_seconds, first.times_left) == (10, 1, None, 4)
    assert (second.age_seconds, second.requests, second.ends_in_seconds, second.times_left) == (10, 0, 50, None)


def test_one_fault_is_ended_and_the_others_go_on() -> None:
    script = FaultScript([Fault(action=REFUSE), Fault(action=Action(hang=True))])
    number = script.running[0].number
    assert script.end(number)
    assert script.in_force == [Fault(action=Action(hang=True))]
    assert not script.end(number)


def test_a_fault_that_is_played_comes_first_and_again_begins_anew() -> None:
    now = 100.0
    script = FaultScript([Fault(action=REFUSE)], clock=lambda: now)
    script.play(Fault(action=Action(status=429), for_seconds=10))
    script.decide("/v1/batch", [])
    now = 105.0
    number = script.play(Fault(action=Action(status=429), for_seconds=30))
    played, scripted = script.running
    assert (played.number, played.requests, played.ends_in_seconds) == (number, 0, 30)
    assert scripted.fault == Fault(action=REFUSE)


def test_playing_is_bounded_too() -> None:
    script = FaultScript([Fault(action=REFUSE)] * MAX_FAULTS)
    with pytest.raises(FaultsError, match="more than"):
        script.play(Fault(action=Action(hang=True)))
    assert len(script.in_force) == MAX_FAULTS


def test_json_says_all_that_a_fault_can_be() -> None:
    match = {"message_id": ["m-1"], "event": "e", "path": "/v1/batch", "marked": "poison", "every": 2}
    action = {"status": 429, "retry_after": 3, "latency": "20ms", "body": "b", "headers": {"X-A": "1"}}
    document = [{"match": match, "times": 5, "for_seconds": 1.5, "action": action}]
    faults = read_faults(orjson.dumps(document))
    assert faults == [
        Fault(
            match=Match(message_ids=frozenset({"m-1"}), event="e", path="/v1/batch", marked="poison", every=2),
            times=5,
            for_seconds=1.5,
            action=Action(status=429, retry_after=3, latency_seconds=0.02, body="b", headers={"X-A": "1"}),
        )
    ]
    assert read_faults(write_faults(faults)) == faults


@pytest.mark.parametrize("way", ["reset", "reset_after", "hang", "cut_body"])
def test_json_may_be_a_single_fault(way: str) -> None:
    document = {"match": {"message_id": "m-1"}, "action": {way: True}}
    (fault,) = read_faults(b"\n " + orjson.dumps(document))
    assert (fault.match.message_ids, fault.action.unanswered) == (frozenset({"m-1"}), way)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (b"{}", "0.action"),
        (b'{"action": {"statsu": 503}}', "0.action.statsu"),
        (b'{"action": {"status": 99}}', "0.action.status"),
        (b'{"action": {"latency": "soon"}}', "0.action.latency"),
        (b'{"action": {"latency": -1}}', "0.action.latency"),
        (b'{"action": {"status": 503, "reset": true}}', "at most one of"),
        (b'{"action": {"retry_after": "1\\r\\nX: y"}}', "line break"),
        (b'{"action": {"headers": {"X": "1\\n"}}}', "line break"),
        (b'{"action": {}, "match": {"every": 0}}', "0.match.every"),
        (b'{"action": {}, "times": 0}', "0.times"),
        (b'{"action": {}, "for_seconds": -1}', "0.for_seconds"),
        (b"not json", "script: Invalid JSON"),
    ],
)
def test_a_script_that_cannot_be_used_says_where(document: bytes, where: str) -> None:
    with pytest.raises(FaultsError, match=where.replace(".", r"\.")):
        read_faults(document)
