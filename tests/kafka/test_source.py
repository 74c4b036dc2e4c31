"""The contract of `streamer.kafka`, as the real broker keeps it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.devkit.broker import Broker
from streamer.kafka import (
    CommitResult,
    DeadLetterProducer,
    PositionsGoneError,
    RefusedWriteError,
    Source,
    StoredPosition,
    TopicPartition,
    create_topics,
    missing_topics,
    preflight,
)
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic, Produce, connected_admin

pytestmark = pytest.mark.kafka

NOWHERE = "127.0.0.1:1"


class Member:
    """A source, and the assignments that it was called with."""

    def __init__(self, settings: KafkaSettings, group_id: str, topics: Sequence[str]) -> None:
        self.assigned: list[frozenset[TopicPartition]] = []
        self.revoked: list[frozenset[TopicPartition]] = []
        self.source = Source(
            settings,
            group_id=group_id,
            topics=topics,
            commit_timeout_seconds=0.5,
            on_assigned=self.assigned.append,
            on_revoked=self._on_revoked,
        )

    async def read(self, partitions: Sequence[TopicPartition], count: int) -> list[Record]:
        """So many records of these partitions, from where it stands."""
        records: list[Record] = []
        async with asyncio.timeout(20):
            while len(records) < count:
                for taken in (await self.poll(partitions)).values():
                    records += taken
        return records

    async def poll(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Sequence[Record]]:
        return await self.source.poll(partitions, max_records=1_000, timeout_seconds=0.2)

    async def _on_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.revoked.append(partitions)


@pytest.fixture
def settings(broker: Broker | ExternalCluster) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=200,
        metadata_max_age_ms=500,
    )


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    return await make_topic("source", partitions=2)


@pytest.fixture
async def member(settings: KafkaSettings, topic: str) -> AsyncIterator[Member]:
    """The only member of a group named after the topic, at the beginning of both partitions."""
    async with joined(settings, topic) as member:
        for partition in range(2):
            member.source.seek(TopicPartition(topic, partition), 0)
        yield member


@asynccontextmanager
async def joined(settings: KafkaSettings, topic: str) -> AsyncIterator[Member]:
    member = Member(settings, topic, [topic])
    async with asyncio.timeout(20):
        await member.source.join()
    try:
        yield member
    finally:
        await member.source.leave()


async def test_only_the_partitions_asked_for_are_read(member: Member, topic: str, produce: Produce) -> None:
    """The client takes an empty selection for all of them, and a cancelled one for none."""
    for partition in range(2):
        await produce(topic, [b"%d" % partition] * 10, partition=partition)

    assert await member.poll([]) == {}
    [one, other] = [TopicPartition(topic, partition) for partition in range(2)]
    assert {record.partition for record in await member.read([other], 10)} == {1}
    assert await member.poll([]) == {}
    assert {record.value for record in await member.read([one], 10)} == {b"0"}


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(member: Member, topic: str, settings: KafkaSettings, compression: str) -> None:
    """A topic whose codec is missing cannot be read at all."""
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, compression_type=compression) as producer:
        for number in range(100):
            await producer.send(topic, b"%d" % number, partition=0)
        await producer.flush()

    records = await member.read([TopicPartition(topic, 0)], 100)

    assert [record.value for record in records] == [b"%d" % number for number in range(100)]


async def test_positions_are_stored_with_their_metadata(member: Member, topic: str) -> None:
    [one, other] = [TopicPartition(topic, partition) for partition in range(2)]

    assert await member.source.commit({one: (7, "s1:known")}) is CommitResult.STORED

    assert await member.source.stored_positions([one, other]) == {
        one: StoredPosition(7, "s1:known"),
        other: StoredPosition(None, ""),
    }


async def test_metadata_over_the_brokers_limit_is_told_apart(member: Member, topic: str) -> None:
    place = TopicPartition(topic, 0)

    assert await member.source.commit({place: (7, "x" * 4_097)}) is CommitResult.METADATA_TOO_LARGE
    assert await member.source.commit({place: (7, "x" * 4_096)}) is CommitResult.STORED


async def test_a_partition_that_is_not_ours_does_not_spoil_a_commit(member: Member, topic: str) -> None:
    ours, foreign = TopicPartition(topic, 0), TopicPartition(topic, 17)

    assert await member.source.commit({ours: (3, ""), foreign: (3, "")}) is CommitResult.STORED
    assert await member.source.stored_positions([ours]) == {ours: StoredPosition(3, "")}
    assert await member.source.commit({foreign: (3, "")}) is CommitResult.STORED


async def test_a_coordinator_that_is_loading_is_not_taken_for_one_that_has_nothing_stored(
    member: Member, topic: str, own_broker: Broker
) -> None:
    """Asked too early after a crash, it would send us to the start of the topic, or past all that waits in it."""
    place = TopicPartition(topic, 0)
    assert await member.source.commit({place: (7, "s1:known")}) is CommitResult.STORED
    own_broker.kill()
    await own_broker.start()

    async with asyncio.timeout(60):
        while True:
            try:
                stored = await member.source.stored_positions([place])
            except UnavailableError:
                await asyncio.sleep(0)
            else:
                break

    assert stored == {place: StoredPosition(7, "s1:known")}


async def test_a_commit_that_gets_no_answer_ends_in_time(member: Member, topic: str, own_broker: Broker) -> None:
    """The client itself would try without end."""
    own_broker.suspend()
    try:
        assert await member.source.commit({TopicPartition(topic, 0): (1, "")}) is CommitResult.TIMED_OUT
    finally:
        own_broker.resume()


async def test_a_commit_that_timed_out_has_ended(member: Member, topic: str, own_broker: Broker) -> None:
    """The client's own goes on in a task of its own, whose error would be reported as never retrieved."""
    own_broker.suspend()
    before = asyncio.all_tasks()
    try:
        assert await member.source.commit({TopicPartition(topic, 0): (1, "")}) is CommitResult.TIMED_OUT
        assert [task for task in asyncio.all_tasks() - before if "commit" in repr(task)] == []
    finally:
        own_broker.resume()


