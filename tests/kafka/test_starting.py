"""A start that is cancelled at any moment leaves no connection open."""

import asyncio
import gc

import pytest

from streamer.core.errors import UnavailableError
from streamer.kafka import Brokers
from streamer.kafka.cluster import missing_topics
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(broker: ExternalCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


@pytest.mark.parametrize("kind", ["admin", "writer"])
async def test_a_cancelled_start_leaves_no_connection_open(kafka: KafkaSettings, kind: str) -> None:
    """An open one is closed by the garbage collector, which warns; a warning fails the test."""
    for milliseconds in range(0, 12, 3):
        writer = Brokers(kafka).writer()
        starting = asyncio.create_task(writer.start() if kind == "writer" else _ask(kafka))
        await asyncio.wait({starting}, timeout=milliseconds / 1_000)
        starting.cancel()
        await asyncio.wait({starting})
        assert starting.cancelled() or starting.exception() is None
        await writer.stop()
        del starting, writer
        gc.collect()


async def _ask(kafka: KafkaSettings) -> None:
    try:
        await missing_topics(kafka, ["any"])
    except UnavailableError:
        pytest.fail("the broker answers")
