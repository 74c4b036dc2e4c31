"""Calls out: batches, permits, requests, and what each answer does to the events of its batch.

The unit of sending is a `Shipment`: calls that travel in one request. It comes from fresh calls (in batches), from
events whose retry is due (in the groups they were parked in), or from a batch being bisected. One dispatcher borrows a
permit, takes the next shipment and starts a task for its request; a shipment that failed goes back where it came from,
or on to where it belongs.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from streamer.core.answers import Answer
from streamer.core.batching import Batcher
from streamer.core.bisection import Bisection
from streamer.core.destination import Attempt, Verdict
from streamer.core.in_flight import InFlight
from streamer.core.ledger import OpenRecord, PartitionLedger
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.parked import Parked
from streamer.core.retry import RetryPolicy
from streamer.dead_letters import Refusal
from streamer.destination import Destination
from streamer.load import Load
from streamer.logs import Event, logger
from streamer.receipts import Receipts
from streamer.segment import ENVELOPE_BYTES


class Shipment:
    """Calls that travel in one request."""

    __slots__ = ("bisection", "records", "size")

    def __init__(self, records: Sequence[OpenRecord], *, bisection: Bisection[OpenRecord] | None = None) -> None:
        self.records = records
        self.size = sum(record.size + 1 for record in records) + ENVELOPE_BYTES
        self.bisection = bisection
        """Set when it is a step of finding who spoilt a refused batch."""


class Delivery:
    """Delivers the calls of one integration."""

    def __init__(  # noqa: PLR0913 - it joins the parts that a call meets on its way
        self,
        *,
        integration: str,
        destination: Destination,
        batcher: Batcher[OpenRecord],
        policy: RetryPolicy,
        parked: Parked,
        in_flight: InFlight,
        receipts: Receipts,
        load: Load,
        refuse: Callable[[Sequence[Refusal]], None],
        observe_latency: Callable[[Sequence[OpenRecord], float], None],
    ) -> None:
        self._integration = integration
        self._destination = destination
        self._batcher = batcher
        self._policy = policy
        self._parked = parked
        self._in_flight = in_flight
        self._receipts = receipts
        self._load = load
        self._refuse = refuse
        self._observe_latency = observe_latency
        self._urgent: deque[Shipment] = deque()
        self._sending: set[Shipment] = set()
        self._work = asyncio.Event()
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._stopped = False

    @property
    def requests_out(self) -> int:
        """Requests without an answer."""
        return len(self._sending)

    def enqueue(self, records: Sequence[OpenRecord]) -> None:
        """Take fresh calls."""
        self._batcher.extend(records, time.monotonic())
        self._work.set()

    async def run(self) -> None:
        """Deliver for ever; cancelled, it leaves everything open."""
        with_refunds = self._destination.on_refund(self._take_back)
        try:
            async with asyncio.TaskGroup() as requests:
                while True:
                    await self._wait_for_work()
                    await self._destination.borrow()
                    shipment = self._next_shipment()
                    if shipment is None:
                        self._destination.decline()
                        continue
                    attempt = self._destination.start(len(shipment.records))
                    self._sending.add(shipment)
                    self._all_answered.clear()
                    requests.create_task(self._send(shipment, attempt), name=f"request of {self._integration}")
        finally:
            with_refunds()

    async def quiesce(self, timeout_seconds: float) -> None:
        """Start nothing more and wait for the requests that are out, at most so long."""
        self._stopped = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_answered.wait()
        except TimeoutError:
            logger().emit(Event.DRAIN_INCOMPLETE, integration=self._integration, requests=len(self._sending))

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended, but for those in a request; then go on."""
        self._batcher.discard(lambda record: record.ledger.is_fenced)
        self._parked.drop_fenced()
        left = [self._without_fenced(shipment) for shipment in self._urgent]
        self._urgent = deque(shipment for shipment in left if shipment is not None)
        successors = self._in_flight.release_fenced(record for sent in self._sending for record in sent.records)
        self.enqueue(successors)
        self._stopped = False

    # -- what goes next
    # -------------------------------------------------------------------------------------------------

    async def _wait_for_work(self) -> None:
        """Wait until there is a shipment to send now."""
        while not self._is_ready(time.monotonic()):
            self._work.clear()
            times = [due for due in (self._batcher.due_at(), self._parked.due_at) if due is not None]
            delay = None if not times or self._stopped else max(min(times) - time.monotonic(), 0.0)
            try:
                async with asyncio.timeout(delay):
                    await self._work.wait()
            except TimeoutError:
                continue

    def _is_ready(self, now: float) -> bool:
        if self._stopped:
            return False
        for group in self._parked.take_due(now):
            self._unpark(group)
        due = self._batcher.due_at()
        return bool(self._urgent) or (due is not None and due <= now)

    def _next_shipment(self) -> Shipment | None:
        if self._stopped:
            return None
        if self._destination.wants_probe:
            return self._probe()
        if self._urgent:
            return self._urgent.popleft()
        batch = self._batcher.take(time.monotonic(), max_bytes=self._destination.max_batch_bytes)
        return Shipment(batch.items) if batch is not None else None

    def _probe(self) -> Shipment | None:
        """One single event, each time a different one: a failed probe goes to the end."""
        fresh = self._batcher.take_one()
        if fresh is not None:
            return Shipment([fresh])
        if not self._urgent:
            return None
        shipment = self._urgent.popleft()
        if shipment.bisection is not None:
            self._give_up_bisection(shipment.bisection)
            return self._probe()
        first, *others = shipment.records
        if others:
            self._urgent.append(Shipment(others))
        return Shipment([first])

    # -- one request
    # ----------------------------------------------------------------------------------------------------

    async def _send(self, shipment: Shipment, attempt: Attempt) -> None:
        records = shipment.records
        began = time.time()
        try:
            verdict, answer = await self._destination.send(
                attempt,
                [record.body for record in records],
                size=shipment.size,
                resend_count=max(record.failures for record in records),
            )
        finally:
            self._sending.discard(shipment)
            if not self._sending:
                self._all_answered.set()
        # No await from here on: a batch is settled as a whole or not at all.
        if verdict is Verdict.DELIVERED:
            self._delivered(shipment)
        else:
            self._not_delivered(shipment, attempt, verdict, answer, began)
        self._work.set()

    def _not_delivered(
        self, shipment: Shipment, attempt: Attempt, verdict: Verdict, answer: Answer, began: float
    ) -> None:
        for record in shipment.records:
            record.failures += 1
        records = self._still_ours(shipment.records)
        is_refused = verdict in {Verdict.REFUSED, Verdict.REFUSED_FREE}
        if shipment.bisection is not None and not is_refused:
            self._give_up_bisection(shipment.bisection, but_for=records)
        match verdict:
            case _ if not records:
                return
            case Verdict.RETRY_CHARGED:
                self._charge(records, attempt, answer, began)
            case Verdict.RETRY_FREE:
                self._put_back(records, is_probe=attempt.is_probe)
            case Verdict.REFUSED | Verdict.REFUSED_FREE:
                self._refused(records, shipment.bisection, answer, is_charged=verdict is Verdict.REFUSED)
            case Verdict.SPLIT:
                middle = (len(records) + 1) // 2
                self._urgent += [Shipment(half) for half in (records[:middle], records[middle:]) if half]

    def _delivered(self, shipment: Shipment) -> None:
        records = shipment.records
        now = time.time()
        self._receipts.add(
            [
                (record.message_id, record.record.topic, record.record.partition, record.record.offset)
                for record in records
            ],
            now,
        )
        by_ledger: dict[PartitionLedger, list[int]] = {}
        ended = held_bytes = 0
        for record in records:
            attached = self._in_flight.delivered(record)
            if attached is not None:
                self._end_attached(record, attached)
            if not record.ledger.is_fenced:
                by_ledger.setdefault(record.ledger, []).append(record.record.offset)
                ended += 1
                held_bytes += record.held_bytes
        for ledger, offsets in by_ledger.items():
            ledger.deliver(offsets)
        self._load.remove(ended, held_bytes)
        self._observe_latency(records, now)
        if shipment.bisection is not None:
            shipment.bisection.accepted()
            self._continue_bisection(shipment.bisection)

    def _end_attached(self, leader: OpenRecord, attached: Iterable[OpenRecord]) -> None:
        for waiting in attached:
            if waiting.ledger.is_fenced:
                continue
            place = waiting.record
            if (place.topic, place.partition, place.offset) == (
                leader.record.topic,
                leader.record.partition,
                leader.record.offset,
            ):
                waiting.ledger.deliver([place.offset])
            else:
                waiting.ledger.duplicate(place.offset)
            self._load.remove(1, waiting.held_bytes)

    def _charge(self, records: Sequence[OpenRecord], attempt: Attempt, answer: Answer, began: float) -> None:
        """Charge each event one attempt, and let it wait for the next in smaller company."""
        for record in records:
            record.charges = [*(record.charges or ()), attempt]
            record.first_failed_at = record.first_failed_at or began
        attempts = max(record.attempts for record in records)
        plan = self._policy.after_failure(len(records), attempts, random.random())  # noqa: S311 - jitter
        if plan is None:
            self._dead_letter(records, DeadLetterReason.RETRIES_EXHAUSTED, answer)
            return
        now = time.monotonic()
        for start in range(0, len(records), plan.group_size):
            group = records[start : start + plan.group_size]
            self._parked.park(group, now + plan.wait_seconds, attempt)
            self._load.remove(len(group), sum(record.held_bytes for record in group))
        logger().emit(
            Event.BATCH_RETRYING,
            integration=self._integration,
            destination=self._destination.name,
            calls=len(records),
            attempt=attempts,
            error_type=answer.error,
            wait_seconds=round(plan.wait_seconds, 1),
        )
        overflow = self._parked.take_overflow()
        if overflow:
            self._load.add(len(overflow), sum(record.held_bytes for record in overflow))
            self._dead_letter(overflow, DeadLetterReason.RETRIES_EXHAUSTED, answer)

    def _take_back(self, attempts: Sequence[Attempt]) -> None:
        """These failures turned out to be the destination's fault: nothing is charged, nobody waits."""
        for group in self._parked.take_refunded(attempts):
            self._unpark(group)
        self._work.set()

    def _unpark(self, group: list[OpenRecord]) -> None:
        self._load.add(len(group), sum(record.held_bytes for record in group))
        self._urgent.append(Shipment(group))

    def _put_back(self, records: Sequence[OpenRecord], *, is_probe: bool = False) -> None:
        """They go again, uncharged; events charged earlier keep their company, a probe's goes behind the others."""
        if any(record.attempts for record in records):
            self._urgent.append(Shipment(records))
        else:
            self._batcher.put_back(records, at_end=is_probe)

    # -- who spoilt a refused batch
    # -------------------------------------------------------------------------------------

    def _refused(
        self,
        records: Sequence[OpenRecord],
        bisection: Bisection[OpenRecord] | None,
        answer: Answer,
        *,
        is_charged: bool,
    ) -> None:
        """Find out whose fault it is; ``is_charged``: the destination is known to take calls, so it is one of these."""
        if bisection is not None:
            known = len(bisection.guilty)
            bisection.refused()
            self._dead_letter(_of_living(bisection.guilty[known:]), _reason_of(answer), answer)
            self._continue_bisection(bisection)
        elif len(records) > 1:
            logger().emit(
                Event.BATCH_SPLIT,
                integration=self._integration,
                destination=self._destination.name,
                calls=len(records),
                status=answer.status,
            )
            self._continue_bisection(Bisection(records, evidence=is_charged))
        elif is_charged:
            self._dead_letter(records, _reason_of(answer), answer)
        else:
            self._put_back(records, is_probe=True)

    def _continue_bisection(self, bisection: Bisection[OpenRecord]) -> None:
        step = bisection.next()
        if step is None or any(record.ledger.is_fenced for record in step):
            self._give_up_bisection(bisection)
        else:
            self._urgent.append(Shipment(step, bisection=bisection))

    def _give_up_bisection(self, bisection: Bisection[OpenRecord], but_for: Sequence[OpenRecord] = ()) -> None:
        """It has ended, or the destination has turned: what is undecided goes again like any other call."""
        excepted = set(map(id, but_for))
        undecided = [record for record in _of_living(bisection.outstanding()) if id(record) not in excepted]
        if undecided:
            self._put_back(undecided)

    # -- ends
    # -----------------------------------------------------------------------------------------------------------

    def _dead_letter(self, records: Sequence[OpenRecord], reason: DeadLetterReason, answer: Answer) -> None:
        if not records:
            return
        self._refuse(
            [
                Refusal(
                    record=record.record,
                    ledger=record.ledger,
                    reason=reason,
                    stage=Stage.DELIVER,
                    detail=_detail_of(reason, answer),
                    error_class="RefusedError" if reason is not DeadLetterReason.RETRIES_EXHAUSTED else "UnhappyError",
                    opened=record,
                    http_status=answer.status,
                )
                for record in records
            ]
        )

    def _still_ours(self, records: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Without the records whose assignment ended meanwhile; what waited for those goes by itself."""
        ours: list[OpenRecord] = []
        for record in records:
            if not record.ledger.is_fenced:
                ours.append(record)
            elif (successor := self._in_flight.ended(record)) is not None:
                self.enqueue([successor])
        return ours

    def _without_fenced(self, shipment: Shipment) -> Shipment | None:
        ours = _of_living(shipment.records)
        if len(ours) == len(shipment.records):
            return shipment
        if shipment.bisection is not None:
            ours = _of_living(shipment.bisection.outstanding())
        return Shipment(ours) if ours else None


def _of_living(records: Iterable[OpenRecord]) -> list[OpenRecord]:
    """Those whose assignment has not ended."""
    return [record for record in records if not record.ledger.is_fenced]


def _reason_of(answer: Answer) -> DeadLetterReason:
    return DeadLetterReason.REJECTED_400 if answer.status == 400 else DeadLetterReason.REJECTED_4XX  # noqa: PLR2004


def _detail_of(reason: DeadLetterReason, answer: Answer) -> str:
    if reason is DeadLetterReason.RETRIES_EXHAUSTED:
        return f"every attempt failed while the destination took other calls; last: {answer.error}"
    return f"the destination refused this call alone with HTTP status {answer.status}, and takes others"
