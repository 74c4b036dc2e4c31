"""Instances that come and go, and brokers that go and come, while events flow."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.service import Service
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

PARTITIONS = 4


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    deployment.destination["batch"] = {"max_calls": 20, "linger": 0.01}
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    return topic


@contextlib.asynccontextmanager
async def flow(deployment: Deployment, topic: str, prefix: str) -> AsyncIterator[None]:
    """Produce to all partitions while the block lasts."""

    async def produce() -> None:
        number = 0
        while True:
            for partition in range(PARTITIONS):
                await deployment.produce(
                    topic, survey_events(10, f"{prefix}_{partition}_{number}"), partition=partition
                )
            number += 1

    producing = asyncio.create_task(produce())
    try:
        yield
    finally:
        producing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await producing


async def every_partition_moves(deployment: Deployment, topic: str, prefix: str) -> None:
    """One event more for each partition: it is delivered and committed."""
    for partition in range(PARTITIONS):
        await deployment.produce(topic, survey_events(1, f"{prefix}_{partition}"), partition=partition)
    await deployment.settled()


def partitions_of(service: Service) -> int:
    return len(pipeline_of(service).assignment.ledgers)


async def test_a_second_instance_joins_and_leaves_while_events_flow(deployment: Deployment, topic: str) -> None:
    """Partitions change hands twice; what was in flight then is finished first, so nothing is sent twice."""
    async with deployment.running(state="one") as one:
        async with flow(deployment, topic, "a"):
            await eventually(lambda: one.integrations["surveys"].runner.pipeline and partitions_of(one) == PARTITIONS)
            async with deployment.running(state="two") as two:
                await eventually(lambda: two.integrations["surveys"].runner.pipeline and partitions_of(two) == 2)
                await eventually(lambda: partitions_of(one) == 2)
                accepted = deployment.sandbox.record.accepted
                async with asyncio.timeout(10):
                    await deployment.sandbox.until(lambda record: record.accepted > accepted + 200)
                await every_partition_moves(deployment, topic, "shared")
            await eventually(lambda: partitions_of(one) == PARTITIONS)
        await every_partition_moves(deployment, topic, "alone")

    await deployment.verify()


async def test_a_storm_of_rebalances_leaves_no_partition_behind(deployment: Deployment, topic: str) -> None:
    """Members that come and go faster than a batch is delivered: progress is slow, but there is progress."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.1)))
    async with deployment.running(state="steady") as steady:
        async with flow(deployment, topic, "a"):
            for _ in range(4):
                async with deployment.running(state="fickle") as fickle:
                    await eventually(
                        lambda: fickle.integrations["surveys"].runner.pipeline and partitions_of(fickle) == 2
                    )
        deployment.sandbox.faults.clear()
        await every_partition_moves(deployment, topic, "after")
        assert steady.integrations["surveys"].runner.restarts == 0

    await deployment.verify()


async def test_more_instances_than_partitions_and_then_fewer(deployment: Deployment) -> None:
    """The spare one waits for work, and gets it."""
    [topic] = await deployment.integrate(partitions=1)
    async with deployment.running(state="spare") as spare:
        async with deployment.running(state="two") as two:
            services = [spare, two]
            await eventually(lambda: all(service.integrations["surveys"].runner.pipeline for service in services))
            await deployment.produce(topic, survey_events(10, "both"), partition=0)
            await deployment.settled()
        await deployment.produce(topic, survey_events(10, "one"), partition=0)
        await deployment.settled()

    await deployment.verify()


async def test_partitions_leave_while_a_request_hangs(deployment: Deployment, topic: str) -> None:
    """The drain is bounded; the answer that comes later settles nothing for those who have the partition then."""
    deployment.document["kafka"]["rebalance_timeout_ms"] = 3_000
    deployment.destination["timeout"] = "4s"
    slow = Fault(match=Match(message_ids=frozenset({"evt_0"})), times=1, action=Action(latency_seconds=3.0))
    deployment.sandbox.faults.set(slow)
    async with deployment.running(state="one") as one:
        await deployment.produce(topic, survey_events(10), partition=0)
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.count("evt_0") == 1)
        async with deployment.running(state="two") as two:
            await eventually(lambda: two.integrations["surveys"].runner.pipeline and partitions_of(two) == 2)
            await eventually(lambda: partitions_of(one) == 2)
            await every_partition_moves(deployment, topic, "shared")

    await deployment.verify(max_times=2, settled_once=False)


async def test_new_partitions_are_read_from_their_beginning(deployment: Deployment, topic: str) -> None:
    """A topic that grows loses nothing, although its new partitions are noticed late."""
    deployment.document["kafka"]["metadata_max_age_ms"] = 300
    async with deployment.running():
        await deployment.produce(topic, survey_events(10), partition=0)
        await deployment.settled()
        await deployment.add_partitions(topic, PARTITIONS + 2)
        for partition in (PARTITIONS, PARTITIONS + 1):
            await deployment.produce(topic, survey_events(10, f"new_{partition}"), partition=partition)
        await deployment.settled()

    await deployment.verify()


async def test_a_broker_restart_in_the_middle_loses_nothing(
    deployment: Deployment, topic: str, own_broker: Broker
) -> None:
    """Reading, committing and dead-lettering go on by themselves once the broker is back."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.02)))
    for partition in range(PARTITIONS):
        await deployment.produce(topic, survey_events(500, f"before_{partition}"), partition=partition)
    await deployment.produce(topic, [b"not JSON"], partition=0)
    async with deployment.running() as service:
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.accepted > 200)
        await own_broker.restart()
        await deployment.produce(topic, [b"not JSON either"], partition=1)
        await every_partition_moves(deployment, topic, "after")
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(settled_once=False)
    assert len(await deployment.dead_letters()) == 2