async def test_a_member_that_overslept_its_session_learns_it_from_the_commit(
    settings: KafkaSettings, topic: str
) -> None:
    """Its partitions may be somebody else's by now, so nothing is stored; the client joins again by itself."""
    place = TopicPartition(topic, 0)
    async with joined(settings.model_copy(update={"session_timeout_ms": 1_000}), topic) as member:
        time.sleep(2)  # noqa: ASYNC251 - it stops the heartbeats, as a blocked event loop does

        assert await member.source.commit({place: (1, "")}) is CommitResult.MEMBERSHIP_CHANGED
        await until(lambda: len(member.assigned) == 2)
        assert await member.source.commit({place: (1, "")}) is CommitResult.STORED


async def test_who_overslept_its_session_does_not_store_where_the_group_begins(
    settings: KafkaSettings, topic: str
) -> None:
    """Another member may have begun meanwhile, and be further on."""
    place = TopicPartition(topic, 0)
    async with joined(settings.model_copy(update={"session_timeout_ms": 1_000}), topic) as member:
        time.sleep(2)  # noqa: ASYNC251 - as above

        assert await member.source.store_begins({place: 1}) is CommitResult.MEMBERSHIP_CHANGED
        assert await member.source.stored_positions([place]) == {place: (None, "")}


async def test_a_second_member_takes_partitions_over(settings: KafkaSettings, topic: str) -> None:
    """All partitions are revoked first, then each member gets its new assignment: the client's protocol is eager."""
    both = frozenset(TopicPartition(topic, partition) for partition in range(2))
    async with joined(settings, topic) as first:
        assert first.assigned == [both]
        async with joined(settings, topic) as second:
            await until(lambda: len(first.assigned) == 2)
            assert first.revoked[-1] == both
            assert first.assigned[-1] | second.assigned[-1] == both
            assert first.source.assignment() == first.assigned[-1]
        await until(lambda: first.assigned[-1] == both)


async def test_a_position_that_was_deleted_is_told_apart(
    member: Member, settings: KafkaSettings, topic: str, produce: Produce
) -> None:
    place = TopicPartition(topic, 0)
    await produce(topic, [b"record"] * 10, partition=0)
    async with connected_admin(settings.bootstrap_servers) as admin:
        await admin.delete_records({place: RecordsToDelete(before_offset=6)})
    # Not where the client stands: records from there may have been fetched ahead, or be on their way.
    member.source.seek(place, 3)

    with pytest.raises(PositionsGoneError) as gone:
        await member.read([place], 1)

    assert gone.value.partitions == {place}
    assert await member.source.log_bounds([place]) == {place: (6, 10)}
    member.source.seek(place, 6)
    assert [record.offset for record in await member.read([place], 4)] == [6, 7, 8, 9]


async def test_a_partition_that_has_left_is_asked_for_nothing(member: Member) -> None:
    gone = TopicPartition("no.such.topic", 0)

    member.source.seek(gone, 5)

    assert await member.source.position(gone) is None
    answer = await member.source.log_ends([gone], timeout_seconds=1)
    assert (answer.ends, set(answer.faults)) == ({}, {gone})


