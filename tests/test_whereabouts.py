"""What an instance says of single events: each place where a record can be, over HTTP, with nothing of its values."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamer.core.delivery.answers import Answer
from streamer.core.errors import UnavailableError
from streamer.pipeline import Pipeline
from streamer.pipeline.delivery import Delivery
from streamer.receipts import Deliveries, digest_of
from streamer.whereabouts import MAX_DIGESTS, HasIntegrations, Whereabouts
from tests.doubles.destination import ACCEPTED, BROKEN, status
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import TOPIC, eventually
from tests.service.harness import survey_event

HIDDEN = "hidden answer"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    yield engine
    engine.receipts.close()


def asked(engine: Delivering, pipeline: Pipeline | None) -> TestClient[web.Request, web.Application]:
    """A client of an instance with this one integration."""
    integration = SimpleNamespace(
        destination=engine.target, receipts=engine.receipts, runner=SimpleNamespace(pipeline=pipeline)
    )
    application = web.Application()
    Whereabouts(cast("HasIntegrations", SimpleNamespace(integrations={"surveys": integration}))).add_routes(application)
    return TestClient(TestServer(application))


async def events(engine: Delivering, pipeline: Pipeline, message_id: str) -> list[dict[str, Any]]:
    """What is known of a messageId."""
    async with asked(engine, pipeline) as client, client.get(f"/events/{message_id}") as response:
        text = await response.text()
        assert HIDDEN not in text
        found: list[dict[str, Any]] = (await response.json())["events"]
        return found


def answering(answers: dict[str, Answer | asyncio.Future[Answer]]) -> Any:
    """Answers by the one messageId of a batch."""
    return lambda ids: answers.get(ids[0], ACCEPTED) if len(ids) == 1 else BROKEN


async def test_each_record_is_where_it_is(engine: Delivering) -> None:
    engine.destination |= {"batch": {"linger": 0, "max_calls": 1}, "retry": {"quick": ["1ms"], "schedule": ["1h"]}}
    engine.target = engine.new_target()
    hanging = asyncio.get_running_loop().create_future()
    engine.receiver.decide = answering({"parked": BROKEN, "asked": hanging})
    engine.cluster.write_errors.extend([UnavailableError("the topic is away")] * 10_000)
    ids = ["sent", "sent", "parked", "asked", "asked"]
    values = [survey_event(message_id, text=HIDDEN) for message_id in ids]
    broken = survey_event("broken", text=HIDDEN).replace(b'"Response Submitted"', b"7")
    engine.cluster.append(TOPIC, [*values, broken])

    async with engine.running(engine.deliver) as pipeline:
        worker = cast("Delivery", pipeline.worker)
        await eventually(lambda: len(worker.parked) == 1 and len(pipeline.dead_letters) == 1 and worker.under_way == 1)
        [sent] = await events(engine, pipeline, "sent")
        assert (sent["state"], sent["offset"], sent["integration"]) == ("delivered", 0, "surveys")

        [parked] = await events(engine, pipeline, "parked")
        assert (parked["state"], parked["offset"]) == ("parked", 2)
        assert (parked["attempts"], parked["last_error"]) == (2, "connection_reset")
        assert parked["until"] > parked["time"]
        assert parked["destination"]["name"] == "segment"

        first, second = await events(engine, pipeline, "asked")
        assert [first["state"], second["state"]] == ["in_request", "attached"]

        [letter] = await events(engine, pipeline, "broken")
        assert (letter["state"], letter["reason"], letter["offset"]) == ("dead_lettering", "schema_invalid", 5)

        assert await events(engine, pipeline, "unknown") == []
        hanging.set_result(ACCEPTED)
        engine.cluster.write_errors.clear()


async def test_what_waits_for_a_held_destination_says_so(engine: Delivering) -> None:
    engine.receiver.decide = lambda _ids: status(401)
    engine.cluster.append(TOPIC, [survey_event("one")])
    async with engine.running(engine.deliver) as pipeline:
        await eventually(lambda: engine.target.state == "held")
        [held] = await events(engine, pipeline, "one")
        assert held["state"] == "waiting"
        assert held["destination"]["state"] == "held"
        assert "401" in held["destination"]["reason"]
        engine.receiver.decide = lambda _ids: ACCEPTED
        await engine.settled(1)


async def test_an_id_is_known_with_and_without_the_suffix(engine: Delivering) -> None:
    """Producers know theirs; Segment knows the one with the suffix."""
    engine.destination["message_id_suffix"] = "-2"
    engine.target = engine.new_target()
    engine.cluster.append(TOPIC, [survey_event("one")])
    async with engine.running(engine.deliver) as pipeline:
        await engine.settled(1)
        for message_id in ("one", "one-2"):
            [found] = await events(engine, pipeline, message_id)
            assert (found["state"], found["message_id"]) == ("delivered", "one-2")


async def test_receipts_are_asked_for_by_their_digests(engine: Delivering) -> None:
    now = time.time()
    engine.receipts.add([Deliveries(TOPIC, 1, [7], [digest_of("one")])], now)
    one, other = digest_of("one").hex(), digest_of("other").hex()
    async with asked(engine, None) as client:
        async with client.get("/receipts/surveys", params={"digests": f"{one},{other}"}) as response:
            document = await response.json()
        assert document["receipts"] == {one: {"topic": TOPIC, "partition": 1, "offset": 7, "delivered_at": int(now)}}
        assert document["known_since"] <= now
        for path, digests, expected in (
            ("/receipts/absent", one, 404),
            ("/receipts/surveys", "12", 400),
            ("/receipts/surveys", "no digest", 400),
            ("/receipts/surveys", ",".join([one] * (MAX_DIGESTS + 1)), 400),
            ("/receipts/surveys", ",".join([one] * MAX_DIGESTS), 200),
            ("/receipts/surveys", "", 200),
        ):
            async with client.get(path, params={"digests": digests}) as response:
                assert response.status == expected, digests
