"""A few events that a destination cannot stand, among many that it takes: in virtual time, with the parts that decide.

The real parts are the outbox, what becomes of calls, the records' custody and the destination. Played are Kafka, which
has given everything at the start or gives it at a rate, and a receiver with a latency and an answer for each request.
"""

import heapq
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import pytest

from streamer.core.delivery.answers import Answer, NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.outbox import Outbox, Shipment
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.delivery.shipping import Failure, Shipping
from streamer.core.delivery.transitions import State
from streamer.core.model import DeadLetterReason, Record
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord

LATENCY_SECONDS: Final = 0.05
TIMEOUT_SECONDS: Final = 2.0
POLICY: Final = RetryPolicy((1.0, 4.0, 15.0), (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 21600.0))
OK: Final = answer_of_status(200, None)
HANGS: Final = answer_of_fault(NetworkFault.TIMEOUT)
HUNG: Final = answer_of_fault(NetworkFault.HUNG)

ANSWERS_TO_ONE_EVENT: Final = {
    "blocked by a firewall": answer_of_status(403, None),
    "redirected": answer_of_status(302, None),
    "web page": answer_of_fault(NetworkFault.WEB_PAGE),
    "asked to wait": answer_of_status(503, 60.0),
    "too many requests": answer_of_status(429, 30.0),
    "server error": answer_of_status(500, None),
    "hangs": HANGS,
    "refused": answer_of_status(400, None),
}


