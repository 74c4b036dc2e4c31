"""What a group has stored, asked by somebody who is not in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streamer.core.errors import UnavailableError
from streamer.kafka.group_positions import StoredPosition
from streamer.kafka.members import members_of
from streamer.kafka.stored_positions import stored_positions
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka


async def test_positions_come_with_their_metadata(broker: ExternalCluster, make_topic: MakeTopic) -> None:
    """And whoever asks does not become a member, so that no partition changes hands."""
    topic = await make_topic("stored", partitions=3)
    kafka, group_id = KafkaSettings(bootstrap_servers=broker.bootstrap_servers), f"group of {topic}"
    async with consuming(broker, topic, group_id) as consumer:
        await consumer.commit({TopicPartition(topic, 1): OffsetAndMetadata(7, "s1:text")})

        found = await stored_positions(kafka, group_id, [(topic, number) for number in range(3)])
        members = await members_of(kafka, [group_id, "nobody's"])

    assert found == {
        (topic, 0): StoredPosition(None, ""),
        (topic, 1): StoredPosition(7, "s1:text"),
        (topic, 2): StoredPosition(None, ""),
    }
    assert [(member.client_id, member.partitions) for member in members[group_id]] == [("the-only-member", 3)]
    assert members["nobody's"] == []


async def test_a_group_that_does_not_exist_has_stored_nothing(broker: ExternalCluster, make_topic: MakeTopic) -> None:
    topic = await make_topic("stored")
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    assert await stored_positions(kafka, "nobody's", [(topic, 0)]) == {(topic, 0): StoredPosition(None, "")}
    assert await stored_positions(kafka, "nobody's", []) == {}


async def test_brokers_that_are_away_are_one_kind_of_error() -> None:
    with pytest.raises(UnavailableError):
        await stored_positions(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "group", [("surveys", 0)])


@asynccontextmanager
async def consuming(broker: ExternalCluster, topic: str, group_id: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group_id,
        client_id="the-only-member",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while not consumer.assignment():  # the start does not wait for it
            await consumer.getmany(timeout_ms=50)
        yield consumer
    finally:
        await consumer.stop()
