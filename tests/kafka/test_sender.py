"""The sender on a real broker: where records are, what they have, and what the broker refuses."""

import asyncio
import random

import pytest

from streamer.core.errors import UnavailableError
from streamer.devkit.broker import Broker, free_port
from streamer.kafka import Place, RefusedWriteError, Sender
from streamer.kafka.sender import CLOSE_SECONDS
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka


async def test_records_are_where_it_says(
    broker: Broker | ExternalCluster, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    topic = await make_topic("sender", partitions=2)
    async with Sender(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as sender:
        sent = [await sender.send(topic, b"%d" % n, key=b"k", headers=[("source", b"test")]) for n in range(3)]
        places = [await sender.confirmed(confirmation, timeout_seconds=30) for confirmation in sent]

    records = await consume_all(topic)
    assert [(r.value, r.key, r.headers) for r in records] == [
        (b"%d" % n, b"k", (("source", b"test"),)) for n in range(3)
    ]
    assert [Place(topic, record.partition, record.offset) for record in records] == places


async def test_a_record_that_is_too_large_is_refused(broker: Broker | ExternalCluster, make_topic: MakeTopic) -> None:
    """The refusal has a type of its own, because it is no use to try again; and the context ends in spite of it."""
    topic = await make_topic("sender", config={"max.message.bytes": "1000"})
    incompressible = random.Random(7).randbytes(4_000)

    async def send() -> None:
        async with Sender(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as sender:
            too_large = await sender.send(topic, incompressible, key=None, headers=[])
            await sender.send(topic, b"after", key=None, headers=[])
            await sender.confirmed(too_large, timeout_seconds=30)

    async with asyncio.timeout(30):
        with pytest.raises(RefusedWriteError):
            await send()


async def test_what_is_not_confirmed_keeps_nobody_from_leaving(own_broker: Broker, make_topic: MakeTopic) -> None:
    """After Ctrl-C while brokers are away; the client's own end would wait ten seconds for them."""
    topic = await make_topic("sender")
    loop = asyncio.get_running_loop()
    async with Sender(KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)) as sender:
        first = await sender.send(topic, b"before", key=None, headers=[])
        await sender.confirmed(first, timeout_seconds=30)
        own_broker.suspend()
        confirmation = await sender.send(topic, b"meanwhile", key=None, headers=[])
        with pytest.raises(UnavailableError, match="did not confirm"):
            await sender.confirmed(confirmation, timeout_seconds=0.1)
        left_at = loop.time()
    assert loop.time() - left_at < 2 * CLOSE_SECONDS + 1


async def test_brokers_that_are_away_are_named() -> None:
    sender = Sender(KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}"))
    with pytest.raises(UnavailableError):
        async with sender:
            pass