class VirtualRecord(NamedTuple):
    """As much of a record as the core looks at."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 1_700_000_000_000
    value: bytes = b"{}"


class Sender:
    """One integration: its records, and what becomes of them."""

    def __init__(self, name: str, *, partitions: int = 4, max_calls: int = 100, max_parked: int = 2_000) -> None:
        self.name = name
        self.ledgers = [PartitionLedger(name, number, 0, Account()) for number in range(partitions)]
        self.custody = Custody(max_records=200_000, max_bytes=1 << 30, on_room=lambda: None)
        parked = Parked(max_per_partition=max_parked, max_bytes=1 << 26)
        batcher: Batcher[OpenRecord] = Batcher(
            max_bytes=480_000, max_calls=max_calls, linger_seconds=0.1, envelope_bytes=100
        )
        self.shipping = Shipping(Outbox(batcher, parked), POLICY, self.custody)
        self.delivered_at: dict[str, float] = {}
        self.dead_lettered: dict[str, DeadLetterReason] = {}
        self._numbers = itertools.count()

    def read(self, count: int, now: float, *, partition: int | None = None, mark: str = "good") -> list[str]:
        """Take so many records, from all partitions in turn or from one; their messageIds begin with ``mark``."""
        message_ids = []
        by_ledger: defaultdict[PartitionLedger, list[str]] = defaultdict(list)
        for number in itertools.islice(self._numbers, count):
            message_id = f"{mark}_{self.name}_{number}"
            message_ids.append(message_id)
            by_ledger[self.ledgers[number % len(self.ledgers) if partition is None else partition]].append(message_id)
        for ledger, ids in by_ledger.items():
            first = ledger.next_offset
            records = [
                cast("Record", VirtualRecord(ledger.topic, ledger.partition, first + index))
                for index in range(len(ids))
            ]
            self.custody.open(records, ledger)
            calls = [
                OpenRecord(record, ledger, message_id, b"{}") for record, message_id in zip(records, ids, strict=True)
            ]
            self.shipping.add(self.custody.take(calls, [], ledger), now)
        return message_ids

    def accepted(self, shipment: Shipment, now: float) -> None:
        by_ledger: defaultdict[PartitionLedger, list[OpenRecord]] = defaultdict(list)
        for call in shipment.records:
            by_ledger[call.ledger].append(call)
            assert call.message_id not in self.delivered_at, "delivered twice"
            self.delivered_at[call.message_id] = now
        self.shipping.accepted(shipment, by_ledger, now)

    def failed(self, shipment: Shipment, failure: Failure) -> None:
        for letter in self.shipping.failed(shipment, failure).letters:
            assert letter.opened is not None
            self.dead_lettered[letter.opened.message_id] = letter.reason
            self.shipping.written(letter, failure.now)

    def open(self) -> int:
        return sum(ledger.open_records for ledger in self.ledgers)


@dataclass
class Request:
    """What the receiver saw."""

    at: float
    message_ids: list[str]
    answer: Answer


class Simulation:
    """Integrations that share a destination."""

    def __init__(
        self,
        answer: Callable[[float, Sequence[str]], Answer],
        senders: Sequence[Sender],
        *,
        max_in_flight: int = 16,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.answer = answer
        self.timeout_seconds = timeout_seconds
        self.senders = senders
        self.now = 0.0
        self.machine = DestinationMachine(
            max_in_flight=max_in_flight, max_batch_bytes=480_000, max_batch_calls=1_000, now=0.0
        )
        self.requests: list[Request] = []
        self.states: set[State] = set()
        self._jitter = random.Random(7).random
        self._numbers = itertools.count()
        self._in_flight: list[tuple[float, int, Sender, Shipment, Attempt, Request]] = []

    def run(self, until: float, arrive: Callable[[], object] | None = None, every: float = 0.1) -> None:
        """Let time pass; ``arrive`` is called every so many seconds."""
        arrival = self.now + every if arrive is not None else math.inf
        self._end_hanging()
        self._end_requests()
        while True:
            self._begin_requests()
            # Now and then, as the service does; what hangs makes no event of its own.
            time = min(self._next_wake(), arrival, self.now + 0.25 if self._in_flight else math.inf)
            if time > until:
                break
            self.now = max(self.now, time)
            if arrive is not None and self.now >= arrival:
                arrive()
                arrival += every
            self._end_hanging()
            self._end_requests()
        self.now = until

    def _next_wake(self) -> float:
        times = [self._in_flight[0][0]] if self._in_flight else []
        wanted = self.machine.wanted()
        dues = [due for sender in self.senders if (due := sender.shipping.due_at(wanted)) is not None]
        opens_at = self.machine.wake_at(self.now)
        if dues and opens_at is not None:
            times.append(max(opens_at, min(dues)))
        return min(times, default=math.inf)

    def _begin_requests(self) -> None:
        for sender in self.senders:
            sender.shipping.release_due(self.now)
        waiting = list(self.senders)
        while waiting and self.machine.can_start(self.now):
            chosen = self.machine.whose_turn([sender.name for sender in waiting])
            sender = next(sender for sender in waiting if sender.name == chosen)
            shipment = sender.shipping.next(self.now, self.machine.wanted())
            waiting.remove(sender)
            if shipment is None:
                continue
            waiting.append(sender)
            attempt = self.machine.start(
                self.now,
                len(shipment.records),
                is_retry=shipment.is_retry,
                is_resend=shipment.is_resend,
                integration=sender.name,
            )
            message_ids = [call.message_id for call in shipment.records]
            answer = self.answer(self.now, message_ids)
            seconds = self.timeout_seconds if answer is HANGS else LATENCY_SECONDS
            request = Request(self.now, message_ids, answer)
            self.requests.append(request)
            heapq.heappush(
                self._in_flight, (self.now + seconds, next(self._numbers), sender, shipment, attempt, request)
            )

    def _end_requests(self) -> None:
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, sender, shipment, attempt, request = heapq.heappop(self._in_flight)
            verdict = self.machine.finish(attempt, request.answer, self.now, self._jitter(), 3 * attempt.calls + 100)
            refunds = self.machine.take_refunds()
            sender.shipping.answered(shipment)
            for each in self.senders:
                each.shipping.release_refunded(refunds)
            self.states.add(self.machine.state)
            if verdict is Verdict.DELIVERED:
                sender.accepted(shipment, self.now)
                self._end_hanging()
                continue
            failure = Failure(
                attempt=attempt,
                verdict=verdict,
                answer=request.answer,
                began_at=request.at,
                now=self.now,
                jitter=self._jitter(),
            )
            sender.failed(shipment, failure)

    def _end_hanging(self) -> None:
        """Give up at once what need not be waited for any longer."""
        hanging = set(self.machine.hanging(self.now))
        if not hanging:
            return
        for index, (_, number, sender, shipment, attempt, request) in enumerate(self._in_flight):
            if attempt in hanging:
                request.answer = HUNG
                self._in_flight[index] = self.now, number, sender, shipment, attempt, request
        heapq.heapify(self._in_flight)


def answering(marked: Answer) -> Callable[[float, Sequence[str]], Answer]:
    """This to every request that carries a marked event, and else 200."""
    return lambda _, message_ids: marked if any(each.startswith("bad") for each in message_ids) else OK


def good_of(*senders: Sender) -> list[float]:
    """When each good event was delivered."""
    return [at for sender in senders for each, at in sender.delivered_at.items() if each.startswith("good")]


@pytest.mark.parametrize("kind", ANSWERS_TO_ONE_EVENT)
def test_one_event_delays_its_neighbours_only(kind: str) -> None:
    """4,000 events, one of them bad, and another integration that shares the destination: it never closes."""
    sender, other = Sender("surveys"), Sender("other")
    simulation = Simulation(answering(ANSWERS_TO_ONE_EVENT[kind]), [sender, other])
    other.read(100, 0.0)
    simulation.run(1.0)
    sender.read(1_500, 1.0)
    bad = sender.read(1, 1.0, mark="bad")[0]
    sender.read(2_499, 1.0)
    simulation.run(600.0, lambda: other.read(10, simulation.now))
    assert simulation.states == {State.OK}
    assert len(good_of(sender)) == 3_999
    wait = ANSWERS_TO_ONE_EVENT[kind].retry_after_seconds or 0.0
    assert sorted(good_of(sender))[-100] < 3.0, "all but the batch of the bad one"
    assert max(good_of(sender)) < 35.0 + 3 * wait
    late = [at for at in good_of(other) if at > 1.0]
    assert max(b - a for a, b in itertools.pairwise(sorted(late))) < 1.0, "the other integration never stops"
    if kind == "refused":
        assert sender.dead_lettered == {bad: DeadLetterReason.REJECTED_400}
    else:
        assert sender.open() == 1
        assert len(simulation.requests) < 6_500


@pytest.mark.parametrize("kind", ANSWERS_TO_ONE_EVENT)
def test_an_event_that_never_passes_ends_as_a_dead_letter_after_the_schedule(kind: str) -> None:
    sender = Sender("surveys")
    simulation = Simulation(answering(ANSWERS_TO_ONE_EVENT[kind]), [sender])
    bad = sender.read(1, 0.0, partition=0, mark="bad")[0]
    simulation.run(12 * 3_600.0, lambda: sender.read(1, simulation.now), every=20.0)
    reason = DeadLetterReason.REJECTED_400 if kind == "refused" else DeadLetterReason.RETRIES_EXHAUSTED
    assert sender.dead_lettered == {bad: reason}


@pytest.mark.parametrize("kind", ANSWERS_TO_ONE_EVENT)
def test_failing_events_at_the_head_of_a_topic_do_not_hide_the_good_ones_behind(kind: str) -> None:
    """At the start, when nothing shows yet that the destination works."""
    sender = Sender("surveys", partitions=1)
    simulation = Simulation(answering(ANSWERS_TO_ONE_EVENT[kind]), [sender])
    sender.read(300, 0.0, mark="bad")
    sender.read(2_000, 0.0)
    simulation.run(400.0)
    assert len(good_of(sender)) == 2_000
    wait = ANSWERS_TO_ONE_EVENT[kind].retry_after_seconds or 0.0
    assert max(good_of(sender)) < 90.0 + 4 * wait
    assert sorted(good_of(sender))[1_800] < 20.0 + 3 * wait


@pytest.mark.parametrize("kind", ["blocked by a firewall", "redirected", "web page", "server error", "hangs"])
def test_a_partition_in_which_everything_fails_does_not_close_the_destination_for_the_others(kind: str) -> None:
    """Probes are taken from other partitions, from calls that failed before, and from the other integration."""
    sender, other = Sender("surveys", partitions=2), Sender("other")
    simulation = Simulation(answering(ANSWERS_TO_ONE_EVENT[kind]), [sender, other])
    sender.read(600, 0.0, partition=0, mark="bad")
    sender.read(50, 0.0, partition=1)
    sender.read(600, 0.0, partition=0, mark="bad")
    other.read(500, 0.0)
    simulation.run(600.0 if kind == "hangs" else 100.0)
    assert len(good_of(sender)) == 50
    assert len(good_of(other)) == 500


@pytest.mark.parametrize("answer", [answer_of_status(401, None), answer_of_status(302, None)])
def test_a_wrong_set_up_is_found_with_few_requests_and_costs_no_attempt(answer: Answer) -> None:
    sender = Sender("surveys")
    simulation = Simulation(lambda now, _: answer if 10.0 <= now < 20.0 else OK, [sender])
    simulation.run(60.0, lambda: sender.read(20, simulation.now))
    refused = [request for request in simulation.requests if request.answer is answer]
    assert len(refused) < 12
    resumed_at = min(request.at for request in simulation.requests if request.at >= 20.0)
    assert resumed_at < 26.0, "ten seconds of 401 cost at most 15"
    assert sender.open() < 50
    assert {call.attempts for call in sender.shipping.calls()} <= {0}


def test_a_destination_that_is_too_busy_gets_the_wait_it_asks_for() -> None:
    """One batch more may go after the first 429, and what was in flight."""
    busy = answer_of_status(429, 20.0)
    sender = Sender("surveys")
    simulation = Simulation(lambda now, _: busy if 10.0 <= now < 12.0 else OK, [sender])
    simulation.run(60.0, lambda: sender.read(20, simulation.now))
    asked = [request.at for request in simulation.requests if request.answer is busy]
    assert len(asked) <= 3
    assert not [request for request in simulation.requests if asked[-1] + 1.0 < request.at < asked[-1] + 20.0]
    assert {call.attempts for call in sender.shipping.calls()} <= {0}


@pytest.mark.parametrize(("rate", "timeout"), [(100, 15.0), (500, 15.0), (500, 2.0)])
def test_events_that_hang_take_a_fifth_of_the_others_rate_at_most(rate: int, timeout: float) -> None:
    """One in two hundred hangs until the timeout. With the default limits, at 500 events a second."""
    delivered = {}
    for mark in ("good", "bad"):
        sender = Sender("surveys", max_calls=1_000)
        simulation = Simulation(answering(HANGS), [sender], timeout_seconds=timeout)
        for tenth in range(1_200):
            bad = (tenth + 1) * rate // 2_000 - tenth * rate // 2_000
            sender.read(bad, simulation.now, mark=mark)
            sender.read(rate // 10 - bad, simulation.now)
            simulation.run((tenth + 1) / 10)
        delivered[mark] = sum(at > 20.0 for at in good_of(sender))
    assert delivered["bad"] > 0.8 * delivered["good"]
    assert simulation.machine.limit >= 8, "the limit is not lowered by events that hang"


def test_integrations_take_turns_however_many_events_of_one_of_them_hang() -> None:
    hanging, other = Sender("hanging"), Sender("other")
    simulation = Simulation(answering(HANGS), [hanging, other])
    other.read(100, 0.0)
    simulation.run(1.0)
    hanging.read(5_000, 1.0, mark="bad")
    simulation.run(60.0, lambda: other.read(50, simulation.now), every=0.5)
    late = sorted(at for at in good_of(other) if at > 1.0)
    assert len(late) > 0.95 * 50 * 2 * 58
    assert max(b - a for a, b in itertools.pairwise(late)) <= TIMEOUT_SECONDS + 1.0
