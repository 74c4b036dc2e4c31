"""The way back as a whole service, on a real broker and SQLite: signed webhooks in, profiles and triggers out."""

import contextlib
import json
import sqlite3
from typing import Any

import pytest

from tests.inbound.way_back import WayBack

pytestmark = pytest.mark.kafka


def identify(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": "identify",
        "messageId": f"i-{number}",
        "userId": f"u-{number}",
        "traits": {"plan": "Pro"},
        **fields,
    }


def track(number: int) -> dict[str, Any]:
    return {"type": "track", "messageId": f"t-{number}", "userId": f"u-{number}", "event": "Report Exported"}


async def test_calls_change_users_and_are_published_without_any_integration(way_back: WayBack) -> None:
    async with way_back.running():
        await way_back.until_ready()
        assert (
            await way_back.send(*(identify(number) for number in range(50)), {"type": "page", "messageId": "p"}) == 200
        )
        assert await way_back.send(track(1), track(1), identify(2), {"type": "identify", "userId": []}) == 200
        profiles = await way_back.published("profiles_topic", 50)
        triggers = await way_back.published("triggers_topic", 1)
        keeper = way_back.service.inbound and way_back.service.inbound.keeper
        assert keeper
        await way_back.until(lambda: keeper.runner.totals().settled == 55 and keeper.waiting and keeper.counts)
        await way_back.until(lambda: keeper.waiting and not keeper.waiting.records)
        await way_back.until(lambda: keeper.counts and keeper.counts.users == 50)
        assert keeper.runner.totals().adds_up()
        status, document = await way_back.get("/status")
        _, metrics = await way_back.get("/metrics")
        assert (await way_back.get("/livez"))[0] == (await way_back.get("/startupz"))[0] == status == 200
    assert {(record.key or b"").decode() for record in profiles} == {f"u-{number}" for number in range(50)}
    assert json.loads(triggers[0].value or b"")["username"] == "u-1"
    found = document["inbound"]
    assert document["unaccounted"] == 0
    assert found["account"] | {"lost": {}} == {
        "consumed": 55,
        "applied": 51,
        "duplicate": 2,
        "ignored": {"not_an_action": 1},
        "dead_lettered": {"schema_invalid": 1},
        "handed_back": 0,
        "in_flight": 0,
        "known_settled": 0,
        "unaccounted": 0,
        "lost": {},
    }
    assert found["types"]["identify"] == {"applied": 50, "duplicate": 1, "schema_invalid": 1}
    assert (found["directory"]["up"], found["directory"]["users"]) == (True, 50)
    assert (found["directory"]["outbox"]["published"], found["webhooks"]["production"]["calls"]) == (51, 55)
    assert 'streamer_inbound_calls_total{partition="0",type="identify",outcome="applied",reason=""}' in metrics
    assert "streamer_directory_up 1.0" in metrics


async def test_a_directory_that_is_locked_makes_it_wait_and_not_ready(way_back: WayBack) -> None:
    path = way_back.document["directory"]["url"].removeprefix("sqlite:///")
    async with way_back.running():
        await way_back.until_ready()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await way_back.send(identify(1)) == 200, "webhooks are received all the same"
            body = await way_back.until_ready(503)
            assert "locked" in json.dumps(body)
            other.execute("ROLLBACK")
        await way_back.published("profiles_topic", 1)
        await way_back.until_ready()
        status, document = await way_back.get("/status")
        assert (status, document["inbound"]["account"]["dead_lettered"]) == (200, {})


async def test_each_half_can_run_in_a_process_of_its_own(way_back: WayBack) -> None:
    inbound = way_back.document["inbound"]
    async with way_back.running(directory=False):
        await way_back.until_ready()
        assert await way_back.send(identify(1), identify(2)) == 200
        _, document = await way_back.get("/status")
        assert (document["inbound"]["directory"], document["inbound"]["state"]) == (None, None)
    async with way_back.running(inbound=inbound | {"listen": False}):
        await way_back.published("profiles_topic", 2)
        _, document = await way_back.get("/status")
        assert document["inbound"]["webhooks"] is None


async def test_a_restart_goes_on_where_it_was(way_back: WayBack) -> None:
    for number in range(3):
        async with way_back.running():
            await way_back.until_ready()
            assert await way_back.send(*(identify(n) for n in range(10 * number, 10 * number + 20))) == 200
            await way_back.published("profiles_topic", 20 + 10 * number)
    profiles = await way_back.published("profiles_topic", 40)
    assert len({record.key for record in profiles}) == 40
