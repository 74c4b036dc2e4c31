"""Calls out: a permit, a request, and what the answer does to the events of its batch.

One dispatcher borrows a permit, takes the next shipment from the outbox and starts a task for its request. A shipment
that was not delivered goes back into the outbox, waits for its next attempt, or is taken apart to find the guilty call.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.bisection import Bisection
from streamer.core.delivery.destination import Attempt, Verdict
from streamer.core.delivery.outbox import Outbox, Shipment, of_living
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.in_flight import InFlight
from streamer.core.records.ledger import OpenRecord, PartitionLedger
from streamer.destinations import Destination
from streamer.destinations.segment import ENVELOPE_BYTES
from streamer.logs import Event, logger
from streamer.pipeline.dead_letters import Refusal
from streamer.pipeline.load import Load
from streamer.receipts import Deliveries, Receipts

BAD_REQUEST: Final = 400


class Delivery:
    """Delivers the calls of one integration."""

    def __init__(
        self,
        integration: str,
        *,
        destination: Destination,
        outbox: Outbox,
        policy: RetryPolicy,
        in_flight: InFlight,
        receipts: Receipts,
        load: Load,
        refuse: Callable[[Sequence[Refusal]], None],
        observe_latency: Callable[[Sequence[OpenRecord], float], None],
    ) -> None:
        """Join the parts that a call meets.

        Args:
            integration: for the log.
            destination: lends the permits and sends.
            outbox: what goes next.
            policy: when a charged event goes again.
            in_flight: who waits for whom.
            receipts: notes what was delivered.
            load: counts what is held in memory.
            refuse: takes records to set aside.
            observe_latency: told of delivered records, and of the epoch second when.
        """
        self._integration = integration
        self._destination = destination
        self._outbox = outbox
        self._policy = policy
        self._in_flight = in_flight
        self._receipts = receipts
        self._load = load
        self._refuse = refuse
        self._observe_latency = observe_latency
        self._sending: set[Shipment] = set()
        self._work = asyncio.Event()
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._is_quiet = False
        self.moved_at = time.monotonic()
        """When a request last began or ended."""

    @property
    def requests_out(self) -> int:
        """Requests without an answer."""
        return len(self._sending)

    def enqueue(self, records: Sequence[OpenRecord]) -> None:
        """Take calls of one partition, fresh or charged by an earlier owner of it."""
        if records and records[0].ledger.knows_attempts:
            for record in records:
                if record.attempts:
                    self._outbox.add_alone(record)
            records = [record for record in records if not record.attempts]
        self._outbox.add(records, time.monotonic())
        self._work.set()

    async def run(self) -> None:
        """Deliver for ever; cancelled, it leaves everything open."""
        end_refunds = self._destination.on_refund(self._take_back)
        try:
            async with asyncio.TaskGroup() as requests:
                while True:
                    await self._wait_for_work()
                    await self._destination.borrow()
                    shipment = self._next_shipment()
                    if shipment is None:
                        self._destination.decline()
                        continue
                    attempt = self._destination.start(len(shipment.records), is_retry=shipment.is_retry)
                    self.moved_at = time.monotonic()
                    self._sending.add(shipment)
                    self._all_answered.clear()
                    requests.create_task(self._send(shipment, attempt), name=f"request of {self._integration}")
        finally:
            end_refunds()

    def is_due(self, now: float) -> bool:
        """Whether something waits for a request."""
        due = None if self._is_quiet else self._outbox.due_at()
        return due is not None and due <= now

    def is_overdue(self, now: float) -> bool:
        """Whether something is due and could be sent, but is not."""
        return self.is_due(now) and not self._sending and self._destination.can_send(now)

    async def quiesce(self, timeout_seconds: float) -> None:
        """Start nothing more, and wait for the requests that are out, at most so long."""
        self._is_quiet = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_answered.wait()
        except TimeoutError:
            logger().emit(Event.DRAIN_INCOMPLETE, integration=self._integration, requests=len(self._sending))

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended, but for those in a request."""
        self._outbox.drop_fenced()
        for successor in self._in_flight.release_fenced(call for sent in self._sending for call in sent.records):
            self.enqueue([successor])

    def resume(self) -> None:
        """Start requests again."""
        self._is_quiet = False
        self._work.set()

    async def _wait_for_work(self) -> None:
        """Wait until a shipment is due."""
        while True:
            now = time.monotonic()
            self._count_released(self._outbox.release_due(now))
            due = None if self._is_quiet else self._outbox.due_at()
            if due is not None and due <= now:
                return
            self._work.clear()
            try:
                async with asyncio.timeout(None if due is None else due - now):
                    await self._work.wait()
            except TimeoutError:
                continue

    def _next_shipment(self) -> Shipment | None:
        if self._is_quiet:
            return None
        if self._destination.wants_probe:
            return self._outbox.take_probe()
        return self._outbox.take(time.monotonic(), max_bytes=self._destination.max_batch_bytes)

    async def _send(self, shipment: Shipment, attempt: Attempt) -> None:
        records = shipment.records
        began = time.time()
        try:
            verdict, answer = await self._destination.send(
                attempt,
                [record.body for record in records],
                size=sum([record.size for record in records]) + len(records) + ENVELOPE_BYTES,
                resend_count=max([record.failures for record in records]),
            )
        finally:
            self._sending.discard(shipment)
            self.moved_at = time.monotonic()
            if not self._sending:
                self._all_answered.set()
        # No await from here on: a batch is settled as a whole or not at all.
        if verdict is Verdict.DELIVERED:
            self._delivered(shipment, began)
        else:
            self._not_delivered(shipment, attempt, verdict, answer, began)
        self._work.set()

    def _delivered(self, shipment: Shipment, began: float) -> None:
        records = shipment.records
        now = time.time()
        by_ledger: defaultdict[PartitionLedger, list[OpenRecord]] = defaultdict(list)
        for record in records:
            by_ledger[record.ledger].append(record)
        self._receipts.add([_deliveries_of(ledger, delivered) for ledger, delivered in by_ledger.items()], now)
        for leader in self._in_flight.delivered(records):
            self._end_attached(leader)
        for ledger, delivered in by_ledger.items():
            if not ledger.is_fenced:
                ledger.deliver([record.record.offset for record in delivered])
                self._load.remove(len(delivered), sum([record.held_bytes for record in delivered]))
        self._observe_latency(records, now)
        logger().emit(
            Event.BATCH_DELIVERED,
            integration=self._integration,
            destination=self._destination.name,
            calls=len(records),
            duration_seconds=round(now - began, 3),
        )
        if shipment.bisection is not None:
            shipment.bisection.accepted()
            self._outbox.go_on(shipment.bisection)

    def _end_attached(self, leader: OpenRecord) -> None:
        """What waited for a delivered call: a duplicate, or the very same record, read again after a rebalance."""
        for waiting in of_living(leader.attached or ()):
            if waiting.place == leader.place:
                waiting.ledger.deliver([waiting.record.offset])
            else:
                waiting.ledger.duplicate(waiting.record.offset)
            self._load.remove(1, waiting.held_bytes)

    def _not_delivered(
        self, shipment: Shipment, attempt: Attempt, verdict: Verdict, answer: Answer, began: float
    ) -> None:
        for record in shipment.records:
            record.failures += 1
        records = self._still_ours(shipment.records)
        is_refused = verdict in {Verdict.REFUSED, Verdict.REFUSED_FREE}
        if shipment.bisection is not None and not is_refused:
            self._outbox.give_up(shipment.bisection, but_for=records)
        match verdict:
            case _ if not records:
                return
            case Verdict.RETRY_CHARGED:
                self._charge(records, attempt, answer, began)
            case Verdict.RETRY_FREE:
                self._outbox.put_back(records, was_probe=attempt.is_probe)
            case Verdict.REFUSED | Verdict.REFUSED_FREE:
                self._refused(records, shipment.bisection, answer, is_charged=verdict is Verdict.REFUSED)
            case Verdict.SPLIT:
                self._outbox.put_back_halves(records)

    def _still_ours(self, records: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Without the records whose assignment ended meanwhile; what waited for those goes by itself."""
        ours: list[OpenRecord] = []
        for record in records:
            if not record.ledger.is_fenced:
                ours.append(record)
            elif (successor := self._in_flight.ended(record)) is not None:
                self.enqueue([successor])
        return ours

    def _charge(self, records: Sequence[OpenRecord], attempt: Attempt, answer: Answer, began: float) -> None:
        """Charge each event one attempt, and let it wait for the next in smaller company."""
        for record in records:
            record.charge(attempt, began)
        attempts = max(record.attempts for record in records)
        plan = self._policy.after_failure(len(records), attempts, random.random())  # noqa: S311 - jitter
        if plan is None:
            self._dead_letter(records, DeadLetterReason.RETRIES_EXHAUSTED, answer)
            return
        logger().emit(
            Event.BATCH_RETRYING,
            integration=self._integration,
            destination=self._destination.name,
            calls=len(records),
            attempt=attempts,
            error_type=answer.error,
            wait_seconds=round(plan.wait_seconds, 1),
        )
        due = time.monotonic() + plan.wait_seconds
        for start in range(0, len(records), plan.group_size):
            group = records[start : start + plan.group_size]
            if attempt.calls == 1:
                self._load.remove(1, group[0].held_bytes)
            overflow = self._outbox.park(group, due, attempt)
            self._count_released(overflow)
            self._dead_letter(overflow, DeadLetterReason.RETRIES_EXHAUSTED, answer)

    def _take_back(self, attempts: Sequence[Attempt]) -> None:
        """These failures turned out to be the destination's fault: nothing is charged, nobody waits."""
        self._count_released(self._outbox.release_refunded(attempts))
        self._work.set()

    def _count_released(self, records: Sequence[OpenRecord]) -> None:
        """Events that failed alone, and were parked, are load again."""
        if records:
            self._load.add(len(records), sum(record.held_bytes for record in records))

    def _refused(
        self,
        records: Sequence[OpenRecord],
        bisection: Bisection[OpenRecord] | None,
        answer: Answer,
        *,
        is_charged: bool,
    ) -> None:
        """Find out whose fault it is; ``is_charged``: the destination is known to take calls, so it is one of these."""
        reason = DeadLetterReason.REJECTED_400 if answer.status == BAD_REQUEST else DeadLetterReason.REJECTED_4XX
        if bisection is not None:
            known = len(bisection.guilty)
            bisection.refused()
            self._dead_letter(of_living(bisection.guilty[known:]), reason, answer)
            self._outbox.go_on(bisection)
        elif len(records) > 1:
            logger().emit(
                Event.BATCH_SPLIT,
                integration=self._integration,
                destination=self._destination.name,
                calls=len(records),
                status=answer.status,
            )
            self._outbox.go_on(Bisection(records, evidence=is_charged))
        elif is_charged:
            self._dead_letter(records, reason, answer)
        else:
            self._outbox.put_back(records, was_probe=True)

    def _dead_letter(self, records: Sequence[OpenRecord], reason: DeadLetterReason, answer: Answer) -> None:
        if not records:
            return
        is_exhausted = reason is DeadLetterReason.RETRIES_EXHAUSTED
        detail = (
            f"every attempt failed while the destination took other calls; the last: {answer.error}"
            if is_exhausted
            else f"the destination refused this call alone with HTTP status {answer.status}, and takes others"
        )
        self._refuse(
            [
                Refusal(
                    record=record.record,
                    ledger=record.ledger,
                    reason=reason,
                    stage=Stage.DELIVER,
                    detail=detail,
                    error_class="UnhappyError" if is_exhausted else "RefusedError",
                    opened=record,
                    http_status=answer.status,
                )
                for record in records
            ]
        )


def _deliveries_of(ledger: PartitionLedger, records: Sequence[OpenRecord]) -> Deliveries:
    return Deliveries(
        ledger.topic,
        ledger.partition,
        [record.record.offset for record in records],
        [record.digest for record in records],
    )
