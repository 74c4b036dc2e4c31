"""The history of commits, against the broker that keeps it."""

import struct
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

from streamer.devkit.broker import Broker
from tests.conftest import ExternalCluster, MakeTopic, connected_admin
from tests.faults.history import Commit, decode_commits, read_commits


@pytest.mark.kafka
async def test_the_history_says_what_the_broker_says(broker: Broker | ExternalCluster, make_topic: MakeTopic) -> None:
    """Each commit in order, with and without metadata; the last of each partition is what the admin API tells."""
    topic, group = await make_topic("history", partitions=2), f"streamer-test.history.{uuid.uuid4().hex[:8]}"
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    begun_at = time.time() * 1_000
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers, group_id=group, enable_auto_commit=False)
    async with consumer:
        consumer.assign([zero, one])
        await consumer.commit({zero: OffsetAndMetadata(3, "s1:é"), one: OffsetAndMetadata(5, "")})
        await consumer.commit({zero: OffsetAndMetadata(2**40, "x" * 4_096)})
    ended_at = time.time() * 1_000

    commits = await read_commits(broker.bootstrap_servers, group)

    assert {commit[:5] for commit in commits[:2]} == {(group, topic, 0, 3, "s1:é"), (group, topic, 1, 5, "")}
    assert [commit[:5] for commit in commits[2:]] == [(group, topic, 0, 2**40, "x" * 4_096)]
    assert all(begun_at - 1 <= commit.at_ms <= ended_at for commit in commits)
    async with connected_admin(broker.bootstrap_servers) as admin:
        stored = await admin.list_consumer_group_offsets(group)
    last = {TopicPartition(commit.topic, commit.partition): (commit.offset, commit.metadata) for commit in commits}
    assert last == {partition: (told.offset, told.metadata) for partition, told in stored.items()}


KEY = struct.pack(">hh1sh1si", 1, 1, b"g", 1, b"t", 7)

VALUES = {
    0: struct.pack(">hqh1sq", 0, 42, 1, b"m", 1_000),
    1: struct.pack(">hqh1sqq", 1, 42, 1, b"m", 1_000, 2_000),
    2: struct.pack(">hqh1sq", 2, 42, 1, b"m", 1_000),
    3: struct.pack(">hqih1sq", 3, 42, -1, 1, b"m", 1_000),
    4: struct.pack(">hqiB1sqB", 4, 42, -1, 2, b"m", 1_000, 0),
}


def stored(key: bytes | None, value: bytes | None) -> ConsumerRecord:
    return ConsumerRecord("__consumer_offsets", 0, 0, 99, 0, key, value, None, 0, 0, ())


@pytest.mark.parametrize("version", VALUES)
def test_every_version_of_the_value_is_read(version: int) -> None:
    """A broker writes one of them; which, changes with its version."""
    assert list(decode_commits([stored(KEY, VALUES[version])])) == [Commit("g", "t", 7, 42, "m", 99)]


def test_long_metadata_of_the_newest_version_is_read() -> None:
    """Its length takes two bytes: 300 + 1 is 0b10_0101101."""
    value = struct.pack(">hqiBB300sqB", 4, 42, -1, 0b1010_1101, 0b10, b"m" * 300, 1_000, 0)
    assert [commit.metadata for commit in decode_commits([stored(KEY, value)])] == ["m" * 300]


def test_what_is_no_commit_is_left_out() -> None:
    """Forgotten positions, and the records about members, whose keys have another version."""
    members = struct.pack(">hh1s", 2, 1, b"g")
    assert list(decode_commits([stored(KEY, None), stored(members, b"whatever"), stored(None, b"")])) == []
