"""How a reader keeps up with its assignment: what it may read changes at any moment, and above all while it waits."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import cast

import pytest

from streamer.core.model import Record
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import CommitResult, PositionsGoneError, Source, StoredPosition, TopicPartition
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.contact import Contact
from streamer.pipeline.reader import Reader
from streamer.timings import Timings
from tests.pipeline.engine import eventually

ONE, TWO = (TopicPartition("surveys", number) for number in range(2))
FIRST, END = 5, 100
PROMPT_SECONDS = 0.5
TIMINGS = Timings(poll=0.02, gone_retry=0.0, look_every=0.005, left_out=0.005)
NOT_AUTHORISED = PartitionFault(Obstacle.NOT_AUTHORISED, "TopicAuthorizationFailedError")


class Topics:
    """A source of partitions in which there is nothing to read; nothing is stored for any but the first."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}
        self.gone: set[TopicPartition] = set()
        """Positions in these are said to be gone, once."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.questions = 0
        self.forbidden: set[TopicPartition] = set()
        """Partitions whose committed positions may not be asked."""
        self.is_assigned = asyncio.Event()

    async def stored_positions(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, StoredPosition | PartitionFault]:
        return {
            place: NOT_AUTHORISED if place in self.forbidden else StoredPosition(20 if place == ONE else None, "")
            for place in partitions
        }

    async def log_bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        self.questions += 1
        await self.may_answer.wait()
        return dict.fromkeys(partitions, (FIRST, END))

    async def poll(
        self, partitions: Collection[TopicPartition], *, max_records: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        assert max_records
        await self.is_assigned.wait()  # the client lets nobody read during a rebalance, and then takes its full time
        if gone := self.gone & set(partitions):
            self.gone.clear()
            raise PositionsGoneError(gone)
        await asyncio.sleep(timeout_seconds)
        return {}

    async def position(self, _partition: TopicPartition) -> int | None:
        return None

    async def commit(self, _positions: Mapping[TopicPartition, tuple[int, str]]) -> CommitResult:
        return CommitResult.STORED

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    def leave_out(self, partition: TopicPartition) -> None:
        self.sought.pop(partition, None)

    def fault(self, _partition: TopicPartition) -> None:
        return None

    def fetched_at(self, _partition: TopicPartition) -> None:
        return None


class Reading:
    """A reader at work, and what it works with."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.source = cast("Source", self.topics)
        self.room = asyncio.Event()
        self.custody = Custody(max_records=10, max_bytes=1_000, on_room=self.room.set)
        self.busy = PartitionLedger("surveys", 9, 0, Account())
        """An assignment whose records fill the memory."""
        accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.assignment = Assignment(
            "surveys",
            start="earliest",
            account_of=lambda *place: accounts[place],
            fence=self.custody.fence,
            contact=Contact("surveys", TIMINGS),
            timings=TIMINGS,
        )
        self.restored = asyncio.Event()
        self.reader = Reader(
            "surveys",
            source=self.source,
            assignment=self.assignment,
            prepare=lambda: None,
            take=lambda _records, _ledger: None,
            set_aside=lambda *_: None,
            load=self.custody.load,
            room=self.room,
            timings=TIMINGS,
            on_restored=self.restored.set,
        )

    def suspend(self) -> None:
        """Begin a rebalance."""
        self.topics.is_assigned.clear()
        self.assignment.suspend()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:  # a reader that fails ends the test
            task = tasks.create_task(self.reader.run())
            yield
            task.cancel()

    async def turned(self) -> None:
        """Let the reader come round, so that it has noticed what has changed, and waits."""
        turned_at = self.reader.turned_at
        await eventually(lambda: self.reader.turned_at > turned_at)
        await asyncio.sleep(0)

    async def give(self, *partitions: TopicPartition) -> float:
        """Assign partitions; returns after how many seconds it was known where to begin."""
        self.restored.clear()
        self.topics.is_assigned.set()
        self.assignment.give(frozenset(partitions))
        began = time.monotonic()
        async with asyncio.timeout(10):
            await self.restored.wait()
        seconds = time.monotonic() - began
        await self.assignment.commit(self.source)
        await self.turned()
        return seconds


@pytest.fixture
async def at_work() -> AsyncIterator[Reading]:
    work = Reading()
    async with work.running():
        await asyncio.sleep(0)
        yield work


async def test_reading_goes_on_as_soon_as_partitions_are_given(at_work: Reading) -> None:
    assert await at_work.give(ONE, TWO) < PROMPT_SECONDS
    at_work.suspend()
    await at_work.turned()
    assert await at_work.give(ONE) < PROMPT_SECONDS


async def test_a_position_that_may_not_be_asked_keeps_no_other_partition_waiting(at_work: Reading) -> None:
    """Another member, which has the right, may assign it to us."""
    at_work.topics.forbidden = {TWO}
    assert await at_work.give(ONE, TWO) < PROMPT_SECONDS
    assert at_work.topics.sought == {ONE: 20}
    assert at_work.assignment.left_out.fault(TWO) == NOT_AUTHORISED
    at_work.topics.forbidden.clear()
    await eventually(lambda: at_work.topics.sought == {ONE: 20, TWO: FIRST})
    assert not at_work.assignment.left_out


async def test_a_rebalance_is_not_kept_waiting_for_room(at_work: Reading) -> None:
    """Nothing is settled until it is known what came back, so no room would appear."""
    await at_work.give(ONE, TWO)
    at_work.custody.load.add(at_work.busy, 10, 0)
    await at_work.turned()
    at_work.suspend()
    assert await at_work.give(ONE, TWO) < PROMPT_SECONDS


async def test_reading_goes_on_as_soon_as_there_is_room(at_work: Reading) -> None:
    await at_work.give(ONE)
    at_work.custody.load.add(at_work.busy, 10, 0)
    await at_work.turned()
    assert at_work.reader.reads_since is not None, "it still waits, and has not gone idle"
    at_work.custody.load.remove(at_work.busy, 10, 0)
    turned_at = at_work.reader.turned_at
    await eventually(lambda: at_work.reader.turned_at > turned_at)


async def test_a_partition_that_is_taken_while_the_brokers_are_asked_about_it_is_left_alone(
    at_work: Reading,
) -> None:
    """Its topic was deleted: that is no rebalance, and ends the assignment of this one alone."""
    await at_work.give(ONE, TWO)
    topics, asked = at_work.topics, at_work.topics.questions
    topics.may_answer.clear()
    topics.gone = {ONE, TWO}
    await eventually(lambda: topics.questions > asked)
    at_work.assignment.fence([ONE])
    topics.sought.clear()
    topics.may_answer.set()
    await eventually(lambda: topics.sought)
    assert topics.sought.keys() == {TWO}


async def test_a_topic_that_was_recreated_and_is_taken_away_again_is_left_alone() -> None:
    """Another record stands where it was to be read; while the brokers are asked for its start, it goes."""
    work = Reading()
    work.assignment.give(frozenset({ONE}))
    assert await work.assignment.restore(work.source)
    work.topics.may_answer.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work.reader._begin_anew(ONE))
        await asyncio.sleep(0)
        work.assignment.fence([ONE])
        work.topics.may_answer.set()
    assert work.assignment.ledgers == {}
