"""What a pipeline relies on of Kafka, asked of the real broker and of the one in memory alike."""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete

from streamer.core.dead_letters.letter import Refusal
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.records.log_ends import LogEnds
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.devkit.broker import Broker
from streamer.kafka import (
    Brokers,
    CommitResult,
    DamagedError,
    PositionsGoneError,
    RefusedWriteError,
    Salvaged,
    StoredPosition,
)
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import ports
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic, Produce, connected_admin
from tests.doubles.kafka import MemoryBrokers, MemoryCluster
from tests.kafka.batches import damage, with_wrong_checksum

WAIT_SECONDS = 20
MAX_RECORD_BYTES = 2_000
NOISE = random.Random(1).randbytes(MAX_RECORD_BYTES)
"""Bytes that compression cannot make smaller."""


class EndTransaction(Protocol):
    """Ends the transaction that was begun."""

    async def __call__(self, *, is_committed: bool) -> None: ...


class World(Protocol):
    """One of the two, with what a test does beside the clients."""

    brokers: ports.Brokers

    async def make_topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...
    async def produce(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None: ...
    async def delete_records(self, place: Place, before: int) -> None: ...
    async def damage(self, place: Place, offsets: range) -> None: ...
    async def write_in_transaction(self, place: Place, values: Sequence[bytes]) -> "EndTransaction": ...
    async def read_all(self, topic: str) -> Sequence[Record]: ...


class InMemory:
    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.brokers: ports.Brokers = MemoryBrokers(self.cluster)

    async def make_topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        topic = self.cluster.create(f"topic-{len(self.cluster.logs)}", partitions)
        self.cluster.max_record_bytes[topic] = MAX_RECORD_BYTES
        for name, value in (config or {}).items():
            if name == "cleanup.policy":
                self.cluster.compacted.add(topic)
            else:
                self.cluster.max_age_ms[topic] = int(value)
        return topic

    async def produce(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        self.cluster.append(topic, values, partition=partition, key=b"key", headers=[("trace", b"1")])

    async def delete_records(self, place: Place, before: int) -> None:
        self.cluster.delete_records(place, before)

    async def damage(self, place: Place, offsets: range) -> None:
        self.cluster.damaged[place] = offsets

    async def write_in_transaction(self, place: Place, values: Sequence[bytes]) -> EndTransaction:
        self.cluster.begin_transaction(place)
        self.cluster.append(place.topic, values, partition=place.partition)

        async def end(*, is_committed: bool) -> None:
            self.cluster.end_transaction(place, is_committed=is_committed)

        return end

    async def read_all(self, topic: str) -> Sequence[Record]:
        return [record for log in self.cluster.logs[topic] for record in log.records]


class Real:
    def __init__(
        self, broker: Broker | ExternalCluster, make_topic: MakeTopic, produce: Produce, consume_all: ConsumeAll
    ) -> None:
        settings = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=100,
            metadata_max_age_ms=500,
        )
        self.brokers: ports.Brokers = Brokers(settings)
        self._broker = broker
        self._make_topic = make_topic
        self._produce = produce
        self._consume_all = consume_all

    async def make_topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        full = {"max.message.bytes": str(MAX_RECORD_BYTES), **(config or {})}
        return await self._make_topic("contract", partitions=partitions, config=full)

    async def produce(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        await self._produce(topic, values, key=b"key", partition=partition, headers=[("trace", b"1")])

    async def delete_records(self, place: Place, before: int) -> None:
        async with connected_admin(self._broker.bootstrap_servers) as admin:
            await admin.delete_records({place: RecordsToDelete(before_offset=before)})

    async def damage(self, place: Place, offsets: range) -> None:
        broker = self._broker
        if not isinstance(broker, Broker):
            pytest.skip("needs a broker that it may stop, not that of STREAMER_KAFKA__BOOTSTRAP_SERVERS")
        await broker.stop()
        try:
            partition = broker.directory / "data" / f"{place.topic}-{place.partition}"
            assert damage(partition, with_wrong_checksum, offset=offsets.start) == offsets, "one batch"
        finally:
            await broker.start()

    async def write_in_transaction(self, place: Place, values: Sequence[bytes]) -> EndTransaction:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._broker.bootstrap_servers, transactional_id=f"contract-{uuid.uuid4().hex}"
        )
        await producer.start()
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(place.topic, value, partition=place.partition)

        async def end(*, is_committed: bool) -> None:
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
            await producer.stop()

        return end

    async def read_all(self, topic: str) -> Sequence[Record]:
        return await self._consume_all(topic)


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return InMemory()
    broker: Broker | ExternalCluster = request.getfixturevalue("broker")
    return Real(
        broker,
        request.getfixturevalue("make_topic"),
        request.getfixturevalue("produce"),
        request.getfixturevalue("consume_all"),
    )


class Member:
    """A source, and what it was told of its assignments."""

    def __init__(self, brokers: ports.Brokers, group_id: str, topics: Sequence[str]) -> None:
        self.assigned: list[frozenset[Place]] = []
        self.revoked: list[frozenset[Place]] = []
        self.on_revoked: Callable[[], Awaitable[object]] | None = None
        self.source = brokers.source(
            group_id=group_id, topics=topics, on_assigned=self.assigned.append, on_revoked=self._on_revoked
        )

    async def _on_revoked(self, partitions: frozenset[Place]) -> None:
        self.revoked.append(partitions)
        if self.on_revoked is not None:
            await self.on_revoked()

    async def poll(self, *partitions: Place, max_records: int = 100, seconds: float = 0.1) -> dict[Place, list[Record]]:
        taken = await self.source.poll(partitions, max_records=max_records, timeout_seconds=seconds)
        return {place: list(records) for place, records in taken.items()}

    async def read(self, place: Place, count: int) -> list[Record]:
        """So many records of a partition, from where the member stands."""
        records: list[Record] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while len(records) < count:
                records += (await self.poll(place)).get(place, [])
        return records


@contextlib.asynccontextmanager
async def joined(world: World, topic: str, group_id: str = "") -> AsyncIterator[Member]:
    member = Member(world.brokers, group_id or f"group-{uuid.uuid4().hex}", [topic])
    async with asyncio.timeout(WAIT_SECONDS):
        await member.source.join()
    try:
        yield member
    finally:
        await member.source.leave()


async def test_joining_gives_every_partition_and_no_position(world: World) -> None:
    topic = await world.make_topic(partitions=2)
    places = frozenset({Place(topic, 0), Place(topic, 1)})
    async with joined(world, topic) as member:
        assert member.assigned == [places]
        assert all(not revoked for revoked in member.revoked), "nothing was ours before"
        assert await member.source.stored_positions(places) == dict.fromkeys(places, StoredPosition(None, ""))
        assert await member.source.log_bounds(places) == dict.fromkeys(places, (0, 0))


async def test_records_come_as_they_were_written_from_where_was_sought(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0", b"1", None, b"3"])
    async with joined(world, topic) as member:
        member.source.seek(place, 1)
        records = await member.read(place, 3)
        assert [(record.offset, record.value, record.key) for record in records] == [
            (1, b"1", b"key"),
            (2, None, b"key"),
            (3, b"3", b"key"),
        ]
        assert [list(record.headers) for record in records] == [[("trace", b"1")]] * 3
        assert await member.source.position(place) == 4
        member.source.seek(place, 0)
        assert (await member.read(place, 1))[0].offset == 0, "a seek back reads again"


async def test_a_poll_reads_what_it_was_asked_for_and_no_more(world: World) -> None:
    topic = await world.make_topic(partitions=2)
    one, two = Place(topic, 0), Place(topic, 1)
    for place in (one, two):
        await world.produce(topic, [b"x"] * 5, partition=place.partition)
    async with joined(world, topic) as member:
        for place in (one, two):
            member.source.seek(place, 0)
        assert await member.poll() == {}
        assert [record.offset for record in await member.read(two, 5)] == [0, 1, 2, 3, 4]
        taken = await member.poll(one, max_records=2, seconds=5.0)
        assert [record.offset for record in taken[one]] == [0, 1]
        taken = await member.poll(one, max_records=2, seconds=5.0)
        assert [record.offset for record in taken[one]] == [2, 3], "the next poll goes on"


async def test_records_that_were_fetched_wait_to_be_polled(world: World) -> None:
    """Meanwhile the partition is not fetched, for however long that takes: it is no stall."""
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"x"] * 5)
    async with joined(world, topic) as member:
        assert not member.source.has_fetched(place)
        member.source.seek(place, 0)
        assert len((await member.poll(place, max_records=2, seconds=5.0))[place]) == 2
        assert member.source.has_fetched(place)
        await member.read(place, 3)
        async with asyncio.timeout(WAIT_SECONDS):
            while member.source.has_fetched(place):
                await member.poll(place)


