"""A commit gives other instances time to learn of what it commits, and then stores what is still true."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

import pytest

from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.kafka import CommitResult, StoredPosition, TopicPartition
from streamer.pipeline.commits import Commits
from streamer.pipeline.contact import Contact
from streamer.pipeline.ports import RecordSource
from tests.doubles.kafka import MemoryRecord
from tests.pipeline.engine import AT_ONCE

PLACE: Final = TopicPartition("surveys", 0)


class Stored:
    """Takes every commit."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> CommitResult:
        self.positions += [position for position, _ in positions.values()]
        return CommitResult.STORED


class World:
    """One partition with its ledger."""

    def __init__(self) -> None:
        self.stored = Stored()
        self.commits = Commits("surveys", Contact("surveys", AT_ONCE))
        self.ledgers: dict[TopicPartition, PartitionLedger] = {}
        self.begin()
        self.known = asyncio.Event()
        """Set once others know all."""
        self.waiting = 0
        self.commits.before_commit = self._wait

    async def _wait(self) -> None:
        self.waiting += 1
        await self.known.wait()

    def begin(self) -> None:
        """An assignment begins."""
        self.ledgers[PLACE] = PartitionLedger(PLACE.topic, PLACE.partition, 0, Account())
        self.commits.begin(PLACE, StoredPosition(0, ""), is_known=True)

    def settle(self, offset: int) -> None:
        ledger = self.ledgers[PLACE]
        ledger.open([MemoryRecord(PLACE.topic, PLACE.partition, offset, 1, b"", b"", ())], 0)
        ledger.deliver([offset])

    def commit(self) -> "asyncio.Task[CommitResult]":
        return asyncio.create_task(self.commits.store(cast("RecordSource", self.stored), self.ledgers))


@pytest.fixture
async def world() -> World:
    return World()


async def test_what_is_settled_while_it_waits_is_for_the_next_one(world: World) -> None:
    """Its receipts may not be known yet."""
    world.settle(0)
    committing = world.commit()
    await asyncio.sleep(0)
    world.settle(1)
    assert world.stored.positions == []

    world.known.set()
    assert await committing is CommitResult.STORED
    assert world.stored.positions == [1]

    await world.commit()
    assert world.stored.positions == [1, 2]


async def test_one_that_is_overtaken_stores_nothing(world: World) -> None:
    """The last commit before partitions are taken must not be followed by an older one."""
    world.settle(0)
    first = world.commit()
    await asyncio.sleep(0)
    world.settle(1)
    second = world.commit()
    await asyncio.sleep(0)
    world.known.set()
    await asyncio.gather(first, second)

    assert world.stored.positions == [2]


async def test_an_assignment_that_ends_meanwhile_is_left_out(world: World) -> None:
    world.settle(0)
    committing = world.commit()
    await asyncio.sleep(0)
    world.commits.end(PLACE)
    world.begin()
    world.known.set()
    await committing

    assert world.stored.positions == []


async def test_nothing_to_commit_waits_for_nothing(world: World) -> None:
    world.settle(0)
    world.known.set()
    await world.commit()
    await world.commit()

    assert world.waiting == 1
