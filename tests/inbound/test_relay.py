"""The relay: in order, at least once, by one at a time, past what the brokers refuse. All of it is in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import Outgoing
from streamer.inbound.availability import Availability
from streamer.inbound.relay import MAX_RECORDS, MAX_UNCLEAR_REFUSALS, Relay
from tests.doubles.directory import MemoryDirectory, Stored
from tests.doubles.producer import MemoryTopics
from tests.pipeline.engine import AT_ONCE, eventually

TIMINGS = replace(AT_ONCE, relay_poll=0.001, relay_retry=0.001)
AWAY = UnavailableError("no broker answers")


def store(directory: MemoryDirectory, *keys: str) -> None:
    """Add records to the outbox."""
    first = directory.outbox[-1].number + 1 if directory.outbox else 1
    directory.outbox += [
        Stored(number, Outgoing("surveys.profiles", key, b"{}", ())) for number, key in enumerate(keys, first)
    ]


def names(count: int, prefix: str = "u") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


class World:
    """A directory, topics, and relays between them."""

    def __init__(self) -> None:
        self.directory = MemoryDirectory()
        self.topics = MemoryTopics()

    def relay(self, availability: Availability | None = None) -> Relay:
        return Relay(
            self.directory,
            new_producer=self.topics.producer,
            availability=availability or Availability(),
            timings=TIMINGS,
        )

    @contextlib.asynccontextmanager
    async def running(self, availability: Availability | None = None) -> AsyncIterator[Relay]:
        relay = self.relay(availability)
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def is_empty(self) -> None:
        await eventually(lambda: not self.directory.outbox)


@pytest.fixture
def world() -> World:
    return World()


async def test_records_go_out_in_order_and_once_where_nothing_fails(world: World) -> None:
    store(world.directory, *names(2 * MAX_RECORDS + 7))
    async with world.running() as relay:
        await world.is_empty()
        store(world.directory, "later")
        relay.wake()
        await world.is_empty()
        assert relay.published == 2 * MAX_RECORDS + 8
    assert world.topics.keys() == [*names(2 * MAX_RECORDS + 7), "later"]
    assert world.directory.relay is None, "the lock was given back"


async def test_nothing_is_lost_or_out_of_order_while_brokers_or_database_are_away(world: World) -> None:
    world.topics.fault = AWAY
    store(world.directory, *names(5))
    async with world.running() as relay:
        await eventually(lambda: relay.fault == str(AWAY))
        world.topics.fault = None
        world.topics.loses_answers = 2
        await world.is_empty()
        world.directory.fault = UnavailableError("the directory cannot be used")
        await eventually(lambda: relay.fault == "the directory cannot be used")
        store(world.directory, "later")
        world.directory.fault = None
        await world.is_empty()
    assert world.topics.keys() == [*names(5), *names(5), *names(5), "later"], "again, but in order"
    assert world.topics.stopped >= 3, "each failed producer was replaced"


async def test_a_database_that_can_only_be_read_is_not_up_in_between(world: World) -> None:
    """Found by a locked SQLite file: each new attempt of the relay reads first, and that works."""
    availability = Availability()
    world.directory.refuses_deletions = UnavailableError("the file is locked")
    store(world.directory, *names(3))
    with capture_logs() as lines:
        async with world.running(availability):
            await eventually(lambda: len(world.topics.keys()) >= 5 * 3)
            assert not availability.is_up
            assert [line["event"] for line in lines] == ["directory.unavailable"]
            world.directory.refuses_deletions = None
            await world.is_empty()
            await eventually(lambda: availability.is_up)
    assert [line["event"] for line in lines] == ["directory.unavailable", "directory.recovered"]


@pytest.mark.parametrize("guilty", [0, 3, 42, 99])
async def test_a_record_that_is_too_large_does_not_stop_the_others(world: World, guilty: int) -> None:
    world.topics.refuse = lambda record: Refusal.TOO_LARGE if record.key == f"u{guilty}" else None
    store(world.directory, *names(100))
    with capture_logs() as lines:
        async with world.running() as relay:
            await world.is_empty()
            assert relay.skipped == 1
    assert world.topics.keys() == [name for name in names(100) if name != f"u{guilty}"]
    assert [line["event"] for line in lines] == ["outbox.skipped"]
    assert f"u{guilty}" not in str(lines)


async def test_an_unclear_refusal_is_tried_again_before_the_record_is_left_out(world: World) -> None:
    refused = 0

    def refuse(record: Outgoing) -> Refusal | None:
        nonlocal refused
        refused += record.key == "u0"
        return Refusal.UNCLEAR if record.key == "u0" else None

    world.topics.refuse = refuse
    store(world.directory, *names(2))
    async with world.running():
        await world.is_empty()
    assert world.topics.keys() == ["u1"]
    assert refused > MAX_UNCLEAR_REFUSALS


async def test_one_relay_publishes_and_another_takes_over(world: World) -> None:
    async with world.running() as first:
        await eventually(lambda: first.has_lock)
        async with world.running() as second:
            store(world.directory, *names(3))
            await world.is_empty()
            assert (first.published, second.published, second.has_lock) == (3, 0, False)
            other = world.directory.relay = world.directory.relay_lock()
            await eventually(lambda: not first.has_lock)
            await other.drop()
            await eventually(lambda: first.has_lock or second.has_lock)
            store(world.directory, *names(3, "v"))
            await world.is_empty()
    assert world.topics.keys() == [*names(3), *names(3, "v")]


@pytest.mark.parametrize("step", ["start", "publish"])
async def test_a_relay_that_was_frozen_and_lost_its_lock_publishes_nothing_old(world: World, step: str) -> None:
    """It was frozen while its producer started, or with the records in hand. It wakes when newer ones are out."""
    producer, is_frozen, thawed = world.topics.producer(), asyncio.Event(), asyncio.Event()
    old = Relay(world.directory, new_producer=lambda: producer, availability=Availability(), timings=TIMINGS)
    go_on = getattr(producer, step)

    async def freeze(*arguments: object) -> None:
        is_frozen.set()
        await thawed.wait()
        await go_on(*arguments)

    setattr(producer, step, freeze)
    store(world.directory, *names(3))
    sleeping = asyncio.create_task(old.run())
    await is_frozen.wait()
    world.directory.relay = None  # the database ended its connection
    async with world.running() as new:
        await world.is_empty()
        store(world.directory, *names(2, "new"))
        await world.is_empty()
        thawed.set()
        await eventually(lambda: not old.has_lock)
        assert new.published == 5
    sleeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sleeping
    assert world.topics.keys() == [*names(3), *names(2, "new")]


@pytest.mark.parametrize("moment", range(25))
async def test_a_relay_that_is_cancelled_at_any_moment_loses_nothing(world: World, moment: int) -> None:
    store(world.directory, *names(20))
    async with world.running():
        for _ in range(moment):
            await asyncio.sleep(0)
    async with world.running():
        await world.is_empty()
    published = world.topics.keys()
    assert published in (names(20), [*names(20), *names(20)])
