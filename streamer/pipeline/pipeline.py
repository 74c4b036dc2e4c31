"""One integration: the way of its records from the reader to the commit.

A pipeline is one task group: the reader, the dispatcher of deliveries, the writer of dead letters and the committer.
Whatever one of them cannot handle ends the pipeline; the service starts a new one, and records are read again from
their last commit.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from streamer.core.dead_letters.guard import MassGuard
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.limiting import Limit, limited_by
from streamer.core.delivery.outbox import Outbox
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.errors import UnavailableError
from streamer.core.mapping import Mapper
from streamer.core.records.account import Account
from streamer.core.records.in_flight import InFlight
from streamer.core.records.ledger import OpenRecord
from streamer.destinations import Destination
from streamer.destinations.segment import ENVELOPE_BYTES
from streamer.kafka import (
    DeadLetterProducer,
    Source,
    TopicPartition,
    retention_seconds,
)
from streamer.logs import Event, logger
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.dead_letters import DeadLetters, GuardMemory, Refusal
from streamer.pipeline.delivery import Delivery
from streamer.pipeline.intake import Intake
from streamer.pipeline.joining import join
from streamer.pipeline.load import Load
from streamer.pipeline.reader import Reader
from streamer.pipeline.watchdog import Watchdog
from streamer.receipts import Receipts
from streamer.settings import Settings

RETENTION_EVERY_SECONDS: Final = 600.0

DRAIN_SECONDS: Final = 20.0
"""Longest wait for requests that are out, at shutdown."""

MAX_REVOKE_DRAIN_SECONDS: Final = 10.0
"""Longest wait for requests that are out when partitions are taken: every other member waits for us."""


class Pipeline:
    """Runs one integration from Kafka to its destination, once."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        destination: Destination,
        receipts: Receipts,
        account_of: Callable[[str, int], Account],
        on_connected: Callable[[], None],
        observe_latency: Callable[[Sequence[OpenRecord], float], None],
        guard_memory: GuardMemory,
    ) -> None:
        """Build the parts; nothing is connected before `run`.

        Args:
            name: of the integration.
            settings: the whole configuration.
            destination: borrowed from the service.
            receipts: the integration's.
            account_of: the account of a partition; accounts outlive pipelines.
            on_connected: told when the group is joined.
            observe_latency: told of delivered records, and of the epoch second when.
            guard_memory: where the mass guard's hold is remembered.
        """
        self.name = name
        self._kafka = settings.kafka
        self._integration = integration = settings.integrations[name]
        self._destination = destination
        self._guard_memory = guard_memory
        self._on_connected = on_connected
        self._observe_latency = observe_latency
        self._crash: asyncio.Future[None]
        self.is_connected = False
        self.retention_seconds: dict[str, float] = {}
        """How long a topic keeps its records, where that is known."""
        limits, max_ratio = integration.limits, integration.dead_letters.max_ratio
        self._in_flight = InFlight()
        self._mapping_guard, self._delivery_guard = MassGuard(max_ratio), MassGuard(max_ratio)
        self.load = Load(max_records=limits.max_open_records, max_bytes=limits.max_open_bytes)
        self.parked = Parked(max_per_partition=limits.max_parked_per_partition, max_bytes=limits.max_open_bytes)
        self.assignment = Assignment(name, start=integration.start, account_of=account_of)
        self.source = Source(
            settings.kafka,
            group_id=integration.group_id,
            topics=integration.topics,
            fetch_share=1 / len(settings.integrations),
            on_assigned=self.assignment.give,
            on_revoked=self._on_revoked,
        )
        self._producer = DeadLetterProducer(settings.kafka)
        self.dead_letters = DeadLetters(
            self._producer,
            integration=name,
            destination=integration.destination,
            topic_of=integration.dead_letter_topic,
            mapping_guard=self._mapping_guard,
            delivery_guard=self._delivery_guard,
            on_written=self._on_dead_letter_written,
            on_held=self._on_guard_tripped,
        )
        self.delivery = self._new_delivery(receipts)
        self._mapper = Mapper(settings.mapping(name))
        self._reader = self._new_reader(receipts)
        self._watchdog = Watchdog(
            name, source=self.source, assignment=self.assignment, reader=self._reader, delivery=self.delivery
        )
        self._revoke_drain_seconds = min(
            MAX_REVOKE_DRAIN_SECONDS, max(settings.kafka.rebalance_timeout_ms / 1000 / 3, 1.0)
        )

    def _new_delivery(self, receipts: Receipts) -> Delivery:
        settings = self._destination.settings
        batch, retry = settings.batch, settings.retry
        batcher: Batcher[OpenRecord] = Batcher(
            max_bytes=batch.max_bytes,
            # Of a larger one the destination would get a burst, and then nothing for seconds.
            max_calls=min(batch.max_calls, settings.rate_limit or batch.max_calls),
            linger_seconds=batch.linger,
            envelope_bytes=ENVELOPE_BYTES,
        )
        return Delivery(
            self.name,
            destination=self._destination,
            outbox=Outbox(batcher, self.parked),
            policy=RetryPolicy(quick=tuple(retry.quick), schedule=tuple(retry.schedule)),
            in_flight=self._in_flight,
            receipts=receipts,
            load=self.load,
            refuse=self.dead_letters.refuse,
            observe_latency=self._on_delivered,
        )

    def _new_reader(self, receipts: Receipts) -> Reader:
        intake = Intake(
            mapper=self._mapper,
            receipts=receipts,
            in_flight=self._in_flight,
            load=self.load,
            guard=self._mapping_guard,
            enqueue=self.delivery.enqueue,
            refuse=self.dead_letters.refuse,
        )
        return Reader(
            self.name,
            source=self.source,
            assignment=self.assignment,
            intake=intake,
            load=self.load,
            on_restored=self._on_restored,
        )

    @property
    def is_held(self) -> bool:
        """Whether the mass guard holds the integration."""
        return self.dead_letters.is_held

    def limited_by(self, now: float) -> Limit:
        """What keeps it from being faster; ``now`` in monotonic seconds."""
        return limited_by(
            self._destination.limited_by(now),
            is_guarded=self.is_held,
            is_due=self.delivery.is_due(now),
            is_full=self.load.is_full,
            is_mapping=self._reader.is_taking,
        )

    async def _learn_retention(self) -> None:
        """Ask now and then how long the topics keep records; without an answer the headroom is not shown."""
        while True:
            with contextlib.suppress(UnavailableError):
                self.retention_seconds = await retention_seconds(self._kafka, self._integration.topics)
            await asyncio.sleep(RETENTION_EVERY_SECONDS)

    def take_warnings(self) -> Counter[str]:
        """What was accepted, since this was last called, although a platform's documents rule it out."""
        taken = self._mapper.warnings.copy()
        self._mapper.warnings.clear()
        return taken

    def lags(self) -> dict[str, int]:
        """Records from the committed position to the high watermark, by topic."""
        lags: Counter[str] = Counter()
        for partition, ledger in self.assignment.ledgers.items():
            end = self.source.high_watermark(partition)
            if end is not None:
                lags[partition.topic] += max(end - ledger.position, 0)
        return lags

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then drain: requests that are out end, outcomes are committed, the group is left.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            ExceptionGroup: a part failed; what was not committed is read again by the next pipeline.
        """
        if self._guard_memory.is_held():
            self._hold()
        self._crash = asyncio.get_running_loop().create_future()
        try:
            joining = join(self.name, self._kafka, self._integration, producer=self._producer, source=self.source)
            if await _unless(stop, joining):
                await self._run_connected(stop)
        finally:
            self.is_connected = False
            try:
                await self.source.leave()
            finally:
                self.assignment.fence()
                self._forget_fenced()
                await self._producer.stop()

    async def _run_connected(self, stop: asyncio.Event) -> None:
        self.is_connected = True
        self._on_connected()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._reader.run(), name=f"read {self.name}")
            others = [
                tasks.create_task(part, name=f"{role} {self.name}")
                for role, part in (
                    ("deliver", self.delivery.run()),
                    ("write dead letters of", self.dead_letters.run()),
                    ("commit", self.assignment.commit_on_timer(self.source)),
                    ("watch", self._watchdog.run()),
                    ("learn the retention of", self._learn_retention()),
                    ("watch the callbacks of", _raise_from(self._crash)),
                )
            ]
            await stop.wait()
            logger().emit(Event.DRAIN_STARTED, integration=self.name, requests=self.delivery.requests_out)
            reading.cancel()
            await self.delivery.quiesce(DRAIN_SECONDS)
            await self.dead_letters.flush()
            await self.assignment.commit(self.source)
            for task in others:
                task.cancel()
        open_records = sum(ledger.open_records for ledger in self.assignment.ledgers.values())
        logger().emit(Event.DRAIN_FINISHED, integration=self.name, handed_back=open_records)

    async def _on_revoked(self, _partitions: frozenset[TopicPartition]) -> None:
        """Partitions are about to be taken: drain, commit, and start nothing more until it is known what comes back."""
        try:
            # Committed after the drain, positions in a deleted topic would count for the next one of that name.
            self.assignment.fence(self.source.gone(self.assignment.ledgers))
            await self.delivery.quiesce(self._revoke_drain_seconds)
            await self.assignment.commit(self.source)
            self.assignment.suspend()
        except Exception as error:  # noqa: BLE001 - the client would log it and go on with records of nobody
            if not self._crash.done():
                self._crash.set_exception(error)

    def _on_restored(self) -> None:
        """A rebalance is through: forget what is no longer ours, and go on with the rest."""
        self._forget_fenced()
        self.delivery.resume()

    def _forget_fenced(self) -> None:
        self.dead_letters.drop_fenced()
        self.delivery.drop_fenced()
        in_flight = self._in_flight.living_size()
        unmapped = self.dead_letters.unmapped_size()
        self.load.reset(
            in_flight.records - len(self.parked) + unmapped.records,
            in_flight.bytes - self.parked.bytes + unmapped.bytes,
        )

    def _on_delivered(self, records: Sequence[OpenRecord], now: float) -> None:
        self._delivery_guard.passed(len(records))
        self._observe_latency(records, now)

    def _on_dead_letter_written(self, refusal: Refusal) -> None:
        """The broker has confirmed a dead letter: settle its record; what waited for its messageId goes by itself."""
        refusal.ledger.dead_letter(refusal.record.offset, refusal.reason)
        opened = refusal.opened
        if opened is None:
            self.load.remove(1, len(refusal.record.value or b""))
            return
        self.load.remove(1, opened.held_bytes)
        successor = self._in_flight.ended(opened)
        if successor is not None:
            self.delivery.enqueue([successor])

    def _on_guard_tripped(self, refused: int, seen: int) -> None:
        self._guard_memory.remember()
        self._reader.is_stopped = True
        logger().emit(
            Event.INTEGRATION_GUARDED,
            integration=self.name,
            refused=refused,
            seen=seen,
            next_step="Nothing is lost: the records stay on Kafka. See why the last ones were dead-lettered: most "
            "often a topic holds another dialect. Correct the configuration, or set dead_letters.max_ratio: 1.",
        )

    def _hold(self) -> None:
        """The mass guard held this very configuration before: reading on would dead-letter more of the same."""
        self.dead_letters.hold()
        self._reader.is_stopped = True
        logger().emit(
            Event.INTEGRATION_GUARDED,
            integration=self.name,
            next_step="Still held from before: neither the configuration nor the version has changed. "
            "Correct the configuration, or set dead_letters.max_ratio: 1.",
        )


async def _unless(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Do ``work`` unless ``stop`` is set first; whether it was done."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for task in (working, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working


async def _raise_from(crash: asyncio.Future[None]) -> None:
    await crash
