"""How topics are created and described, on a real broker."""

import asyncio

import pytest

from streamer.core.dead_letters.topic_settings import remarks_on
from streamer.core.errors import UnavailableError
from streamer.kafka import describe_topics, missing_topics
from streamer.kafka.cluster import create_dead_letter_topic
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, MakeTopic

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(broker: ExternalCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


async def test_a_created_dead_letter_topic_keeps_what_it_gets(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    """Nothing of it is left to the brokers' defaults, which may delete or refuse dead letters."""
    config = {"retention.ms": "-1", "max.message.bytes": "3000000", "cleanup.policy": "delete,compact"}
    source = await make_topic("source", partitions=2, config=config | {"retention.bytes": "1000000"})
    letters = f"{source}.dlq"

    created = await create_dead_letter_topic(settings, letters, sources=[source])
    assert created is not None
    assert created.values is not None
    async with asyncio.timeout(20):
        while await missing_topics(settings, [letters]):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)  # a broker learns of it a little after the controller has made it
    [made, read] = await describe_topics(settings, [letters, source])
    assert made.values is not None
    assert (made.partitions, made.replicas) == (2, read.replicas)
    assert {name: made.values[name] for name in created.values} == created.values
    assert {name: made.values[name] for name in ("cleanup.policy", "retention.ms", "message.timestamp.type")} == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "message.timestamp.type": "LogAppendTime",
    }
    assert list(remarks_on(made, [read])) == []
    assert await create_dead_letter_topic(settings, letters, sources=[source]) is None, "another one was faster"


async def test_a_topic_that_cannot_be_created_is_told_with_the_reason(
    settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    with pytest.raises(
        UnavailableError, match=r"could not be created with 1 partition, .*Invalid.*: .*; grant the right CREATE"
    ):
        await create_dead_letter_topic(settings, "not a name!", sources=[await make_topic("source")])