async def test_what_cannot_be_read_is_told_after_everything_before_it_and_passed_by_a_seek(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    for _ in range(3):  # a batch each
        await world.produce(topic, [b"x"] * 2)
    await world.damage(place, range(2, 4))
    async with joined(world, topic) as member:
        member.source.seek(place, 0)
        assert [record.offset for record in await member.read(place, 2)] == [0, 1]
        for _ in range(2):  # it is told until something is done
            with pytest.raises(DamagedError) as damaged:
                await member.read(place, 1)
            assert damaged.value.partitions == {place}
        found = await member.source.salvage(place, 2, max_records=9)
        assert isinstance(found, Salvaged)
        assert found.unreadable
        assert (found.records, found.next_offset) == ((), 4)
        assert found.timestamp > 0
        member.source.seek(place, found.next_offset)
        assert [record.offset for record in await member.read(place, 2)] == [4, 5]


async def test_a_partition_that_is_left_out_is_not_read_until_it_is_sought(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0"])
    async with joined(world, topic) as member:
        assert await member.poll(place) == {}, "one that was never sought is not read either"
        member.source.seek(place, 0)
        member.source.leave_out(place)
        assert await member.poll(place) == {}
        member.source.seek(place, 0)
        assert len(await member.read(place, 1)) == 1


async def test_topics_that_are_missing_are_told_and_keep_no_other_one_from_being_joined(world: World) -> None:
    topic = await world.make_topic()
    member = Member(world.brokers, f"group-{uuid.uuid4().hex}", [topic, f"{topic}.missing"])
    async with asyncio.timeout(WAIT_SECONDS):
        await member.source.join()
    try:
        assert member.assigned == [frozenset({Place(topic, 0)})]
        assert member.source.missing_topics() == [f"{topic}.missing"]
        missing = Place(f"{topic}.missing", 0)
        fault = member.source.fault(missing)
        assert fault is not None
        assert fault.obstacle is Obstacle.TOPIC_MISSING
        assert member.source.fault(Place(topic, 0)) is None
        bounds = await member.source.log_bounds([Place(topic, 0), missing])
        assert bounds[Place(topic, 0)] == (0, 0)
        assert isinstance(bounds[missing], PartitionFault)
    finally:
        await member.source.leave()


async def test_a_poll_returns_as_soon_as_something_arrives(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    async with joined(world, topic) as member:
        member.source.seek(place, 0)
        polling = asyncio.create_task(member.poll(place, seconds=WAIT_SECONDS))
        await world.produce(topic, [b"0"])
        async with asyncio.timeout(WAIT_SECONDS / 2):
            assert [record.value for record in (await polling)[place]] == [b"0"]


async def test_positions_outside_of_the_log_are_gone(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0", b"1", b"2"])
    await world.delete_records(place, before=2)
    async with joined(world, topic) as member:
        assert await member.source.log_bounds([place]) == {place: (2, 3)}
        for outside in (0, 9):
            member.source.seek(place, outside)
            with pytest.raises(PositionsGoneError) as gone:
                await member.read(place, 1)
            assert gone.value.partitions == {place}
        member.source.seek(place, 2)
        assert (await member.read(place, 1))[0].offset == 2


async def ends_of(member: Member, *places: Place) -> Mapping[Place, LogEnds]:
    """What the brokers say, all of it."""
    answer = await member.source.log_ends(places, timeout_seconds=WAIT_SECONDS)
    assert answer.faults == {}
    assert answer.heard_at is not None
    return answer.ends


async def test_the_ends_of_partitions_are_told_whatever_is_read(world: World) -> None:
    topic = await world.make_topic(partitions=2)
    one, two = Place(topic, 0), Place(topic, 1)
    async with joined(world, topic) as member:
        await world.produce(topic, [b"x"] * 3, partition=1)
        assert await ends_of(member, one, two) == {one: LogEnds(0, 0), two: LogEnds(3, 3)}
        answer = await member.source.log_ends([], timeout_seconds=WAIT_SECONDS)
        assert answer.heard_at is not None, "a spare member hears them too"


async def test_a_partition_that_nobody_can_tell_of_leaves_the_others_known(world: World) -> None:
    topic = await world.make_topic()
    place, unknown = Place(topic, 0), Place("no.such.topic", 0)
    async with joined(world, topic) as member:
        answer = await member.source.log_ends([unknown, place], timeout_seconds=WAIT_SECONDS)
        assert (answer.ends, set(answer.faults)) == ({place: LogEnds(0, 0)}, {unknown})
        assert answer.heard_at is not None


@pytest.mark.parametrize("is_committed", [True, False])
async def test_an_open_transaction_lies_between_the_two_ends(world: World, *, is_committed: bool) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0"])
    end_transaction = await world.write_in_transaction(place, [b"1", b"2"])
    async with joined(world, topic) as member:
        assert await ends_of(member, place) == {place: LogEnds(3, 1)}
        assert await member.source.log_bounds([place]) == {place: (0, 3)}, "positions are judged by the high watermark"
        member.source.seek(place, 0)
        assert [record.value for record in await member.read(place, 1)] == [b"0"]
        assert await member.poll(place, seconds=0.5) == {}
        member.source.seek(place, 2)
        assert await member.poll(place, seconds=0.5) == {}, "a position between the two waits"
        member.source.seek(place, 1)
        await end_transaction(is_committed=is_committed)
        async with asyncio.timeout(WAIT_SECONDS):
            while await ends_of(member, place) != {place: LogEnds(4, 4)}:
                pass
        if is_committed:
            assert [record.value for record in await member.read(place, 2)] == [b"1", b"2"]
        async with asyncio.timeout(WAIT_SECONDS):
            while await member.source.position(place) != 4:
                assert await member.poll(place) == {}, "the rest is markers, or was aborted"


async def test_the_time_of_a_record_is_read_beside_what_is_polled(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0", b"1"])
    [_, second] = await world.read_all(topic)
    async with joined(world, topic) as member:
        member.source.seek(place, 0)
        found = await member.source.timestamp_at(place, 1, timeout_seconds=WAIT_SECONDS)
        assert found is not None
        assert second.timestamp - 60_000 <= found <= second.timestamp, "that of its batch"
        assert await member.source.timestamp_at(place, 2, timeout_seconds=WAIT_SECONDS) is None, "there is none"
        assert [record.offset for record in await member.read(place, 2)] == [0, 1], "nothing was moved"


async def test_a_time_is_found_as_the_first_record_at_or_after_it(world: World) -> None:
    topic = await world.make_topic()
    place = Place(topic, 0)
    await world.produce(topic, [b"0", b"1"])
    async with joined(world, topic) as member:
        assert await member.source.offset_at(place, 0) == 0
        assert await member.source.offset_at(place, 32_503_680_000_000) is None


async def test_what_was_committed_is_there_for_the_next_member_with_its_metadata(world: World) -> None:
    topic = await world.make_topic(partitions=2)
    one, two = Place(topic, 0), Place(topic, 1)
    async with joined(world, topic, group := f"group-{uuid.uuid4().hex}") as member:
        assert await member.source.commit({one: (7, "s1:known"), Place("foreign", 0): (1, "")}) is CommitResult.STORED
    async with joined(world, topic, group) as heir:
        stored = await heir.source.stored_positions([one, two])
        assert stored == {one: StoredPosition(7, "s1:known"), two: StoredPosition(None, "")}


async def test_one_member_stores_for_all_where_the_group_begins(world: World) -> None:
    """The broker asks for the generation of whoever stores a position, and not whose partition it is."""
    topic = await world.make_topic(partitions=2)
    places = {Place(topic, 0), Place(topic, 1)}
    group = f"group-{uuid.uuid4().hex}"
    async with joined(world, topic, group) as first, joined(world, topic, group) as second:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(first.assigned) < 2:
                await first.poll()
        assert set(first.source.partitions_of(topic)) == places, "whoever has them"
        assert len(first.assigned[1]) == 1
        assert await first.source.store_begins(dict.fromkeys(places, 4)) is CommitResult.STORED
        for member in (first, second):
            assert await member.source.stored_positions(places) == dict.fromkeys(places, StoredPosition(4, ""))
        assert await first.source.store_begins({}) is CommitResult.STORED


async def test_a_second_member_takes_everything_away_and_gives_half_of_it_back(world: World) -> None:
    """The eager protocol: before the partitions are taken, the first member may still commit."""
    topic = await world.make_topic(partitions=2)
    places = frozenset({Place(topic, 0), Place(topic, 1)})
    group = f"group-{uuid.uuid4().hex}"
    async with joined(world, topic, group) as first:
        committed: list[CommitResult] = []

        async def commit() -> None:
            committed.append(await first.source.commit(dict.fromkeys(places, (3, ""))))

        first.on_revoked = commit
        async with joined(world, topic, group) as second:
            async with asyncio.timeout(WAIT_SECONDS):
                while len(first.assigned) < 2:
                    await first.poll()
            assert first.revoked[-1] == places
            assert committed == [CommitResult.STORED]
            assert len(first.assigned[1]) == len(second.assigned[0]) == 1
            assert first.assigned[1] | second.assigned[0] == places
            stored = await second.source.stored_positions(second.assigned[0])
            assert set(stored.values()) == {StoredPosition(3, "")}
            lost = next(iter(second.assigned[0]))
            first.source.seek(lost, 0)


async def test_the_members_of_a_group_are_known_with_their_partitions(world: World) -> None:
    topic = await world.make_topic(partitions=3)
    group = f"group-{uuid.uuid4().hex}"
    async with joined(world, topic, group) as first:
        [alone] = await first.source.members(timeout_seconds=WAIT_SECONDS)
        assert (alone.client_id, alone.partitions, alone.is_this) == ("streamer", 3, True)
        assert alone.host in {"memory", "127.0.0.1"}
        async with joined(world, topic, group) as second:
            async with asyncio.timeout(WAIT_SECONDS):
                while len(first.assigned) < 2:
                    await first.poll()
            for member in (first, second):
                ours, other = await member.source.members(timeout_seconds=WAIT_SECONDS)
                assert (ours.is_this, other.is_this) == (True, False)
                assert ours.partitions == len(member.assigned[-1])
                assert ours.partitions + other.partitions == 3


async def test_dead_letters_are_written_as_they_were_with_more_headers(world: World) -> None:
    topic, letters = await world.make_topic(), await world.make_topic()
    await world.produce(topic, [b"0", None])
    writer = world.brokers.writer()
    with pytest.raises(UnavailableError):
        await writer.write(letters, (await world.read_all(topic))[0], [], timeout_seconds=5)
    await writer.start()
    try:
        for record in await world.read_all(topic):
            await writer.write(letters, record, [*record.headers, ("why", b"because")], timeout_seconds=WAIT_SECONDS)
    finally:
        await writer.stop()
    written, read = await world.read_all(letters), await world.read_all(topic)
    assert [(r.key, r.value, r.timestamp) for r in written] == [(r.key, r.value, r.timestamp) for r in read]
    assert [list(record.headers) for record in written] == [[("trace", b"1"), ("why", b"because")]] * 2


async def test_a_dead_letter_that_is_too_large_is_told_apart(world: World) -> None:
    topic, letters = await world.make_topic(), await world.make_topic()
    await world.produce(topic, [b"x" * 1_000])
    [record] = await world.read_all(topic)
    writer = world.brokers.writer()
    await writer.start()
    try:
        with pytest.raises(RefusedWriteError) as refused:
            await writer.write(letters, record, [("why", NOISE)], timeout_seconds=WAIT_SECONDS)
        assert refused.value.refusal is Refusal.TOO_LARGE
        await writer.write(letters, record, [("why", b"x")], timeout_seconds=WAIT_SECONDS)
    finally:
        await writer.stop()
    assert len(await world.read_all(letters)) == 1


@contextlib.asynccontextmanager
async def writing(world: World) -> AsyncIterator[ports.LetterWriter]:
    writer = world.brokers.writer()
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def outgoing(topic: str, *, key: bytes | None = b"key", timestamp: int = -1) -> OutgoingRecord:
    return OutgoingRecord(topic=topic, partition=0, key=key, value=b"0", headers=[], timestamp=timestamp)


async def test_a_record_without_a_time_gets_the_present_one(world: World) -> None:
    letters = await world.make_topic()
    before = int(time.time() * 1000)
    async with writing(world) as writer:
        await writer.write(letters, outgoing(letters), [], timeout_seconds=WAIT_SECONDS)
    [written] = await world.read_all(letters)
    assert before <= written.timestamp <= int(time.time() * 1000)


async def test_a_time_that_the_topic_does_not_accept_is_told_apart(world: World) -> None:
    letters = await world.make_topic(config={"message.timestamp.before.max.ms": "3600000"})
    ahead = int(time.time() * 1000) + 2 * 3_600_000
    async with writing(world) as writer:
        for timestamp in (1_000, ahead, 1 << 62):
            with pytest.raises(RefusedWriteError) as refused:
                await writer.write(letters, outgoing(letters, timestamp=timestamp), [], timeout_seconds=WAIT_SECONDS)
            assert refused.value.refusal is Refusal.TIME
        await writer.write(letters, outgoing(letters), [], timeout_seconds=WAIT_SECONDS)
    assert len(await world.read_all(letters)) == 1


async def test_a_compacted_topic_takes_no_record_without_a_key(world: World) -> None:
    letters = await world.make_topic(config={"cleanup.policy": "compact"})
    async with writing(world) as writer:
        with pytest.raises(RefusedWriteError) as refused:
            await writer.write(letters, outgoing(letters, key=None), [], timeout_seconds=WAIT_SECONDS)
        assert refused.value.refusal is Refusal.UNCLEAR
        await writer.write(letters, outgoing(letters), [], timeout_seconds=WAIT_SECONDS)
    assert len(await world.read_all(letters)) == 1


async def test_missing_dead_letter_topics_are_named_and_can_be_made_like_their_topics(world: World) -> None:
    smaller, topic = await world.make_topic(partitions=2), await world.make_topic(partitions=3)
    missing = f"{topic}.dlq"
    await world.brokers.preflight()
    assert await world.brokers.missing_topics([missing, topic]) == [missing]
    created = await world.brokers.create_dead_letter_topic(missing, sources=[topic, smaller])
    assert created is not None
    assert (created.topic, created.partitions) == (missing, 3)
    async with asyncio.timeout(WAIT_SECONDS):
        while await world.brokers.missing_topics([missing, topic]):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)  # the broker learns of it a little after the controller has made it
    async with joined(world, missing) as member:
        assert {place.partition for place in member.assigned[-1]} == {0, 1, 2}
    assert await world.brokers.create_dead_letter_topic(missing, sources=[topic]) is None, "it stays as it is"


async def test_how_long_a_topic_keeps_its_records_is_known(world: World) -> None:
    topic = await world.make_topic()
    assert await world.brokers.retention_seconds([topic]) == {topic: 604_800.0}
