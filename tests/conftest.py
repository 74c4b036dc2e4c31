"""What tests of every folder may use: the real broker, topics, producing and consuming on it, and the sandbox.

``STREAMER_KAFKA__BOOTSTRAP_SERVERS=host:port`` makes the tests use a cluster that is there already. Those that must
kill or freeze a broker are skipped then.
"""

import asyncio
import contextlib
import functools
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.structs import ConsumerRecord, RecordMetadata
from hypothesis import HealthCheck, settings

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.server import Sandbox
from tests.postgresql import PostgreSQL, running_postgresql

# Without limits of time for an example and for making them: whatever else is going on is no fault of the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

WAITING_SHARE: Final = 0.6
"""After this share of all files that compute, the last file that waits has begun."""

TOPIC_TIMEOUT_SECONDS: Final = 30
"""Longest time for making a topic, and for reading one to its end."""


@dataclass(frozen=True, slots=True)
class ExternalCluster:
    """A cluster that somebody else started."""

    bootstrap_servers: str


class MakeTopic(Protocol):
    async def __call__(self, hint: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...


class Produce(Protocol):
    async def __call__(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> list[RecordMetadata]: ...


ConsumeAll = Callable[[str], Awaitable[list[ConsumerRecord]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix files that use the real broker, and wait most of the time, with those that compute.

    The former end earlier: they take long, and a long one at the end would run alone.
    """
    waits = {item.path: item.get_closest_marker("kafka") is not None for item in items}
    places: dict[Path, float] = {}
    for is_waiting, share in ((True, WAITING_SHARE), (False, 1.0)):
        files = [file for file in waits if waits[file] is is_waiting]
        places |= {file: share * number / len(files) for number, file in enumerate(files)}
    items.sort(key=lambda item: places[item.path])


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Segment, with nothing received yet."""
    sandbox = Sandbox()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker | ExternalCluster]:
    """Kafka; a test uses its ``bootstrap_servers``. One for the session, started by the first test that wants it."""
    if external := os.environ.get("STREAMER_KAFKA__BOOTSTRAP_SERVERS"):
        yield ExternalCluster(external)
        return
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    # A loop of its own that leaves the current one alone: the broker is bound to none.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(broker.start())
        try:
            yield broker
        finally:
            runner.run(broker.stop())


@pytest.fixture
async def own_broker(broker: Broker | ExternalCluster) -> AsyncIterator[Broker]:
    """The session's broker for a test that kills, freezes or restarts it; it runs again afterwards."""
    if not isinstance(broker, Broker):
        pytest.skip("needs a broker that it may kill, not that of STREAMER_KAFKA__BOOTSTRAP_SERVERS")
    yield broker
    if broker.is_running:
        broker.resume()
    else:
        await broker.start()


@pytest.fixture
async def make_topic(broker: Broker | ExternalCluster) -> AsyncIterator[MakeTopic]:
    """A function that makes a topic under a unique name with the hint in it, and returns the name."""
    made: list[str] = []

    async def make(hint: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        topic = f"streamer-test.{hint}.{uuid.uuid4().hex[:8]}"
        async with asyncio.timeout(TOPIC_TIMEOUT_SECONDS), connected_admin(broker.bootstrap_servers) as admin:
            # -1: the cluster's own replication factor, which aiokafka takes only together with an (empty) assignment.
            new = NewTopic(topic, partitions, -1, replica_assignments={}, topic_configs=dict(config or {}))
            answer = await admin.create_topics([new])
            for _, code, *_ in answer.topic_errors:
                if code:
                    raise for_code(code)(topic)
            made.append(topic)
            while not await has_leaders(admin, topic):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)  # a broker learns of it a little after the controller has made it
        return topic

    yield make
    if made and isinstance(broker, ExternalCluster):
        async with connected_admin(broker.bootstrap_servers) as admin:
            await admin.delete_topics(made)


@pytest.fixture
def produce(broker: Broker | ExternalCluster) -> Produce:
    """A function that writes one record per value and returns where they are, once all replicas have them."""

    async def write(
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> list[RecordMetadata]:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
            sent = []
            for value in values:
                if key is None and value is None:  # send() refuses such a record, which others do write
                    batch = producer.create_batch()
                    batch.append(key=None, value=None, timestamp=None, headers=list(headers))
                    sent.append(await producer.send_batch(batch, topic, partition=partition or 0))
                else:
                    sent.append(await producer.send(topic, value, key=key, partition=partition, headers=list(headers)))
            return [await future for future in sent]

    return write


@pytest.fixture
def consume_all(broker: Broker | ExternalCluster) -> ConsumeAll:
    """`read_topic` of this broker."""
    return functools.partial(read_topic, broker.bootstrap_servers)


async def read_topic(bootstrap_servers: str, topic: str, *, is_committed: bool = False) -> list[ConsumerRecord]:
    """All records of a topic, by partition and offset. Joins no group, commits nothing.

    ``is_committed``: without those of transactions that were undone, or are open.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if is_committed else "read_uncommitted",
    )
    async with asyncio.timeout(TOPIC_TIMEOUT_SECONDS), consumer:
        async with connected_admin(bootstrap_servers) as admin:
            [description] = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, known["partition"]) for known in description["partitions"]]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                records += (await consumer.getmany(partition, timeout_ms=100)).get(partition, [])
        return sorted(records, key=lambda record: (record.partition, record.offset))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server for all tests of this process, which nobody stops."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
async def postgresql_url(postgresql: PostgreSQL) -> str:
    """An empty database."""
    name = f"t{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgresql.url("postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return postgresql.url(name)


@contextlib.asynccontextmanager
async def connected_admin(
    bootstrap_servers: str, *, request_timeout_ms: int = 40_000
) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=request_timeout_ms)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def has_leaders(admin: AIOKafkaAdminClient, topic: str) -> bool:
    [description] = await admin.describe_topics([topic])
    return description["error_code"] == 0 and all(
        partition["error_code"] == 0 and partition["leader"] >= 0 for partition in description["partitions"]
    )
