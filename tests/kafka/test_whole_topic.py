"""Following a small topic on a real broker."""

import uuid
from unittest.mock import AsyncMock

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from streamer.core.errors import UnavailableError
from streamer.kafka import create_topics, missing_topics, whole_topic
from streamer.kafka.whole_topic import ForbiddenTopicError, WholeTopic
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, MakeTopic, Produce

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(broker: ExternalCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


async def values_of(follower: WholeTopic, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    while len(values) < count:
        values += [record.value for record in await follower.poll(0.2)]
    return values


async def test_it_is_read_from_its_beginning_and_then_followed(
    kafka: KafkaSettings, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = await make_topic("followed", partitions=2)
    await produce(topic, [b"a"], partition=0)
    await produce(topic, [b"b"], partition=1)
    async with WholeTopic(kafka, topic) as follower:
        assert await follower.find()
        assert not await follower.is_caught_up()
        assert sorted(str(value) for value in await values_of(follower, 2)) == ["b'a'", "b'b'"]
        assert await follower.is_caught_up()
        await produce(topic, [b"c"], partition=0)
        assert await values_of(follower, 1) == [b"c"]


async def test_what_a_transaction_took_back_is_caught_up_with(
    broker: ExternalCluster, kafka: KafkaSettings, make_topic: MakeTopic
) -> None:
    """The topic ends with a marker that is no record."""
    topic = await make_topic("followed")
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back")
        await producer.abort_transaction()
    async with WholeTopic(kafka, topic) as follower:
        assert await follower.find()
        while not await follower.is_caught_up():
            await follower.poll(0.2)


async def test_a_missing_topic_is_not_made_by_looking_for_it_and_found_once_it_is_there(kafka: KafkaSettings) -> None:
    """Made on demand, it would not be compacted."""
    topic = f"streamer-test.absent.{uuid.uuid4().hex[:8]}"
    async with WholeTopic(kafka, topic) as follower:
        for _ in range(2):
            assert not await follower.find()
        assert await missing_topics(kafka, [topic]) == [topic]
        await create_topics(kafka, [topic])
        while not await follower.find():
            pass
        assert await follower.is_caught_up()


async def test_a_topic_that_may_not_be_read_is_told_apart(
    kafka: KafkaSettings, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic("followed")
    async with WholeTopic(kafka, topic) as follower:
        assert await follower.find()
        monkeypatch.setattr(AIOKafkaConsumer, "getmany", AsyncMock(side_effect=TopicAuthorizationFailedError(topic)))
        with pytest.raises(ForbiddenTopicError, match="a right on the topic is missing"):
            await follower.poll(0.1)


async def test_a_fetcher_that_has_died_is_found_out(
    kafka: KafkaSettings, make_topic: MakeTopic, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client says nothing about that; orders would never arrive."""
    monkeypatch.setattr(whole_topic, "LOOK_SECONDS", 0.0)
    topic = await make_topic("followed")
    async with WholeTopic(kafka, topic) as follower:
        assert await follower.find()
        monkeypatch.setattr(AIOKafkaConsumer, "getmany", AsyncMock(return_value={}))
        await follower.poll(0.1)
        await produce(topic, [b"order"])
        with pytest.raises(UnavailableError, match="has more records, and none arrives"):  # noqa: PT012 - it takes a few
            for _ in range(100):
                await follower.poll(0.1)


async def test_no_broker_is_an_error() -> None:
    with pytest.raises(UnavailableError):
        async with WholeTopic(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "control"):
            pass
