"""A pipeline on Kafka in memory, for tests that take milliseconds."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from streamer.core.delivery.limiting import Limit
from streamer.core.model import DeadLetterReason, Record, Stage
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.subscription import subscription_of
from streamer.pipeline.worker import MakeWorker, Prepare
from streamer.settings import Settings
from streamer.status.recent_letters import RecentLetters
from streamer.timings import Timings
from tests.doubles.kafka import MemoryBrokers, MemoryCluster

TOPIC: Final = "surveys"
LETTERS: Final = f"{TOPIC}.dlq"
GROUP: Final = "streamer.surveys"
WAIT_SECONDS: Final = 20.0
"""Longest wait for anything; a test that works waits for milliseconds."""

AT_ONCE: Final = Timings(
    commit_every=0.001,
    confirm_end=0.0,
    connect_retry=0.001,
    poll=0.005,
    idle=0.005,
    idle_after=0.005,
    gone_retry=0.0,
    look_every=0.001,
    left_out=0.001,
    left_out_max=0.005,
    failed_poll=0.0,
    letter_backoff=0.001,
    flush=0.05,
    drain=0.05,
    revoke_drain=0.05,
    ask_every=0.005,
    ask_timeout=0.05,
    members_every=0.005,
    say_silent_after=0.0,
    say_silent_every=0.0,
    watch_every=0.001,
    count_every=0.0,
    receipts_ask=0.0,
    receipts_retry=0.001,
)
"""Waits that production needs and tests would only wait for. The watchdog always looks for records without a holder."""


async def eventually(happened: Callable[[], object]) -> None:
    """Let everything else have its turn until a condition holds that nothing announces."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


