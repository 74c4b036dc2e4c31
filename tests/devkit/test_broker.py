"""What streamer relies on Kafka and aiokafka for, tried against the real broker; and the local broker itself."""

import asyncio
import contextlib
import os
import random
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetMetadataTooLargeError

from streamer.core.errors import UnavailableError
from streamer.devkit.broker import HOST, Broker, free_port
from streamer.devkit.broker import broker as broker_module

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Awaitable[str]]
Produce = Callable[..., Awaitable[list[Any]]]
ConsumeAll = Callable[[str], Awaitable[list[Any]]]

MAX_METADATA_CHARACTERS = 4_096
"""Kafka's default for ``offset.metadata.max.bytes``, which it compares with characters."""


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """A topic of one partition."""
    return await make_topic("facts")


@pytest.fixture
async def member(broker: Broker, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """The only member of a consumer group named after the topic; it has the topic's one partition."""
    async with group_member(broker, topic) as consumer:
        yield consumer


@pytest.fixture
async def admin(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    async with connected_admin(broker) as client:
        yield client


async def test_records_come_back_as_they_were_written(topic: str, produce: Produce, consume_all: ConsumeAll) -> None:
    """Dead letters promise the original key, value and headers; null, empty and unset must stay apart."""
    headers = [("trace", b"1"), ("empty", b""), ("null", None), ("trace", b"2")]
    await produce(topic, [b"answer", b"", None], key=b"visitor", headers=headers)
    await produce(topic, [b"no key"])
    await produce(topic, [None])

    records = await consume_all(topic)

    assert [(record.key, record.value, list(record.headers)) for record in records] == [
        (b"visitor", b"answer", headers),
        (b"visitor", b"", headers),
        (b"visitor", None, headers),
        (None, b"no key", []),
        (None, None, []),
    ]
    assert [record.offset for record in records] == [0, 1, 2, 3, 4]


async def test_one_key_goes_to_one_partition(make_topic: MakeTopic, produce: Produce) -> None:
    topic = await make_topic("keys", partitions=4)

    written = await produce(topic, [b"1", b"2", b"3", b"4"], key=b"visitor")

    assert len({place.partition for place in written}) == 1


@pytest.mark.parametrize("metadata", ["", "s1:short", "x" * MAX_METADATA_CHARACTERS], ids=["empty", "short", "longest"])
async def test_commit_metadata_is_kept_with_the_position(
    topic: str, member: AIOKafkaConsumer, admin: AIOKafkaAdminClient, metadata: str
) -> None:
    """What is settled above the position lives there, so it must come back whole."""
    partition = TopicPartition(topic, 0)

    await member.commit({partition: (7, metadata)})

    stored = await admin.list_consumer_group_offsets(topic, partitions=[partition])
    assert stored[partition].offset == 7
    assert stored[partition].metadata == metadata


async def test_metadata_one_character_too_long_is_refused_and_changes_nothing(
    topic: str, member: AIOKafkaConsumer, admin: AIOKafkaAdminClient
) -> None:
    partition = TopicPartition(topic, 0)
    await member.commit({partition: (7, "before")})

    with pytest.raises(OffsetMetadataTooLargeError):
        await member.commit({partition: (8, "x" * (MAX_METADATA_CHARACTERS + 1))})

    stored = await admin.list_consumer_group_offsets(topic, partitions=[partition])
    assert stored[partition] == (7, "before")


async def test_a_partition_without_a_position_is_told_apart_from_one_at_zero(
    topic: str, member: AIOKafkaConsumer, admin: AIOKafkaAdminClient
) -> None:
    """A new group begins where `start` says; a group that stands at 0 does not."""
    partition = TopicPartition(topic, 0)
    assert (await admin.list_consumer_group_offsets(topic, partitions=[partition]))[partition].offset == -1

    await member.commit({partition: (0, "")})

    assert (await admin.list_consumer_group_offsets(topic, partitions=[partition]))[partition].offset == 0


async def test_asking_for_a_topic_does_not_create_it(admin: AIOKafkaAdminClient) -> None:
    """`create_topics: false` means it: readiness must be able to see that a dead-letter topic is missing."""
    [description] = await admin.describe_topics(["streamer-test.nobody-made-this"])

    assert description["error_code"] == 3  # UNKNOWN_TOPIC_OR_PARTITION


async def test_sessions_of_a_second_are_allowed(own_broker: Broker, topic: str) -> None:
    """Tests of lost members would otherwise wait for Kafka's shortest session, 6 s."""
    async with group_member(own_broker, topic, session_timeout_ms=1_000, heartbeat_interval_ms=300) as member:
        assert member.assignment() == {TopicPartition(topic, 0)}


async def test_confirmed_records_and_positions_survive_a_crash(
    own_broker: Broker, topic: str, produce: Produce, consume_all: ConsumeAll
) -> None:
    partition = TopicPartition(topic, 0)
    await produce(topic, [b"1", b"2"])
    async with group_member(own_broker, topic) as member:
        await member.commit({partition: (1, "kept")})
    port = own_broker.port

    own_broker.kill()
    await own_broker.start()

    assert own_broker.port == port
    assert [record.value for record in await consume_all(topic)] == [b"1", b"2"]
    async with asyncio.timeout(30), connected_admin(own_broker) as admin:
        # A coordinator that is still loading answers with an error that aiokafka 0.14 shows as "nothing stored".
        while not (stored := await admin.list_consumer_group_offsets(topic, partitions=[partition])):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert stored[partition] == (1, "kept")


async def test_restart_keeps_what_was_written(
    own_broker: Broker, topic: str, produce: Produce, consume_all: ConsumeAll
) -> None:
    await produce(topic, [b"1"])
    before = own_broker.process.pid

    await own_broker.restart()

    assert own_broker.process.pid != before
    assert [record.value for record in await consume_all(topic)] == [b"1"]


async def test_a_suspended_broker_is_silent_until_it_is_resumed(own_broker: Broker) -> None:
    async with connected_admin(own_broker) as admin:
        own_broker.suspend()
        answer = asyncio.ensure_future(admin.describe_cluster())
        done, _ = await asyncio.wait([answer], timeout=0.3)
        assert not done

        own_broker.resume()

        assert len((await asyncio.wait_for(answer, 10))["brokers"]) == 1


async def test_a_suspended_broker_can_be_stopped(own_broker: Broker) -> None:
    own_broker.suspend()

    async with asyncio.timeout(broker_module.STOP_TIMEOUT_SECONDS / 2):
        await own_broker.stop()

    assert not own_broker.is_running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child when its parent is killed")
async def test_the_broker_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """A killed demo or test run must not leave a Java process behind."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from streamer.devkit.broker import Broker\n"
        "broker = Broker(pathlib.Path(sys.argv[1]))\n"
        "asyncio.run(broker.start())\n"
        "print(broker.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    broker_process = os.pidfd_open(int(await asyncio.wait_for(parent.stdout.readline(), 60)))
    try:
        assert not has_ended(broker_process, timeout_seconds=0)

        parent.kill()
        await parent.wait()

        assert await asyncio.to_thread(has_ended, broker_process, timeout_seconds=10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(broker_process, signal.SIGKILL)
        os.close(broker_process)


async def test_a_start_that_is_interrupted_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C while the data directory is being formatted: the directory can be removed at once."""
    starting = asyncio.create_task(Broker(tmp_path).start())
    async with asyncio.timeout(30):
        while not running_for(tmp_path):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert running_for(tmp_path) == []


def running_for(directory: Path) -> list[psutil.Process]:
    """The Java processes that were started with a path in this directory."""
    return [child for child in psutil.Process().children() if any(str(directory) in word for word in child.cmdline())]


def test_a_port_that_is_preferred_is_given_if_it_is_free() -> None:
    preferred = free_port()
    broker_module._given.discard(preferred)  # as if nobody had asked for it
    assert free_port(preferred) == preferred
    with socket.create_server((HOST, 0)) as taken:
        assert free_port(taken.getsockname()[1]) != taken.getsockname()[1]


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ports are asked for before anything listens on the first one."""
    drawn = [free_port() for _ in range(3)]
    draws = iter([*drawn, drawn[0] + 1, *range(10_000, 32_000)])
    monkeypatch.setattr(random, "randrange", lambda *_: next(draws))
    assert free_port() not in drawn


async def test_several_brokers_form_one_cluster(tmp_path: Path) -> None:
    """What a test of a lost leader will need."""
    controllers = {node_id: free_port() for node_id in (1, 2, 3)}
    voters = ",".join(f"{node_id}@{HOST}:{port}" for node_id, port in controllers.items())
    brokers = [
        Broker(
            tmp_path / str(node_id), node_id=node_id, controller_port=port, config={"controller.quorum.voters": voters}
        )
        for node_id, port in controllers.items()
    ]
    try:
        await asyncio.gather(*(broker.start() for broker in brokers))
        async with asyncio.timeout(10), connected_admin(brokers[0]) as admin:
            while len(known := (await admin.describe_cluster())["brokers"]) < len(brokers):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.05)  # the first learns of the last a little after that is ready
    finally:
        for broker in brokers:
            if broker.is_running:
                broker.kill()

    assert {broker["port"] for broker in known} == {broker.port for broker in brokers}


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as occupied:
        port = occupied.getsockname()[1]

        with pytest.raises(UnavailableError, match=f":{port} is in use by another process"):
            await Broker(tmp_path, port=port).start()


async def test_a_refused_configuration_is_shown_with_kafkas_reason(tmp_path: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"(?s)broker\.log.*Invalid value soon for configuration log\.retention\.ms"
    ):
        await Broker(tmp_path, config={"log.retention.ms": "soon"}).start()


async def test_a_broker_that_ends_while_starting_is_shown_with_its_reason(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as occupied:
        broker = Broker(tmp_path, controller_port=occupied.getsockname()[1])

        with pytest.raises(UnavailableError, match=r"(?s)ended with exit code 1.*Address already in use"):
            await broker.start()

    assert not broker.is_running


def has_ended(process: int, *, timeout_seconds: float) -> bool:
    """Whether the process of this file descriptor ends within the time."""
    ended, _, _ = select.select([process], [], [], timeout_seconds)
    return bool(ended)


@contextlib.asynccontextmanager
async def group_member(broker: Broker, topic: str, **options: int) -> AsyncIterator[AIOKafkaConsumer]:
    """The only member of a group named after the topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap_servers, group_id=topic, enable_auto_commit=False, **options
    )
    async with consumer:
        yield consumer


@contextlib.asynccontextmanager
async def connected_admin(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
