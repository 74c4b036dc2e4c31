"""What publishing in order relies on, on a real broker: transactions, fencing, refusals that are told."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ProducerFenced

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import Outgoing
from streamer.devkit.broker import Broker
from streamer.kafka import FencedError, OrderedProducer, RefusedWriteError
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION
from tests.conftest import ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka

TIMINGS = replace(PRODUCTION, relay_publish=15.0, relay_request=5.0)

Make = Callable[[], OrderedProducer]


def records(topic: str, *texts: str, key: str = "ben") -> list[Outgoing]:
    return [Outgoing(topic, key, text.encode(), (("streamer.change", "updated"),)) for text in texts]


@pytest.fixture
async def make(broker: Broker | ExternalCluster) -> AsyncIterator[Make]:
    """Makes producers that are instances of one relay."""
    name = f"streamer-test.{uuid.uuid4().hex[:8]}.relay"
    made: list[OrderedProducer] = []

    def new() -> OrderedProducer:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        made.append(OrderedProducer(settings, transactional_id=name, timings=TIMINGS))
        return made[-1]

    yield new
    for producer in made:
        await producer.stop()


async def read(broker: Broker | ExternalCluster, topic: str, count: int) -> list[str]:
    """The values of a topic with one partition whose transactions were committed: so many, and what else comes soon.

    The end of a transaction may be seen a little later than the producer hears of it.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers, isolation_level="read_committed")
    found: list[str] = []
    async with asyncio.timeout(30), consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while True:
            polled = await consumer.getmany(partition, timeout_ms=300)
            if not polled and len(found) >= count:
                return found
            found += [(record.value or b"").decode() for record in polled.get(partition, [])]


async def test_records_come_in_order_and_with_what_they_carry(
    broker: Broker | ExternalCluster, make_topic: MakeTopic, make: Make
) -> None:
    topic = await make_topic("profiles")
    producer = make()
    await producer.start()
    await producer.publish(records(topic, *map(str, range(300))))
    await producer.publish([*records(topic, "300"), Outgoing(topic, "ben", None, ())])
    assert await read(broker, topic, 302) == [*map(str, range(301)), ""]


async def test_one_that_wakes_after_its_successor_has_started_publishes_nothing(
    broker: Broker | ExternalCluster, make_topic: MakeTopic, make: Make
) -> None:
    """Whether it was frozen before its transaction, or in the middle of it."""
    topic = await make_topic("profiles")
    old, older = make(), make()
    await older.start()
    await older.publish(records(topic, "first"))
    await old.start()
    with pytest.raises(FencedError):
        await older.publish(records(topic, "stale"))
    await old._client.begin_transaction()
    await old._send(records(topic, "half"))
    new = make()
    await new.start()
    await new.publish(records(topic, "newest"))
    with pytest.raises(ProducerFenced):
        await old._client.commit_transaction()
    assert await read(broker, topic, 2) == ["first", "newest"]


async def test_one_record_that_is_too_large_keeps_its_whole_group_from_being_published(
    broker: Broker | ExternalCluster, make_topic: MakeTopic, make: Make
) -> None:
    topic = await make_topic("profiles", config={"max.message.bytes": "2000", "compression.type": "producer"})
    producer = make()
    await producer.start()
    with pytest.raises(RefusedWriteError) as refused:
        await producer.publish(records(topic, "small", uuid.uuid4().hex * 500 + "".join(map(str, range(20_000)))))
    assert refused.value.refusal is Refusal.TOO_LARGE
    await producer.stop()
    next_one = make()
    await next_one.start()
    await next_one.publish(records(topic, "small"))
    assert await read(broker, topic, 1) == ["small"]


async def test_a_topic_that_does_not_exist_is_no_fault_of_a_record(make: Make) -> None:
    producer = make()
    await producer.start()
    with pytest.raises(UnavailableError):
        await producer.publish(records(f"streamer-test.missing.{uuid.uuid4().hex}", "text"))


async def test_a_broker_that_goes_away_is_told_in_time(own_broker: Broker, make_topic: MakeTopic, make: Make) -> None:
    topic = await make_topic("profiles")
    producer = make()
    await producer.start()
    producer._timings = replace(TIMINGS, relay_publish=1.0)
    own_broker.suspend()
    try:
        with pytest.raises(UnavailableError):
            await producer.publish(records(topic, "text"))
        with contextlib.suppress(UnavailableError):
            await producer.stop()
    finally:
        own_broker.resume()
    next_one = make()
    await next_one.start()
    await next_one.publish(records(topic, "again"))
    assert (await read(own_broker, topic, 1))[-1] == "again"
