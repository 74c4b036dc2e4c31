"""Brokers and topics that are not there: the service says so, is not ready, and starts to work when they come."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from streamer.devkit.broker import Broker
from streamer.service import Service
from tests.service.harness import WAIT_SECONDS, Deployment, Process, eventually, survey_events

pytestmark = pytest.mark.kafka


async def readiness(service: Service) -> int:
    """The status of ``/readyz``."""
    url = f"http://127.0.0.1:{service.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


async def test_it_is_not_ready_until_the_dead_letter_topic_exists(deployment: Deployment) -> None:
    """Without it the first bad record would have nowhere to go, long after the start."""
    [topic] = await deployment.integrate(dead_letter_topics=False)
    await deployment.produce(topic, [*survey_events(10), b"not JSON"])

    with capture_logs() as lines:
        async with deployment.running() as service:
            await eventually(lambda: any(f"{topic}.dlq" in line.get("detail", "") for line in lines))
            assert await readiness(service) == 503
            assert deployment.sandbox.record.received == 0
            await deployment.make_topics([f"{topic}.dlq"])
            await deployment.settled()
            assert await readiness(service) == 200

    await deployment.verify()


async def test_dead_letter_topics_are_made_where_that_is_wanted(deployment: Deployment) -> None:
    deployment.document["kafka"]["create_topics"] = True
    [topic] = await deployment.integrate(dead_letter_topics=False)
    await deployment.produce(topic, [*survey_events(10), b"not JSON"])

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert len(await deployment.dead_letters()) == 1


@pytest.mark.parametrize("create_topics", [True, False])
async def test_a_topic_that_does_not_exist_is_waited_for(deployment: Deployment, *, create_topics: bool) -> None:
    """Input topics belong to their producers: they are never made by us, whatever the configuration says."""
    deployment.document["kafka"]["create_topics"] = create_topics
    [topic] = await deployment.integrate()
    later = f"{topic}.later"
    deployment.integration("surveys")["topics"] = [later]
    await deployment.make_topics([f"{later}.dlq"])

    with capture_logs() as lines:
        async with deployment.running() as service:
            await eventually(lambda: any(later in line.get("detail", "") for line in lines))
            assert await readiness(service) == 503
            await deployment.make_topics([later], partitions=2)
            await deployment.produce(later, survey_events(10))
            await deployment.settled()

    await deployment.verify()


async def test_one_missing_topic_of_two_is_named_and_taken_soon_after_it_was_made(deployment: Deployment) -> None:
    """The other one is read meanwhile. Without being asked, the client would look for topics every few minutes only."""
    [topic] = await deployment.integrate()
    later = f"{topic}.later"
    deployment.integration("surveys")["topics"] = [topic, later]
    deployment.document["kafka"]["metadata_max_age_ms"] = 300_000
    await deployment.make_topics([f"{later}.dlq"])
    await deployment.produce(topic, survey_events(10, "first"))

    with capture_logs() as lines:
        async with deployment.running() as service:
            await deployment.settled()
            await eventually(lambda: any(line["event"] == "topics.missing" for line in lines))
            assert await readiness(service) == 200
            await deployment.make_topics([later], partitions=2)
            await deployment.produce(later, survey_events(10))
            await deployment.settled()

    await deployment.verify()


async def test_brokers_that_are_away_at_the_start_are_waited_for(deployment: Deployment, own_broker: Broker) -> None:
    """One line says so, with what to look at; standard error stays empty."""
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(50))
    await own_broker.stop()

    process = await deployment.start_process()
    await eventually(lambda: process.log_events("kafka.unavailable"))
    assert process.is_running
    [line] = process.log_events("kafka.unavailable")
    assert deployment.document["kafka"]["bootstrap_servers"] in line["detail"]
    await own_broker.start()
    await deployment.settled()
    process.send(signal.SIGTERM)

    assert await process.wait() == 0
    assert process.errors == ""
    await deployment.verify(settled_once=False)


async def test_a_signal_ends_the_wait_for_brokers(deployment: Deployment) -> None:
    """A configuration that points nowhere must not need a SIGKILL."""
    await deployment.integrate()
    deployment.document["kafka"]["bootstrap_servers"] = "127.0.0.1:1"
    process = await deployment.start_process()
    await eventually(lambda: process.log_events("kafka.unavailable"))
    process.send(signal.SIGTERM)

    assert await process.wait(seconds=5) == 0
    assert process.errors == ""


async def test_an_outage_longer_than_the_session_loses_nothing(deployment: Deployment, own_broker: Broker) -> None:
    """Frozen, not gone: its connections stay open and nothing answers, which is the worst that a broker can do."""
    deployment.document["kafka"] |= {"session_timeout_ms": 1_000, "request_timeout_ms": 41_000}
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(100))
        await deployment.settled()
        own_broker.suspend()
        await asyncio.sleep(2)  # past the session: what is tested is the length of the outage
        own_broker.resume()
        await deployment.produce(topic, survey_events(100, "after"))
        await deployment.settled()
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(settled_once=False)


async def asked_of(process: Process, path: str) -> tuple[int, dict[str, Any]]:
    """What the service answers: status and document."""
    url = f"http://127.0.0.1:{process.log_events('server.listening')[0]['port']}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Accept": "application/json"}) as response:
        return response.status, await response.json()


async def until(process: Process, path: str, is_said: Callable[[int, dict[str, Any]], bool]) -> float:
    """Seconds until an answer is the one that is waited for."""
    began = time.monotonic()
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_said(*await asked_of(process, path)):  # noqa: ASYNC110 - another process announces nothing
            await asyncio.sleep(0.1)
    return time.monotonic() - began


SILENCE_SECONDS = 15.0


async def test_brokers_that_freeze_are_one_line_and_nothing_is_claimed_meanwhile(
    deployment: Deployment, own_broker: Broker
) -> None:
    """With a backlog on the way, so that commits and fetches are under way when the answers end.

    Brokers that are killed: `tests.incidents.test_incidents`.
    """
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(8_000))
    process = await deployment.start_process()
    await deployment.commits_beyond(1_000)
    before = len(process.lines())
    own_broker.suspend()
    assert await until(process, "/readyz", lambda code, _: code == 503) < SILENCE_SECONDS
    await eventually(lambda: process.log_events("kafka.unavailable"), seconds=SILENCE_SECONDS)
    _, status = await asked_of(process, "/status")
    shown = status["integrations"]["surveys"]
    assert status["verdict"]["level"] == "act"
    assert status["verdict"]["headline"].startswith("Kafka: no broker has answered for 1")
    assert "No data at risk: records wait on Kafka" in status["verdict"]["headline"]
    assert shown["lag"] is None
    assert shown["kafka_silent_since"] is not None
    await until(process, "/status", lambda _, document: document["integrations"]["surveys"]["limited_by"] == "kafka")
    assert [line["event_name"] for line in process.lines()[before:]] == ["kafka.unavailable"]
    own_broker.resume()
    await until(process, "/readyz", lambda code, _: code == 200)
    await eventually(lambda: process.log_events("kafka.recovered"))
    await deployment.settled()
    _, status = await asked_of(process, "/status")
    assert status["integrations"]["surveys"]["kafka_silent_since"] is None
    assert "Kafka" not in [problem["subject"] for problem in status["verdict"]["problems"]]
    process.send(signal.SIGTERM)
    assert await process.wait() == 0
    assert process.errors == ""
    await deployment.verify(max_times=2, settled_once=False)
