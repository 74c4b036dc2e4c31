"""Clients that know only brokers that are gone."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata

from streamer.core.model import Record
from streamer.devkit.broker import HOST, Broker, free_port
from streamer.kafka.producer import DeadLetterProducer
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka

GONE = 99


def forget_brokers(client: AIOKafkaClient) -> None:
    """As if it had been started, or had last heard of the cluster, while another broker was the only one."""
    client.cluster._brokers = {GONE: BrokerMetadata(GONE, HOST, free_port(), None)}
    client.cluster._partitions = {}


def record(value: bytes) -> Record:
    fields: dict[str, Any] = {"key": b"k", "value": value, "timestamp": -1, "partition": 0}
    return cast("Record", SimpleNamespace(**fields))


async def test_a_dead_letter_is_written(
    broker: Broker | ExternalCluster, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    topic = await make_topic("found.dlq")
    producer = DeadLetterProducer(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    await producer.start()
    try:
        assert producer._producer is not None
        forget_brokers(producer._producer.client)
        await producer.write(topic, record(b"letter"), [], timeout_seconds=20)
    finally:
        await producer.stop()
    assert [letter.value for letter in await consume_all(topic)] == [b"letter"]
