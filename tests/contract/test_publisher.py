"""What the listener relies on when it writes records, asked of the real broker and of the one in memory alike."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.devkit.broker import Broker
from streamer.inbound.call_writer import RecordPublisher
from streamer.kafka import Publisher
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic
from tests.doubles.kafka import MemoryCluster, MemoryPublisher

SECONDS = 4.0
MAX_RECORD_BYTES = 2_000
NOISE = random.Random(1).randbytes(MAX_RECORD_BYTES)

Read = Callable[[str], Awaitable[Sequence[Record]]]


class World:
    """A publisher, with what a test does beside it."""

    def __init__(self, publisher: RecordPublisher, make_topic: Callable[[], Awaitable[str]], read: Read) -> None:
        self.publisher = publisher
        self.make_topic = make_topic
        self.read = read

    async def publish(self, topic: str, *values: bytes, key: bytes | None = b"key") -> list[bytes | None]:
        """Write values; returns those that are too large."""
        records = [outgoing(topic, value, key) for value in values]
        return [record.value for record in await self.publisher.publish(records, timeout_seconds=SECONDS)]


def outgoing(topic: str, value: bytes, key: bytes | None = b"key") -> OutgoingRecord:
    headers: list[tuple[str, bytes | None]] = [("streamer.webhook", b"production")]
    return OutgoingRecord(
        topic=topic, partition=-1, key=key, value=value, headers=headers, timestamp=int(time.time() * 1000)
    )


CLOSE_SECONDS = 10
"""For a publisher to end, whatever the broker does: less than the client itself waits."""


@contextlib.asynccontextmanager
async def running(broker: Broker | ExternalCluster) -> AsyncIterator[Publisher]:
    """The real one."""
    publisher = Publisher(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        assert task.done()
        assert [one.get_coro() for one in asyncio.all_tasks() if "AIOKafka" in repr(one) or "Sender" in repr(one)] == []


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.kafka)])
def real(request: pytest.FixtureRequest) -> tuple[Broker | ExternalCluster, MakeTopic, ConsumeAll] | None:
    """What the real world is made of; None: the one in memory is asked for."""
    if request.param == "memory":
        return None
    names = ("broker", "make_topic", "consume_all")
    broker, make_topic, consume_all = (request.getfixturevalue(name) for name in names)
    return broker, make_topic, consume_all


@pytest.fixture
async def world(real: tuple[Broker | ExternalCluster, MakeTopic, ConsumeAll] | None) -> AsyncIterator[World]:
    if real is None:
        yield in_memory()
        return
    broker, make_topic, consume_all = real

    async def make_real_topic() -> str:
        return await make_topic("publisher", config={"max.message.bytes": str(MAX_RECORD_BYTES)})

    async with running(broker) as publisher:
        yield World(publisher, make_real_topic, consume_all)


def in_memory() -> World:
    cluster = MemoryCluster()

    async def make_topic() -> str:
        topic = cluster.create(f"topic-{len(cluster.logs)}")
        cluster.max_record_bytes[topic] = MAX_RECORD_BYTES
        return topic

    async def read(topic: str) -> Sequence[Record]:
        return [record for log in cluster.logs[topic] for record in log.records]

    return World(MemoryPublisher(cluster), make_topic, read)


async def test_what_is_published_is_on_the_topic_as_it_was_given(world: World) -> None:
    topic = await world.make_topic()
    record = outgoing(topic, b"value", b"person")
    assert await world.publisher.publish([record], timeout_seconds=SECONDS) == []
    assert await world.publish(topic, b"without a key", key=None) == []
    first, second = await world.read(topic)
    assert (first.key, first.value, first.timestamp) == (b"person", b"value", record.timestamp)
    assert list(first.headers) == [("streamer.webhook", b"production")]
    assert second.key is None


async def test_nothing_to_publish_is_done_at_once(world: World) -> None:
    assert await world.publish("no-topic") == []


async def test_a_topic_that_does_not_exist_is_no_harm_to_other_topics(world: World) -> None:
    topic = await world.make_topic()
    with pytest.raises(UnavailableError):
        await world.publish(f"{topic}.missing", b"x")
    assert await world.publish(topic, b"y") == []


async def test_a_record_that_is_too_large_is_told_and_all_others_are_written(world: World) -> None:
    """With an idempotent producer of the client, nothing could be written to the partition any more."""
    topic = await world.make_topic()
    assert await world.publish(topic, b"0") == [], "from here on the broker knows the producer's sequence"
    assert await world.publish(topic, b"1", NOISE, b"2") == [NOISE]
    none, two = await asyncio.gather(world.publish(topic, b"3"), world.publish(topic, NOISE, b"4", NOISE))
    assert (none, two) == ([], [NOISE, NOISE])
    assert await world.publish(topic, b"5") == []
    assert sorted({record.value or b"" for record in await world.read(topic)}) == [b"0", b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.kafka
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_a_broker_that_is_away_costs_its_requests_and_no_others(
    own_broker: Broker, make_topic: MakeTopic, consume_all: ConsumeAll, fault: str
) -> None:
    """Each request ends within its time, and once the broker is back, the next ones are written."""
    topic = await make_topic("publisher")
    async with running(own_broker) as publisher:
        await publisher.publish([outgoing(topic, b"before")], timeout_seconds=SECONDS)
        own_broker.kill() if fault == "killed" else own_broker.suspend()
        began = time.monotonic()
        lost = [publisher.publish([outgoing(topic, b"meanwhile")], timeout_seconds=1.0) for _ in range(20)]
        ends = await asyncio.gather(*lost, return_exceptions=True)
        assert all(isinstance(end, UnavailableError) for end in ends)
        assert time.monotonic() - began < SECONDS
        if fault == "killed":
            await own_broker.start()
        else:
            own_broker.resume()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(UnavailableError):
                    await publisher.publish([outgoing(topic, b"after")], timeout_seconds=SECONDS)
                    break
        for _ in range(3):
            await publisher.publish([outgoing(topic, b"more")], timeout_seconds=SECONDS)
    values = [record.value for record in await consume_all(topic)]
    assert values.count(b"more") == 3
    assert {b"before", b"after"} <= set(values)


@pytest.mark.kafka
async def test_it_ends_while_the_broker_is_frozen(own_broker: Broker, make_topic: MakeTopic) -> None:
    """What the client has is dropped; by itself it would wait for the broker for ever."""
    topic = await make_topic("publisher")
    async with running(own_broker) as publisher:
        await publisher.publish([outgoing(topic, b"before")], timeout_seconds=SECONDS)
        own_broker.suspend()
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await publisher.publish([outgoing(topic, b"lost")] * 3, timeout_seconds=0.5)
