"""Brokers that come back at other addresses: the client asks those it knows, and then the bootstrap servers again."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streamer.devkit.broker import HOST, Broker
from tests.conftest import ConsumeAll, read_topic
from tests.faults.proxy import Proxy
from tests.faults.traffic import every_partition_moves
from tests.service.harness import Deployment, survey_events

pytestmark = pytest.mark.kafka

PARTITIONS = 4

MOVE_SECONDS = 30.0
"""Longest time, once the broker answers at its new address, until everything is committed."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One that nobody else uses, since it moves."""
    broker = Broker(tmp_path / "kafka")
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(broker.start())
        yield broker
        runner.run(broker.stop())


@pytest.fixture
async def front(broker: Broker) -> AsyncIterator[Proxy]:
    """The address that stays."""
    async with Proxy(broker.bootstrap_servers) as front:
        yield front


@pytest.fixture
def bootstrap_servers(front: Proxy) -> str:
    return front.address


@pytest.fixture
def consume_all(bootstrap_servers: str) -> ConsumeAll:
    return functools.partial(read_topic, bootstrap_servers)


async def test_a_broker_that_comes_back_elsewhere_is_found(
    deployment: Deployment, broker: Broker, front: Proxy
) -> None:
    """Only the bootstrap address stays. The service goes on by itself, with the same clients, and repeats nothing."""
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        await deployment.produce(topic, survey_events(100, f"before_{partition}"), partition=partition)
    async with contextlib.AsyncExitStack() as brokers:
        async with deployment.running() as service:
            await deployment.settled()
            await disconnect(deployment)
            await broker.stop()
            elsewhere = Broker(broker.directory, controller_port=broker.controller_port)
            await brokers.enter_async_context(elsewhere)
            front._target = (HOST, elsewhere.port)
            await deployment.produce(topic, [b"not JSON"], partition=0)
            await every_partition_moves(deployment, topic, partitions=PARTITIONS, seconds=MOVE_SECONDS)
            assert service.integrations["surveys"].runner.restarts == 0
        await deployment.verify()


async def disconnect(deployment: Deployment) -> None:
    """Let the deployment's own producer, whose client is no better, connect anew when it is next used."""
    assert deployment._producer is not None, "something was produced"
    await deployment._producer.stop()
    deployment._producer = None
