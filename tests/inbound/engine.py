"""The way back on Kafka and a directory in memory, for tests that take milliseconds."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from streamer.core.inbound.call import CallOutcome
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.inbound.applying import Applier
from streamer.inbound.availability import Availability
from streamer.inbound.tally import Tally
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.subscription import subscription_to_calls
from streamer.settings import Settings
from streamer.status.recent_letters import RecentLetters
from tests.doubles.directory import MemoryDirectory
from tests.doubles.kafka import MemoryBrokers, MemoryCluster, MemoryRecord
from tests.pipeline.engine import AT_ONCE, WAIT_SECONDS, eventually

TOPIC: Final = "segment.inbound"
LETTERS: Final = "segment.inbound.dlq"
GROUP: Final = "streamer.inbound"
NOW_MS: Final = 1_780_000_000_000


def settings_with(**inbound: Any) -> Settings:
    """A configuration with the way back."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "memory:1"},
            "inbound": {"webhooks": {"production": {"secrets": ["secret"]}}, **inbound},
        }
    )


def call(message_id: str, **fields: Any) -> bytes:
    """An identify call."""
    named = {"type": "identify", "messageId": message_id, "userId": f"u-{message_id}", "traits": {"plan": "Pro"}}
    return orjson.dumps(named | fields)


class InboundEngine:
    """The way back with one directory, and the instances that apply calls to it."""

    def __init__(self, directory: Path, partitions: int = 2) -> None:
        self.path = directory
        self.cluster = MemoryCluster()
        self.cluster.create(TOPIC, partitions)
        self.cluster.create(LETTERS, partitions)
        self.directory = MemoryDirectory()
        self.timings = replace(AT_ONCE, directory_retry=0.001)
        self.instances: list[Instance] = []

    def write(self, *values: bytes, partition: int = 0) -> list[MemoryRecord]:
        """Write calls to the inbound topic."""
        headers = [("streamer.webhook", b"production"), ("streamer.authenticated", b"true")]
        return self.cluster.append(TOPIC, values, partition=partition, headers=headers, timestamp=NOW_MS)

    @contextlib.asynccontextmanager
    async def running(self, name: str = "one", **inbound: Any) -> AsyncIterator["Instance"]:
        """Run one instance; at the end of the block it drains. What it raises is raised."""
        instance = Instance(self, settings_with(**inbound), name)
        self.instances.append(instance)
        stop = asyncio.Event()
        running = instance.task = asyncio.create_task(instance.pipeline.run(stop), name=f"pipeline {name}")
        try:
            await eventually(lambda: running.done() or instance.pipeline.assignment.is_restored)
            if running.done():
                await running
            yield instance
        finally:
            stop.set()
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.wait({running})
            if not running.cancelled():
                running.result()
            for one in self.instances:
                one.verify()

    def committed(self, partition: int = 0) -> int | None:
        """The position that the group has stored."""
        stored = self.cluster.group(GROUP).stored.get(Place(TOPIC, partition))
        return None if stored is None else stored.offset

    def letters(self) -> list[MemoryRecord]:
        """All dead letters."""
        return [record for log in self.cluster.logs[LETTERS] for record in log.records]


class Instance:
    """One pipeline that applies calls."""

    def __init__(self, engine: InboundEngine, settings: Settings, name: str) -> None:
        self.accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.availability = Availability()
        assert settings.inbound is not None
        self.tally = Tally(environment=settings.inbound.environment, is_debugging=settings.inbound.debug)
        self.task: asyncio.Task[None]
        """Runs the pipeline."""
        subscription = subscription_to_calls(settings)

        def make_worker(custody: Custody, dead_letters: DeadLetters) -> Applier:
            self.applier = Applier(
                subscription.name,
                directory=engine.directory,
                rules=settings.inbound_rules(),
                custody=custody,
                dead_letters=dead_letters,
                tally=self.tally,
                availability=self.availability,
                on_applied=lambda: None,
                timings=engine.timings,
            )
            return self.applier

        self.pipeline = Pipeline(
            subscription,
            brokers=MemoryBrokers(engine.cluster),
            make_worker=make_worker,
            account_of=lambda topic, partition: self.accounts[topic, partition],
            on_connected=lambda: None,
            guard_memory=GuardMemory(engine.path / name, fingerprint="test"),
            contact=Contact("inbound", engine.timings),
            recent_letters=RecentLetters(),
            timings=engine.timings,
        )

    def settled(self) -> int:
        """Records that have their outcome, here."""
        return sum(account.settled for account in self.accounts.values())

    def outcomes(self) -> Counter[CallOutcome]:
        """How many calls ended how, here."""
        counts: Counter[CallOutcome] = Counter()
        for kind, number in self.tally.calls.items():
            counts[kind.outcome] += number
        return counts

    def verify(self) -> None:
        """Every record is accounted for, and the counts by type and reason are those of the accounts."""
        for (topic, partition), account in self.accounts.items():
            ledger = self.pipeline.assignment.ledgers.get(Place(topic, partition))
            assert account.unaccounted(ledger.open_records if ledger is not None else 0) == 0
            counted: Counter[CallOutcome] = Counter()
            for kind, number in self.tally.calls.items():
                counted[kind.outcome] += number if kind.partition == partition else 0
            assert counted == Counter(
                {
                    CallOutcome.APPLIED: account.delivered,
                    CallOutcome.DUPLICATE: account.duplicate,
                    CallOutcome.IGNORED: account.filtered.total(),
                    CallOutcome.DEAD_LETTERED: account.dead_lettered.total(),
                }
            )
