"""What the sharing of receipts relies on when it follows a topic, asked of the real broker and of the one in memory."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.devkit.broker import Broker
from streamer.kafka import ReceiptTopic
from streamer.kafka.receipt_topic import PARTITIONS
from streamer.receipts.ports import Follower, Topic
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, connected_admin
from tests.doubles.kafka import Log, MemoryCluster
from tests.doubles.receipt_topic import MemoryReceiptTopic

TIMES = (1_700_000_000_000, 1_700_000_100_000, 1_700_000_200_000)
WAIT_SECONDS = 20.0
"""For a message that is on its way; a test that works waits for milliseconds."""


@dataclass
class World:
    """A topic with two partitions, and what a test does beside it."""

    topic: Topic
    write: Callable[..., Awaitable[None]]
    """Write one record for each of these times, in milliseconds, to a partition."""
    grow: Callable[[], Awaitable[None]]
    """Add a partition."""


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> World:
    name = f"streamer-test.follower.{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        return in_memory(name)
    broker: Broker | ExternalCluster = request.getfixturevalue("broker")
    return on_broker(broker.bootstrap_servers, name)


def in_memory(name: str) -> World:
    cluster = MemoryCluster()
    topic = MemoryReceiptTopic(cluster, name)
    topic.created_with = PARTITIONS

    async def write(partition: int, *times: int) -> None:
        for time in times:
            cluster.append(name, [b"value"], partition=partition, key=b"key", timestamp=time)

    async def grow() -> None:
        cluster.logs[name].append(Log())

    return World(topic, write, grow)


def on_broker(servers: str, name: str) -> World:
    kafka = KafkaSettings(bootstrap_servers=servers, create_topics=True, metadata_max_age_ms=1_000)

    async def write(partition: int, *times: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            for time in times:
                await producer.send_and_wait(name, b"value", key=b"key", partition=partition, timestamp_ms=time)

    async def grow() -> None:
        async with connected_admin(servers) as admin:
            await admin.create_partitions({name: NewPartitions(PARTITIONS + 1)})

    return World(ReceiptTopic(kafka, name, window_seconds=10 * 365 * 86_400), write, grow)


async def ready(world: World) -> None:
    """Have the topic, and its leaders."""
    await world.topic.ensure()
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                async with world.topic.follower() as follower:
                    await follower.bounds()
            except UnavailableError:
                await asyncio.sleep(0.05)
            else:
                return


async def polled(follower: Follower, records: int) -> list[Record]:
    """The next records, so many."""
    found: list[Record] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(found) < records:
            for some in (await follower.poll(max_records=10, timeout_seconds=0.2)).values():
                found += some
    return found


async def test_a_topic_is_made_once_and_then_left_as_it_is(world: World) -> None:
    with pytest.raises(UnavailableError):
        async with world.topic.follower():
            pass
    await ready(world)
    await world.topic.ensure()

    async with world.topic.follower() as follower:
        assert await follower.bounds() == dict.fromkeys(range(PARTITIONS), (0, 0))
        assert await follower.found_at(0) == dict.fromkeys(range(PARTITIONS))


async def test_it_is_found_where_a_time_begins_and_read_on_from_there(world: World) -> None:
    await ready(world)
    await world.write(0, *TIMES)
    await world.write(1, TIMES[0])
    async with world.topic.follower() as follower:
        assert {p: ends for p, ends in (await follower.bounds()).items() if ends[1]} == {0: (0, 3), 1: (0, 1)}
        assert {p: at for p, at in (await follower.found_at(0)).items() if at} == {0: (0, TIMES[0]), 1: (0, TIMES[0])}
        assert {p: at for p, at in (await follower.found_at(TIMES[1] - 1)).items() if at} == {0: (1, TIMES[1])}

        follower.seek({partition: 1 if partition < 2 else 0 for partition in range(PARTITIONS)})
        read = await polled(follower, 2)
        assert [(one.partition, one.offset, one.timestamp) for one in read] == [(0, 1, TIMES[1]), (0, 2, TIMES[2])]
        assert (read[0].key, read[0].value) == (b"key", b"value")
        assert (await follower.reached())[0] == 3

        await world.write(1, TIMES[2])
        [later] = await polled(follower, 1)
        assert (later.partition, later.offset) == (1, 1)


async def test_a_topic_that_grows_says_so(world: World) -> None:
    await ready(world)
    async with world.topic.follower() as follower:
        follower.seek(dict.fromkeys(range(PARTITIONS), 0))
        assert not follower.has_grown
        await world.grow()
        async with asyncio.timeout(WAIT_SECONDS):
            while not follower.has_grown:
                await follower.poll(max_records=10, timeout_seconds=0.1)
