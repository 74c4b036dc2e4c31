"""Receipts shared through a topic in memory: what one instance delivered is known to the others, and nothing waits."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from streamer.core.model import Record
from streamer.core.records.receipt_record import MAX_RECORD_BYTES, ReceiptBatch, decode, decode_gap, encode
from streamer.kafka import TopicPartition
from streamer.receipts import Deliveries, Receipts, digest_of
from streamer.receipts.channel import Channel
from streamer.receipts.follower import SLICE_RECEIPTS
from streamer.receipts.shared import SharedReceipts
from streamer.timings import Timings
from tests.doubles.kafka import MemoryCluster
from tests.doubles.receipt_topic import MemoryFollower, MemoryReceiptTopic

TOPIC: Final = "receipts"
WINDOW: Final = 1_000.0
WAIT_SECONDS: Final = 20.0
HERE: Final = "4fa2"
"""Fingerprint of the destination."""

AT_ONCE: Final = Timings(
    poll=0.01, receipts_confirm=0.05, receipts_write=0.2, receipts_retry=0.001, receipts_ask=0.0, receipts_flush=0.1
)


async def eventually(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not happened():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)


@dataclass
class Instance:
    """One process with one integration."""

    shared: SharedReceipts
    channel: Channel
    receipts: Receipts
    assigned: dict[tuple[str, int], float]

    def deliver(self, *ids: str, partition: int = 0, first: int = 0, replay_id: int = 0, at: float = 0.0) -> None:
        """Do as the delivery of an integration does."""
        now = at or time.time()
        offsets = range(first, first + len(ids))
        deliveries = [Deliveries("surveys", partition, offsets, [digest_of(one) for one in ids], replay_id)]
        self.receipts.add(deliveries, now)
        self.channel.note(deliveries, now, batch_events=len(ids), attempt=1, status=200)

    def knows(self, *ids: str) -> bool:
        return len(self.receipts.find([digest_of(one) for one in ids], time.time())) == len(ids)

    def complete_since(self, partition: int = 0) -> float | None:
        return self.channel.complete_since("surveys", partition, time.time())


class World:
    """A cluster and the instances on it."""

    def __init__(self, directory: Path) -> None:
        self.cluster = MemoryCluster()
        self.cluster.create(TOPIC, 2)
        self.topic = MemoryReceiptTopic(self.cluster, TOPIC)
        self.directory = directory
        self.destination = HERE
        self.timings = AT_ONCE

    @contextlib.asynccontextmanager
    async def instance(self, state: str = "one", *, integration: str = "surveys") -> AsyncIterator[Instance]:
        """Run one; at the end of the block it ends in good order."""
        receipts = Receipts.open(
            self.directory / state / integration,
            window_seconds=WINDOW,
            max_bytes=64 << 20,
            now=time.time(),
            destination=self.destination,
            boot_id="this boot",
        )
        shared = SharedReceipts(self.topic, window_seconds=WINDOW, timings=self.timings)
        assigned: dict[tuple[str, int], float] = {}
        channel = shared.join(
            integration,
            receipts,
            destination_name="production",
            destination=self.destination,
            assigned=lambda: assigned,
        )
        running = asyncio.create_task(shared.run())
        try:
            yield Instance(shared, channel, receipts, assigned)
            await shared.writer.finish()
        finally:
            running.cancel()
            await asyncio.wait({running})
            shared.leave(channel)
            receipts.close()

    def batches(self) -> list[ReceiptBatch]:
        """The receipts in the topic."""
        found = [decode(record.key, record.value) for log in self.cluster.logs.get(TOPIC, ()) for record in log.records]
        return [batch for batch in found if batch is not None]

    def write(self, *batches: ReceiptBatch) -> None:
        """Have another process write receipts."""
        for batch in batches:
            key, value = encode(batch)
            self.cluster.append(TOPIC, [value], key=key, timestamp=int(batch.delivered_at * 1000))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def batch_of(*ids: str, at: float | None = None, destination: str = HERE, first: int = 0) -> ReceiptBatch:
    return ReceiptBatch(
        integration="surveys",
        destination_name="production",
        destination=destination,
        topic="surveys",
        partition=0,
        delivered_at=time.time() if at is None else at,
        instance="another",
        batch_events=len(ids),
        attempt=1,
        status=200,
        replay_id=0,
        offsets=range(first, first + len(ids)),
        digests=[digest_of(one) for one in ids],
    )


async def test_what_one_instance_delivers_is_known_to_another_that_runs(world: World) -> None:
    async with world.instance("one") as one, world.instance("two") as two:
        one.deliver("a", "b", replay_id=7)

        await eventually(lambda: two.knows("a", "b"))

    [batch] = world.batches()
    assert (batch.integration, batch.topic, batch.partition, batch.replay_id) == ("surveys", "surveys", 0, 7)
    assert (batch.batch_events, batch.attempt, batch.status, batch.destination) == (2, 1, 200, HERE)


async def test_the_place_and_the_replay_of_what_another_delivered_are_kept(world: World) -> None:
    """A record that is wanted again is not stopped by its own receipt of an earlier replay: both have to be known."""
    async with world.instance("one") as one, world.instance("two") as two:
        one.deliver("a", partition=3, first=41, replay_id=9)
        await eventually(lambda: two.knows("a"))

        [place] = two.receipts.find([digest_of("a")], time.time()).values()
        assert place == ("surveys", 3, 41, 9)


async def test_an_instance_that_lost_its_disk_restores_its_own_receipts_too(world: World) -> None:
    async with world.instance("one") as one:
        one.deliver("a")

    async with world.instance("another disk") as again:
        await eventually(lambda: again.knows("a"))


async def test_own_receipts_are_not_stored_twice(world: World) -> None:
    async with world.instance("one") as one, world.instance("two") as two:
        one.deliver("a")
        two.deliver("b")
        await eventually(lambda: one.knows("b") and two.knows("a"))
        await eventually(lambda: one.shared.follower.behind == 0)

        assert (one.receipts.entries(), one.channel.restored_total) == (2, 1)


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    """What was read before is not read again, and what came meanwhile is not missed."""
    async with world.instance("one") as one:
        world.write(batch_of("a"))
        await eventually(lambda: one.knows("a"))
    world.write(batch_of("b"))

    async with world.instance("one") as again:
        await eventually(lambda: again.knows("a", "b"))
        assert again.channel.restored_total == 1


async def test_receipts_of_another_destination_or_before_the_window_prove_nothing(world: World) -> None:
    world.write(
        batch_of("elsewhere", destination="another"),
        batch_of("long ago", at=time.time() - WINDOW - 10),
        batch_of("here"),
    )

    async with world.instance() as one:
        await eventually(lambda: one.knows("here"))
        assert (one.channel.restored_total, one.receipts.entries()) == (1, 1)


async def test_a_new_write_key_begins_anew_with_the_receipts_of_that_destination(world: World) -> None:
    """All instances change to it, one after the other: what was delivered with it by then counts."""
    async with world.instance() as one:
        world.write(batch_of("old"), batch_of("new", destination="new key"))
        await eventually(lambda: one.knows("old"))

        one.receipts.serve("new key", time.time())
        one.channel.serve("segment", "new key")

        await eventually(lambda: one.knows("new"))
        assert not one.knows("old")


async def test_what_is_not_ours_in_the_topic_is_passed(world: World) -> None:
    """Anybody may write anything to the topic; records without a key too."""
    key, value = encode(batch_of("damaged"))
    world.cluster.append(TOPIC, [b"junk", None, value[:-1]], key=key)
    world.cluster.append(TOPIC, [value], key=None)
    world.write(replace(batch_of("of another integration"), integration="surveys2"), batch_of("fine"))

    async with world.instance() as one:
        await eventually(lambda: one.knows("fine"))
        assert one.channel.restored_total == 1
        assert not one.shared.state.fault


async def test_markers_of_transactions_at_the_end_of_the_topic_hold_nothing_up(world: World) -> None:
    """Somebody may write in transactions; their markers are no records."""
    world.write(batch_of("a"))
    world.cluster.leave_a_hole(TopicPartition(TOPIC, 0), 2)

    async with world.instance() as one:
        one.assigned["surveys", 0] = time.time()
        await eventually(lambda: one.complete_since() is not None)


async def test_what_is_written_while_it_is_asked_where_to_begin_is_not_missed(world: World) -> None:
    class Busy(MemoryFollower):
        async def found_at(self, epoch_ms: int) -> Mapping[int, tuple[int, int] | None]:
            found = await super().found_at(epoch_ms)
            if epoch_ms:
                world.write(batch_of("a"))
            return found

    @contextlib.asynccontextmanager
    async def follower() -> AsyncIterator[Busy]:
        yield Busy(world.cluster, TOPIC)

    world.topic.follower = follower  # type: ignore[method-assign]
    async with world.instance() as one:
        await eventually(lambda: one.shared.follower.behind == 0)
        assert one.knows("a")


async def test_a_reader_whose_client_has_died_unnoticed_connects_anew(world: World) -> None:
    """The topic has more, and nothing arrives."""
    world.timings = dataclasses.replace(AT_ONCE, receipts_stalled=0.02)
    opened = 0

    class Dead(MemoryFollower):
        async def poll(self, *, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
            await asyncio.sleep(0.001)
            return {} if opened == 1 else await super().poll(max_records=max_records, timeout_seconds=timeout_seconds)

    @contextlib.asynccontextmanager
    async def follower() -> AsyncIterator[Dead]:
        nonlocal opened
        opened += 1
        yield Dead(world.cluster, TOPIC)

    world.topic.follower = follower  # type: ignore[method-assign]
    world.write(batch_of("a"))
    async with world.instance() as one:
        await eventually(lambda: one.knows("a"))
    assert opened == 2


async def test_two_integrations_share_one_topic(world: World) -> None:
    async with world.instance("one") as one, world.instance("two", integration="other") as other:
        one.deliver("a")
        other.deliver("b")
        await eventually(lambda: one.shared.follower.behind == 0 and other.shared.follower.behind == 0)
        await eventually(lambda: len(world.batches()) == 2)

        assert not one.knows("b")
        assert not other.knows("a")


async def test_a_partition_is_complete_once_the_topic_was_read_up_to_its_assignment(world: World) -> None:
    """Also what was written before this instance had ever run, and back to the beginning of the window."""
    world.write(batch_of("long ago", at=time.time() - 2 * WINDOW), batch_of("a", at=time.time() - WINDOW / 2))

    async with world.instance() as one:
        assert one.complete_since() is None
        one.assigned["surveys", 0] = time.time()
        await eventually(lambda: one.complete_since() is not None)
        assert one.knows("a")
        since = one.complete_since()
        assert since == pytest.approx(time.time() - WINDOW, abs=60)

        del one.assigned["surveys", 0]
        await eventually(lambda: one.complete_since() is None)


async def test_a_topic_says_nothing_of_the_time_before_its_first_record(world: World) -> None:
    began = time.time() - WINDOW / 4
    world.write(batch_of("first", at=began))

    async with world.instance() as one:
        one.assigned["surveys", 0] = time.time()
        await eventually(lambda: one.complete_since() is not None)
        assert one.complete_since() == pytest.approx(began, abs=0.01)


async def test_a_topic_that_is_away_stops_nothing(world: World) -> None:
    """Commits do not wait for it for long, receipts wait, and arrive when it is back."""
    async with world.instance("one") as one, world.instance("two") as two:
        await eventually(lambda: one.shared.follower.behind == 0)
        world.cluster.is_away = True
        one.deliver("a")
        await eventually(lambda: one.shared.state.fault)
        async with asyncio.timeout(WAIT_SECONDS):
            await one.shared.writer.confirm()
        assert not two.knows("a")

        world.cluster.is_away = False

        await eventually(lambda: two.knows("a"))
        await eventually(lambda: not one.shared.state.fault)
        assert one.shared.writer.unshared.given_up.total() == 0


async def test_a_commit_waits_for_the_receipts_of_what_it_commits(world: World) -> None:
    async with world.instance() as one:
        await eventually(lambda: one.shared.follower.behind == 0)
        one.deliver("a")
        await one.shared.writer.confirm()

        assert [batch.digests for batch in world.batches()] == [(digest_of("a"),)]


async def test_a_commit_waits_for_slow_brokers_once_and_a_moment(world: World) -> None:
    async with world.instance() as one:
        await eventually(lambda: one.shared.follower.behind == 0)
        world.cluster.is_frozen = True
        for number in range(3):
            one.deliver(f"a{number}")
            async with asyncio.timeout(WAIT_SECONDS):
                await one.shared.writer.confirm()
        assert one.shared.writer.late_commits == 3 or one.shared.state.fault
        world.cluster.is_frozen = False


async def test_too_many_receipts_that_wait_are_given_up_counted_and_known_to_be_missing(world: World) -> None:
    """The instance that reads them later does not claim to be complete for that time."""
    async with world.instance("one") as one:
        await eventually(lambda: one.shared.follower.behind == 0)
        one.shared.writer.unshared._max_receipts = 2
        world.cluster.is_away = True
        began = time.time() - 100
        for number in range(4):
            one.deliver(f"evt{number}", first=number, at=began + number)
        await eventually(lambda: one.shared.state.fault)
        assert one.shared.writer.unshared.given_up == {"surveys": 2}
        world.cluster.is_away = False
        await eventually(lambda: not one.shared.writer.unshared.gaps)

    gaps = [decode_gap(record.key, record.value) for log in world.cluster.logs[TOPIC] for record in log.records]
    [gap] = [gap for gap in gaps if gap is not None]
    assert (gap.since, gap.until, gap.receipts) == (began, began + 1, 2)
    async with world.instance("two") as two:
        two.assigned["surveys", 0] = time.time()
        await eventually(lambda: two.knows("evt2", "evt3"))
        await eventually(lambda: two.complete_since() is not None)
        assert not two.knows("evt0")
        assert two.complete_since() == pytest.approx(began + 2, abs=1.5)


async def test_a_missing_topic_is_waited_for(world: World) -> None:
    """Whoever creates it: somebody, or streamer where it may."""
    world.cluster.delete(TOPIC)
    async with world.instance() as one:
        await eventually(lambda: one.shared.state.fault)
        one.deliver("a")
        assert "does not exist" in one.shared.state.fault

        world.topic.created_with = 3

        await eventually(lambda: len(world.batches()) == 1)


async def test_a_topic_that_grows_is_read_whole(world: World) -> None:
    async with world.instance() as one:
        await eventually(lambda: one.shared.follower.behind == 0)
        world.cluster.logs[TOPIC].append(type(world.cluster.logs[TOPIC][0])())
        key, value = encode(batch_of("a"))
        world.cluster.append(TOPIC, [value], key=key, partition=2, timestamp=int(time.time() * 1000))

        await eventually(lambda: one.knows("a"))


async def test_receipts_too_large_for_the_topic_are_given_up_alone(world: World) -> None:
    world.cluster.max_record_bytes[TOPIC] = 300
    async with world.instance() as one:
        one.deliver(*[f"evt{number}" for number in range(20)])
        one.deliver("small", first=20)

        await eventually(lambda: len(world.batches()) == 1)
        await eventually(lambda: one.shared.writer.unshared.given_up == {"surveys": 20})
    assert MAX_RECORD_BYTES < 1_000_000, "a topic with the brokers' own limit takes all"


async def test_the_loop_has_its_turn_while_much_is_restored(world: World) -> None:
    """Events flow meanwhile: of many slices none is long, however large the backlog is."""
    ids = [f"evt{number}" for number in range(8 * SLICE_RECEIPTS)]
    size = SLICE_RECEIPTS // 4
    for first in range(0, len(ids), size):
        world.write(batch_of(*ids[first : first + size], first=first))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    async with world.instance() as one:
        await eventually(lambda: one.channel.restored_total == len(ids))
        assert one.knows(ids[0], ids[-1])
    counting.cancel()
    assert turns > len(ids) // SLICE_RECEIPTS