class HandWorker:
    """A worker that does what a test tells it to: a `streamer.pipeline.worker.Worker`."""

    def __init__(self, custody: Custody, dead_letters: DeadLetters) -> None:
        self.custody = custody
        self.dead_letters = dead_letters
        self.open: list[OpenRecord] = []
        """What was taken and has not ended, in the order of arrival."""
        self.under_way = 0
        self.moved_at = 0.0
        self.parked_bytes = 0
        self.prepare: Prepare | None = None
        self.overdue = False
        self.is_quiet = False
        self.leaks = False
        """Whether records that were taken are lost sight of."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def parked_in(self, _partition: Place) -> int:
        return 0

    def records_held(self) -> int:
        held = [*self.open, *self.custody.attached()]
        return sum(not call.ledger.is_fenced for call in held)

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        opened = self.custody.open(records, ledger)
        calls = [OpenRecord(r, ledger, f"{r.topic}-{r.partition}-{r.offset}", b"") for r in opened]
        taken = self.custody.take(calls, [], ledger)
        self.open += [] if self.leaks else taken

    def deliver(self, *offsets: int, partition: int = 0) -> None:
        """End records as delivered; without offsets all of them."""
        chosen = [
            call
            for call in self.open
            if not offsets or (call.record.partition == partition and call.record.offset in offsets)
        ]
        by_ledger: defaultdict[PartitionLedger, list[OpenRecord]] = defaultdict(list)
        for call in chosen:
            by_ledger[call.ledger].append(call)
        self.custody.deliver(by_ledger)
        self.open = [call for call in self.open if call not in chosen]

    def reject(self, offset: int, *, reason: DeadLetterReason = DeadLetterReason.REJECTED_400) -> None:
        """Set a record aside."""
        [call] = [call for call in self.open if call.record.offset == offset]
        self.open.remove(call)
        letter = PendingLetter(
            record=call.record,
            ledger=call.ledger,
            reason=reason,
            stage=Stage.DELIVER,
            detail="planted",
            error_class="RefusedError",
            opened=call,
        )
        self.dead_letters.add([letter])

    async def run(self) -> None:
        await self.failure

    async def quiesce(self, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        self.is_quiet = True

    def resume(self) -> None:
        self.is_quiet = False

    def drop_fenced(self) -> None:
        self.open = [call for call in self.open if not call.ledger.is_fenced]
        self.open += self.custody.release_fenced([])

    def letter_written(self, letter: PendingLetter) -> None:
        self.open += self.custody.dead_letter(letter)

    def is_due(self, _now: float) -> bool:
        return False

    def is_overdue(self, _now: float) -> bool:
        return self.overdue

    def limited_by(self, _now: float) -> Limit | None:
        return None

    def take_warnings(self) -> Counter[str]:
        return Counter()


class Engine:
    """One integration on one topic, and the instances that run it."""

    def __init__(self, directory: Path, *, partitions: int = 2, **integration: Any) -> None:
        self.directory = directory
        self.cluster = MemoryCluster()
        self.cluster.create(TOPIC, partitions)
        self.cluster.create(LETTERS, partitions)
        self.create_topics = False
        self.section: dict[str, Any] = {
            "dialect": "getuserfeedback",
            "topics": [TOPIC],
            "destination": "segment",
            "group_id": GROUP,
            **integration,
        }
        self.destination: dict[str, Any] = {"write_key": "streamer_test_key", "batch": {"linger": 0}}
        self.timings = AT_ONCE
        self.before_commit: Callable[[], Awaitable[None]] | None = None
        self.accounts: list[dict[tuple[str, int], Account]] = []
        self.recent_letters = RecentLetters()
        self.pipelines: list[Pipeline] = []

    def settings(self) -> Settings:
        """The configuration as it is now."""
        return Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": "memory:1", "create_topics": self.create_topics},
                "destinations": {"segment": self.destination},
                "integrations": {"surveys": self.section},
            }
        )

    def pipeline(self, make_worker: MakeWorker, *, instance: str = "one") -> Pipeline:
        """A new pipeline, as `streamer.integration` makes it."""
        accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.accounts.append(accounts)
        settings = self.settings()
        pipeline = Pipeline(
            subscription_of("surveys", settings),
            brokers=MemoryBrokers(self.cluster),
            make_worker=make_worker,
            account_of=lambda topic, partition: accounts[topic, partition],
            on_connected=lambda: None,
            guard_memory=GuardMemory(self.directory / instance, fingerprint=settings.fingerprint()),
            contact=Contact("surveys", self.timings),
            recent_letters=self.recent_letters,
            timings=self.timings,
            before_commit=self.before_commit,
        )
        self.pipelines.append(pipeline)
        return pipeline

    @contextlib.asynccontextmanager
    async def running(self, make_worker: MakeWorker = HandWorker, *, instance: str = "one") -> AsyncIterator[Pipeline]:
        """Run one instance; at the end of the block it drains. What it raises is raised."""
        pipeline = self.pipeline(make_worker, instance=instance)
        stop = asyncio.Event()
        running = asyncio.create_task(pipeline.run(stop), name="pipeline under test")
        try:
            await eventually(lambda: running.done() or pipeline.assignment.is_restored)
            if running.done():
                await running
            yield pipeline
        finally:
            stop.set()
            async with asyncio.timeout(WAIT_SECONDS):
                await running
            self.verify()

    def committed(self, partition: int = 0) -> int | None:
        """The position that the group has stored."""
        stored = self.cluster.group(GROUP).stored.get(Place(TOPIC, partition))
        return None if stored is None else stored.offset

    def letters(self) -> list[Record]:
        """All dead letters."""
        return [record for log in self.cluster.logs[LETTERS] for record in log.records]

    def verify(self) -> None:
        """Every record that was ever consumed is accounted for."""
        for accounts, pipeline in zip(self.accounts, self.pipelines, strict=True):
            for (topic, partition), account in accounts.items():
                ledger = pipeline.assignment.ledgers.get(Place(topic, partition))
                assert account.unaccounted(ledger.open_records if ledger is not None else 0) == 0


def hand_of(pipeline: Pipeline) -> HandWorker:
    """The worker of a pipeline that runs with one."""
    worker = pipeline.worker
    assert isinstance(worker, HandWorker)
    return worker
