"""Groups are deleted with what they have stored."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.core.errors import UnavailableError
from streamer.kafka.group_positions import StoredPosition
from streamer.kafka.groups import delete_group
from streamer.kafka.stored_positions import stored_positions
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka


async def test_a_group_is_deleted_once_nobody_is_in_it(broker: ExternalCluster, make_topic: MakeTopic) -> None:
    topic = await make_topic("groups")
    kafka, group_id = KafkaSettings(bootstrap_servers=broker.bootstrap_servers), f"group of {topic}"
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap_servers, group_id=group_id, enable_auto_commit=False
    ) as consumer:
        await consumer.commit({TopicPartition(topic, 0): 7})
        assert "it has members" in await delete_group(kafka, group_id)
        assert await stored_positions(kafka, group_id, [(topic, 0)]) == {(topic, 0): StoredPosition(7, "")}

    assert await delete_group(kafka, group_id) == ""
    assert await stored_positions(kafka, group_id, [(topic, 0)]) == {(topic, 0): StoredPosition(None, "")}
    assert await delete_group(kafka, group_id) == "", "it does not exist"


async def test_brokers_that_are_away_are_one_kind_of_error() -> None:
    with pytest.raises(UnavailableError):
        await delete_group(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "group")