async def test_the_first_record_at_a_time_is_found(member: Member, topic: str, settings: KafkaSettings) -> None:
    place = TopicPartition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for second in range(5):
            await producer.send_and_wait(topic, b"", partition=0, timestamp_ms=1_700_000_000_000 + 1_000 * second)

    assert await member.source.offset_at(place, 1_700_000_002_500) == 3
    assert await member.source.offset_at(place, 1_800_000_000_000) is None


async def test_brokers_that_are_away_are_unavailable() -> None:
    """Every way in says so in the same words, and leaves nothing behind that would have to be closed."""
    away = KafkaSettings(bootstrap_servers=NOWHERE)
    for attempt in (
        preflight(away),
        missing_topics(away, ["any"]),
        create_topics(away, ["any"]),
        Member(away, "group", ["any"]).source.join(),
        DeadLetterProducer(away).start(),
    ):
        with pytest.raises(UnavailableError):
            await attempt


async def test_leaving_before_joining_is_nothing() -> None:
    await Member(KafkaSettings(bootstrap_servers=NOWHERE), "group", ["any"]).source.leave()
    await DeadLetterProducer(KafkaSettings(bootstrap_servers=NOWHERE)).stop()


async def test_topics_are_missed_and_made(settings: KafkaSettings, topic: str) -> None:
    """Making them again is no error: another instance may have been faster."""
    await preflight(settings)
    made = f"{topic}.dlq"

    assert await missing_topics(settings, [made, topic, "zz"]) == [made, "zz"]
    await create_topics(settings, [made])
    await create_topics(settings, [made])
    assert await missing_topics(settings, [made]) == []


@pytest.fixture
async def producer(settings: KafkaSettings) -> AsyncIterator[DeadLetterProducer]:
    producer = DeadLetterProducer(settings)
    await producer.start()
    yield producer
    await producer.stop()


def record(partition: int = 0, **changes: Any) -> Any:
    """A record to be set aside."""
    plain = {"topic": "surveys", "partition": partition, "offset": 5, "timestamp": 1_700_000_000_000, "headers": ()}
    return SimpleNamespace(**plain | {"key": b"key", "value": b"value"} | changes)


async def test_a_dead_letter_keeps_its_partition_where_there_is_one(
    producer: DeadLetterProducer, topic: str, consume_all: ConsumeAll
) -> None:
    for partition in (1, 17):
        await producer.write(topic, record(partition), [("reason", b"r")], timeout_seconds=10)

    written = await consume_all(topic)

    assert 1 in {letter.partition for letter in written}
    assert [(letter.key, letter.value, letter.timestamp) for letter in written] == [
        (b"key", b"value", 1_700_000_000_000)
    ] * 2


async def test_what_the_client_cannot_send_is_marked(
    producer: DeadLetterProducer, topic: str, consume_all: ConsumeAll
) -> None:
    """Neither key nor value: the client refuses that, and the record is kept all the same."""
    await producer.write(topic, record(key=None, value=None, timestamp=-1), [], timeout_seconds=10)

    [written] = await consume_all(topic)

    assert (written.key, written.value) == (None, b"")
    assert dict(written.headers) == {"streamer.value.null": b"1"}


async def test_one_that_is_too_large_does_not_stop_the_next(
    producer: DeadLetterProducer, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """An idempotent producer would be refused everything from then on, for the gap in its sequence numbers."""
    small = await make_topic("small", config={"max.message.bytes": "20000"})
    for _ in range(2):
        await producer.write(small, record(), [], timeout_seconds=10)
        with pytest.raises(RefusedWriteError):
            await producer.write(small, record(value=random.randbytes(30_000)), [], timeout_seconds=10)

    assert len(await consume_all(small)) == 2


async def test_one_that_its_producer_compressed_fits_again(
    producer: DeadLetterProducer, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """The limit of a topic counts bytes after compression; the value is far longer."""
    small = await make_topic("small", config={"max.message.bytes": "20000"})
    await producer.write(small, record(value=b"x" * 3_000_000), [], timeout_seconds=10)
    assert len((await consume_all(small))[0].value) == 3_000_000


async def test_a_write_to_brokers_that_do_not_answer_ends_in_time(
    producer: DeadLetterProducer, topic: str, own_broker: Broker
) -> None:
    await producer.write(topic, record(), [], timeout_seconds=10)
    own_broker.suspend()
    try:
        with pytest.raises(UnavailableError):
            await producer.write(topic, record(), [], timeout_seconds=0.3)
    finally:
        own_broker.resume()


async def until(happened: Callable[[], object]) -> None:
    """Wait for what only a callback of the client tells."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
