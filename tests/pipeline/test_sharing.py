"""A partition moves to another instance, and what its former owner delivered is not sent again, committed or not."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from streamer.core.delivery.answers import Answer
from streamer.core.records.custody import Custody
from streamer.kafka import CommitResult, StoredPosition, TopicPartition
from streamer.pipeline import Pipeline
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.delivery import Delivery
from streamer.receipts import Receipts
from streamer.receipts.channel import Channel
from streamer.receipts.shared import SharedReceipts
from tests.doubles.destination import ACCEPTED
from tests.doubles.receipt_topic import MemoryReceiptTopic
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, TOPIC, eventually
from tests.service.harness import survey_events

EVENTS = 30
WINDOW_SECONDS = 86_400.0
RECEIPTS = "receipts"


class Sharing(Delivering):
    """Instances that deliver to one receiver, each with receipts of its own, and know each other's."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.receipts.close()
        self.cluster.create(RECEIPTS)

    @contextlib.asynccontextmanager
    async def instance(self, name: str) -> AsyncIterator[tuple[Pipeline, Channel]]:
        """Run one."""
        receipts = Receipts.open(
            self.directory / name / "receipts", window_seconds=WINDOW_SECONDS, max_bytes=64 << 20, now=time.time()
        )
        shared = SharedReceipts(
            MemoryReceiptTopic(self.cluster, RECEIPTS), window_seconds=WINDOW_SECONDS, timings=self.timings
        )
        pipelines = len(self.pipelines)
        channel = shared.join(
            "surveys",
            receipts,
            destination_name="segment",
            destination="4fa2",
            assigned=lambda: self.pipelines[pipelines].assignment.assigned_since,
        )

        def make_worker(custody: Custody, dead_letters: DeadLetters) -> Delivery:
            self.receipts, self.channel = receipts, channel
            return self.deliver(custody, dead_letters)

        self.before_commit = shared.writer.confirm
        async with self.running(make_worker, instance=name) as pipeline:
            sharing = asyncio.create_task(shared.run())
            try:
                yield pipeline, channel
            finally:
                await shared.writer.finish()
                sharing.cancel()
        receipts.close()


async def test_what_a_former_owner_delivered_is_not_sent_again(tmp_path: Path) -> None:
    """It was delivered and not committed: the brokers took no commit for the whole time."""
    engine = Sharing(tmp_path)
    async with engine.instance("one") as (one, _), engine.instance("two") as (two, channel):
        await eventually(lambda: one.assignment.is_restored and two.assignment.is_restored)
        await eventually(lambda: not one.assignment.commits.unstored and not two.assignment.commits.unstored)
        engine.cluster.commit_results = deque([CommitResult.FAILED] * 1_000_000)
        [mine] = {place.partition for place in one.assignment.ledgers}
        engine.cluster.append(TOPIC, survey_events(EVENTS), partition=mine)
        await eventually(lambda: channel.restored_total == EVENTS)
        assert len(engine.receiver.taken) == EVENTS

        await one.source.leave()

        await eventually(lambda: mine in {place.partition for place in two.assignment.ledgers})
        await eventually(lambda: channel.complete_since(TOPIC, mine, time.time()) is not None)
        engine.cluster.commit_results.clear()
        await eventually(lambda: engine.committed(mine) == EVENTS)
    assert len(engine.receiver.taken) == EVENTS


async def test_records_that_an_operator_wants_again_are_sent_again_once(tmp_path: Path) -> None:
    """Receipts of before the reset do not stop them, wherever they come from. Those of since then do, elsewhere too."""
    engine = Sharing(tmp_path)
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    async with engine.instance("before"):
        await eventually(lambda: engine.committed() == EVENTS)
    engine.cluster.group(GROUP).stored[TopicPartition(TOPIC, 0)] = StoredPosition(0, "")
    named = asyncio.Event()

    async def accept_once_named() -> Answer:
        await named.wait()
        return ACCEPTED

    engine.receiver.decide = lambda _: accept_once_named()
    async with engine.instance("one") as (one, first), engine.instance("two") as (two, second):
        await eventually(lambda: one.assignment.is_restored and two.assignment.is_restored)
        await eventually(lambda: not one.assignment.commits.unstored and not two.assignment.commits.unstored)
        engine.cluster.commit_results = deque([CommitResult.FAILED] * 1_000_000)
        await eventually(lambda: EVENTS in (first.restored_total, second.restored_total))
        named.set()
        await eventually(lambda: len(engine.receiver.taken) == 2 * EVENTS)
        await eventually(lambda: 2 * EVENTS in (first.restored_total, second.restored_total))
        has_it, other = (one, two) if TopicPartition(TOPIC, 0) in one.assignment.ledgers else (two, one)

        await has_it.source.leave()

        await eventually(lambda: TopicPartition(TOPIC, 0) in other.assignment.ledgers)
        engine.cluster.commit_results.clear()
        await eventually(lambda: engine.committed() == EVENTS)
    assert len(engine.receiver.taken) == 2 * EVENTS
