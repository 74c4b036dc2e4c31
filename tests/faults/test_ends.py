"""An end in good order comes in time whatever goes on just then, and whoever comes next finds everything."""

import asyncio
import time

import pytest

from streamer.core.delivery.transitions import State
from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.service import Service
from tests.faults.traffic import partitions_of, stranger
from tests.service.harness import Deployment, delivery_of, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

PROMPT_SECONDS = 4.0
"""Longest time for an end when requests that are out, if any, are answered within two seconds."""


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    [topic] = await deployment.integrate()
    return topic


async def finish(deployment: Deployment) -> None:
    """Let the next instance do the rest, and ask the oracle about both."""
    deployment.sandbox.faults.clear()
    async with deployment.running():
        await deployment.settled()
    await deployment.verify(settled_once=False)


async def test_with_nothing_to_do(deployment: Deployment, topic: str) -> None:
    async with deployment.running() as service:
        await eventually(lambda: is_reading(service))
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS

    await deployment.produce(topic, survey_events(10))
    await finish(deployment)


async def test_while_calls_wait_for_company(deployment: Deployment, topic: str) -> None:
    """They are not hurried out: they stay open, and are read again."""
    deployment.destination["batch"] = {"linger": "30s"}
    await deployment.produce(topic, survey_events(10))
    async with deployment.running() as service:
        await eventually(lambda: is_reading(service) and pipeline_of(service).custody.load.records == 10)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS
    assert deployment.sandbox.record.received == 0

    deployment.destination["batch"] = {"linger": 0}
    await finish(deployment)


@pytest.mark.parametrize(("status", "state"), [(401, State.HELD), (503, State.BACKING_OFF)])
async def test_while_nothing_may_be_sent(deployment: Deployment, topic: str, status: int, state: State) -> None:
    """What waits is not delivered by then, however long we waited, and nobody is charged for it."""
    deployment.sandbox.faults.set(Fault(action=Action(status=status)))
    await deployment.produce(topic, survey_events(50))
    async with deployment.running() as service:
        await eventually(lambda: service.destinations["segment"].state is state)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS

    await finish(deployment)
    assert await deployment.dead_letters() == []


async def test_while_events_wait_for_their_next_attempt(deployment: Deployment, topic: str) -> None:
    deployment.destination["retry"] = {"quick": ["1h"], "schedule": ["1h"]}
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=frozenset({"evt_3"})), action=Action(status=500)))
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(1, "before"), partition=0)
        await deployment.settled()
        await deployment.produce(topic, survey_events(10), partition=0)
        await eventually(lambda: delivery_of(service).parked.due_at is not None)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS

    await finish(deployment)


async def test_in_the_middle_of_a_rebalance(deployment: Deployment, topic: str) -> None:
    """Partitions are being taken, for which the client waits in a callback of ours; the requests that are out end."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=1.5)))
    await deployment.produce(topic, survey_events(50))
    async with deployment.running() as service:
        await eventually(lambda: is_reading(service) and pipeline_of(service).worker.under_way)
        async with asyncio.timeout(PROMPT_SECONDS), stranger(deployment, topic):
            await eventually(lambda: delivery_of(service)._is_quiet)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS

    await finish(deployment)


async def test_while_the_brokers_are_away(deployment: Deployment, topic: str, own_broker: Broker) -> None:
    """What was delivered cannot be committed, and is known again by its receipt."""
    deployment.hurry(commit_timeout=0.5)
    deployment.document["kafka"]["session_timeout_ms"] = 1_000
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(2, "before"))
        await deployment.settled()
        deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.5)))
        await deployment.produce(topic, survey_events(10))
        await eventually(lambda: pipeline_of(service).worker.under_way)
        own_broker.kill()
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS
    assert deployment.sandbox.record.accepted == 12
    await own_broker.start()

    await finish(deployment)


def is_reading(service: Service) -> bool:
    return service.integrations["surveys"].runner.pipeline is not None and partitions_of(service) > 0
