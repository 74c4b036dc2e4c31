"""The worker that delivers: a permit, a request, and the answer reported to the core.

One dispatcher borrows a permit, takes the next shipment and starts a task for its request. What an answer does to the
calls is decided in `streamer.core.delivery.shipping`.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.found import Found
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.outbox import Outbox, Shipment
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.delivery.shipping import Failure, Shipping
from streamer.core.model import Record
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter
from streamer.destinations import Destination
from streamer.kafka import TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.batches import batcher_for
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.deliveries import deliveries_of
from streamer.pipeline.endings import unless_cancelled
from streamer.pipeline.intake import Intake, MapsRecords
from streamer.pipeline.telling import Teller
from streamer.pipeline.worker import Prepare
from streamer.receipts import NoReceipts, Receipts
from streamer.tracing import Span, tracer


class Delivery:
    """Delivers the events of one integration: a `streamer.pipeline.worker.Worker`."""

    def __init__(
        self,
        integration: str,
        *,
        destination: Destination,
        mapper: MapsRecords,
        receipts: Receipts,
        parked: Parked,
        custody: Custody,
        dead_letters: DeadLetters,
        observe_latency: Callable[[Sequence[OpenRecord], float], None],
        prepare: Prepare | None = None,
    ) -> None:
        """Join the parts that a call meets.

        Args:
            integration: for the log.
            destination: lends the permits and sends.
            mapper: makes calls of records.
            receipts: notes what was delivered.
            parked: events that wait for their next attempt.
            custody: where records end.
            dead_letters: takes records to set aside.
            observe_latency: called with delivered records, and with the epoch second when.
            prepare: gets ready for records before they are mapped.
        """
        self.prepare = prepare
        self._integration = integration
        self._destination = destination
        self._tell = Teller(integration, destination.name)
        self._mapper = mapper
        self._receipts: Receipts | NoReceipts = receipts
        if mapper.keeps_latest:
            # Read again, records are sent again in their order: a receipt of a later one would leave an older one last.
            custody.keep_only_latest()
            self._receipts = NoReceipts()
        self.parked = parked
        self._custody = custody
        self._dead_letters = dead_letters
        self._observe_latency = observe_latency
        retry = destination.settings.retry
        self._shipping = Shipping(
            Outbox(batcher_for(destination), parked),
            RetryPolicy(quick=tuple(retry.quick), schedule=tuple(retry.schedule)),
            custody,
        )
        self._intake = Intake(
            mapper=mapper, receipts=self._receipts, custody=custody, dead_letters=dead_letters, enqueue=self._enqueue
        )
        self._work = asyncio.Event()
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._is_quiet = False
        self.moved_at = time.monotonic()
        """When a request last began or ended."""

    @property
    def under_way(self) -> int:
        """Requests without an answer."""
        return self._shipping.requests

    @property
    def parked_bytes(self) -> int:
        """Bytes kept for events that failed alone and wait for their next attempt."""
        return self.parked.bytes

    def parked_in(self, partition: TopicPartition) -> int:
        """How many events of a partition wait for their next attempt."""
        return self.parked.in_partition(partition.topic, partition.partition)

    def records_held(self) -> int:
        """Open records that are sent, parked, waiting, or attached to such a one."""
        held = chain(self._shipping.calls(), self._custody.attached())
        return sum(not call.ledger.is_fenced for call in held)

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Take records of one partition, in the order of their offsets."""
        self._intake.take(records, ledger)
        self._shipping.release_overtaken(time.monotonic())

    def remap(self, mapper: MapsRecords, prepare: Prepare | None) -> None:
        """Make the calls of the next records with another mapper; those that are open keep theirs.

        Args:
            mapper: of the same dialect.
            prepare: gets ready for records before that mapper gets them.
        """
        mapper.warnings.update(self._mapper.warnings)
        self._mapper, self.prepare = mapper, prepare
        self._intake.remap(mapper)

    def find(self, message_id: str) -> list[Found]:
        """Where the open records with a messageId are; those that are being dead-lettered count as waiting."""
        return self._shipping.find(message_id)

    def letter_written(self, letter: PendingLetter) -> None:
        """The broker has confirmed a dead letter: end its record. The same call is set aside too, another one sent."""
        self._dead_letters.add(self._shipping.written(letter, time.monotonic()))
        self._work.set()

    async def run(self) -> None:
        """Deliver until cancelled; then everything is left open."""
        end_notices = self._destination.notify(on_refund=self._take_back, on_room=self._work.set)
        try:
            async with asyncio.TaskGroup() as requests:
                while True:
                    await self._wait_for_work()
                    await self._destination.borrow(self._integration)
                    shipment = self._next_shipment()
                    if shipment is None:
                        self._destination.decline()
                        continue
                    attempt = self._destination.start(
                        self._integration,
                        len(shipment.records),
                        is_retry=shipment.is_retry,
                        is_resend=shipment.is_resend,
                    )
                    self.moved_at = time.monotonic()
                    self._all_answered.clear()
                    sending = unless_cancelled(self._send(shipment, attempt))
                    requests.create_task(sending, name=f"request of {self._integration}")
        finally:
            end_notices()

    def is_due(self, now: float) -> bool:
        """Whether something waits for a request."""
        due = self._due_at()
        return due is not None and due <= now

    def is_overdue(self, now: float) -> bool:
        """Whether something is due and could be sent, but is not."""
        return self.is_due(now) and not self.under_way and self._destination.can_send(now)

    def limited_by(self, now: float) -> Limit | None:
        """Why no request could begin now; None: one could."""
        return self._destination.limited_by(now)

    def take_warnings(self) -> Counter[str]:
        """What was accepted, since this was last called, although a platform's documents rule it out."""
        taken = self._mapper.warnings.copy()
        self._mapper.warnings.clear()
        return taken

    async def quiesce(self, timeout_seconds: float) -> None:
        """Start nothing more, and wait for requests without an answer, at most so long."""
        self._is_quiet = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_answered.wait()
        except TimeoutError:
            logger().emit(Event.DRAIN_INCOMPLETE, integration=self._integration, requests=self.under_way)

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended, but for those in a request."""
        self._shipping.drop_fenced(time.monotonic())
        self._work.set()

    def resume(self) -> None:
        """Start requests again."""
        self._is_quiet = False
        self._work.set()

    def _enqueue(self, calls: Sequence[OpenRecord]) -> None:
        self._shipping.add(calls, time.monotonic())
        self._work.set()

    async def _wait_for_work(self) -> None:
        """Wait until a shipment is due."""
        while True:
            now = time.monotonic()
            self._shipping.release_due(now)
            due = self._due_at()
            if due is not None and due <= now:
                return
            self._work.clear()
            try:
                async with asyncio.timeout(None if due is None else due - now):
                    await self._work.wait()
            except TimeoutError:
                continue

    def _due_at(self) -> float | None:
        return None if self._is_quiet else self._shipping.due_at(self._destination.wanted())

    def _next_shipment(self) -> Shipment | None:
        if self._is_quiet:
            return None
        return self._shipping.next(time.monotonic(), self._destination.wanted())

    async def _send(self, shipment: Shipment, attempt: Attempt) -> None:
        with tracer().process("deliver", self._integration, shipment.records) as span:
            await self._send_traced(shipment, attempt, span)

    async def _send_traced(self, shipment: Shipment, attempt: Attempt, span: Span) -> None:
        records = shipment.records
        began = time.time()
        try:
            verdict, answer = await self._destination.send(
                attempt,
                [record.body for record in records],
                size=sum([record.size for record in records]) + len(records) + self._destination.envelope_bytes,
                resend_count=max([record.failures for record in records]),
            )
        finally:
            self._shipping.answered(shipment)
            self.moved_at = time.monotonic()
            if not self.under_way:
                self._all_answered.set()
        # No await from here on: a batch ends as a whole or not at all.
        if verdict is Verdict.DELIVERED:
            self._accepted(shipment, began, span)
        else:
            span.fail(answer.error)
            self._failed(shipment, attempt, verdict, answer, began, span)
        self._work.set()

    def _accepted(self, shipment: Shipment, began: float, span: Span) -> None:
        records = shipment.records
        now = time.time()
        by_ledger: defaultdict[PartitionLedger, list[OpenRecord]] = defaultdict(list)
        for record in records:
            by_ledger[record.ledger].append(record)
        self._receipts.add(deliveries_of(by_ledger), now)
        self._shipping.accepted(shipment, by_ledger, time.monotonic())
        self._dead_letters.guards.note_delivered(len(records))
        self._observe_latency(records, now)
        self._tell.delivered(len(records), now - began, span)

    def _failed(
        self, shipment: Shipment, attempt: Attempt, verdict: Verdict, answer: Answer, began: float, span: Span
    ) -> None:
        failure = Failure(
            attempt=attempt,
            verdict=verdict,
            answer=answer,
            began_at=began,
            now=time.monotonic(),
            jitter=random.random(),  # noqa: S311 - jitter
        )
        aftermath = self._shipping.failed(shipment, failure)
        self._tell.failed(aftermath, len(shipment.records), answer, span)
        self._dead_letters.add(aftermath.letters)

    def _take_back(self, attempts: Sequence[Attempt]) -> None:
        """These failures turned out to be the destination's fault: nothing is charged, and no call waits for them."""
        self._shipping.release_refunded(attempts)
        self._work.set()
