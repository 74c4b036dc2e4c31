"""Everything that has a record in hand, held against everything else: no record without a holder, none with two.

The parts are the real ones: ledgers, messageIds in flight, load, outbox, parked events, divided batches. Played are
only Kafka (records to read, assignments that come and go), the destination (any verdict, at any time) and the broker's
confirmations of dead letters.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamer.core.delivery import shipping
from streamer.core.delivery.answers import NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.outbox import Outbox, Shipment
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.delivery.shipping import MAX_EQUAL_AT_ONCE, Failure, Shipping
from streamer.core.model import DeadLetterReason, FilterReason, Record, Stage
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter

PARTITIONS = 3
MESSAGE_IDS = "abcdef"
"""Few, so that records often wait for one another."""

BODIES = (b"{}", b"[]")

FATES = ("call", "call", "call", "call", "filtered", "rejected", "known")
FAILED = answer_of_fault(NetworkFault.RESET)
REFUSED = answer_of_status(400, None)


class FakeRecord(NamedTuple):
    """A record as far as the core looks at one."""

    partition: int
    offset: int
    topic: str = "t"
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b"12"
    headers: tuple[tuple[str, bytes | None], ...] = ()


class CustodyMachine(RuleBasedStateMachine):
    """One integration that reads, sends, fails, sets aside and is rebalanced, in any order."""

    fates: tuple[str, ...] = FATES
    max_calls = 4

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.room = 0
        shipping.MAX_EQUAL_AT_ONCE = 2  # type: ignore[misc]
        self.custody = Custody(max_records=6, max_bytes=1_000, on_room=self._note_room)
        self.parked = Parked(max_per_partition=2, max_bytes=1_000)
        self.batcher: Batcher[OpenRecord] = Batcher(
            max_bytes=1_000, max_calls=self.max_calls, linger_seconds=0.0, envelope_bytes=0
        )
        self.shipping = Shipping(Outbox(self.batcher, self.parked), RetryPolicy((1.0,), (2.0, 3.0)), self.custody)
        self.requests: dict[Shipment, Attempt] = {}
        self.letters: list[PendingLetter] = []
        self.charged: list[Attempt] = []
        self.accounts = [Account() for _ in range(PARTITIONS)]
        self.ends = [0] * PARTITIONS
        self.ledgers: dict[int, PartitionLedger] = {}
        self.stored = [0] * PARTITIONS
        self.is_rebalancing = False

    def teardown(self) -> None:
        shipping.MAX_EQUAL_AT_ONCE = MAX_EQUAL_AT_ONCE  # type: ignore[misc]

    def _note_room(self) -> None:
        self.room += 1

    @initialize()
    def all_partitions_are_assigned(self) -> None:
        for partition in range(PARTITIONS):
            self._assign(partition)

    def _assign(self, partition: int) -> None:
        """As after a commit and a restart: from the position that the last owner had."""
        account = self.accounts[partition]
        self.ledgers[partition] = PartitionLedger("t", partition, self.stored[partition], account)

    @precondition(lambda self: self.ledgers and not self.custody.load.is_full)
    @rule(data=st.data())
    def records_are_read(self, data: st.DataObject) -> None:
        ledger = self.ledgers[data.draw(st.sampled_from(sorted(self.ledgers)))]
        fates = data.draw(st.lists(st.sampled_from(self.fates), min_size=1, max_size=5))
        first = ledger.next_offset
        read = [FakeRecord(ledger.partition, first + number) for number in range(len(fates))]
        calls, letters = [], []
        for record, fate in zip(self.custody.open(read, ledger), fates, strict=True):
            call = OpenRecord(record, ledger, self._message_id(record, data), data.draw(st.sampled_from(BODIES)))
            elsewhere = ("t", PARTITIONS, 0)
            if fate == "filtered":
                self.custody.filter(record, ledger, FilterReason.DELETED)
            elif fate == "rejected":
                letters.append(rejected(record, ledger))
            elif fate == "known":
                place = data.draw(st.sampled_from([call.place, elsewhere]))
                assert self.custody.settle_known(call, (*place, 0))
            else:
                calls.append(call)
        self.shipping.add(self.custody.take(calls, letters, ledger), self.now)
        self.shipping.release_overtaken(self.now)
        self.letters += letters

    def _message_id(self, _record: Record, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(MESSAGE_IDS))

    @rule(seconds=st.sampled_from([0.0, 1.0, 2.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.shipping.release_due(self.now)

    @rule(wanted=st.builds(Wanted, max_bytes=st.just(1_000)))
    def a_request_begins(self, wanted: Wanted) -> None:
        due = self.shipping.due_at(wanted)
        shipment = self.shipping.next(self.now, wanted)
        if not wanted.is_probe and not wanted.is_unrelated:
            assert (shipment is not None) == (due is not None and due <= self.now)
        if shipment is not None:
            self.requests[shipment] = Attempt(self.now, is_probe=wanted.is_probe, calls=len(shipment.records), term=0)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def a_request_is_accepted(self, data: st.DataObject) -> None:
        shipment, _ = self._answered(data)
        by_ledger: dict[PartitionLedger, list[OpenRecord]] = {}
        for call in shipment.records:
            by_ledger.setdefault(call.ledger, []).append(call)
        self.shipping.accepted(shipment, by_ledger, self.now)

    @precondition(lambda self: self.requests)
    @rule(
        data=st.data(),
        verdict=st.sampled_from([verdict for verdict in Verdict if verdict is not Verdict.DELIVERED]),
    )
    def a_request_fails(self, data: st.DataObject, verdict: Verdict) -> None:
        shipment, attempt = self._answered(data)
        if verdict is Verdict.RETRY_CHARGED:
            self.charged.append(attempt)
        is_refused = verdict in {Verdict.REFUSED, Verdict.REFUSED_FREE, Verdict.SPLIT}
        answer = REFUSED if is_refused else FAILED
        failure = Failure(attempt=attempt, verdict=verdict, answer=answer, began_at=1.0, now=self.now, jitter=0.5)
        self.letters += self.shipping.failed(shipment, failure).letters

    def _answered(self, data: st.DataObject) -> tuple[Shipment, Attempt]:
        shipment = list(self.requests)[data.draw(st.integers(0, len(self.requests) - 1))]
        self.shipping.answered(shipment)
        return shipment, self.requests.pop(shipment)

    @precondition(lambda self: self.charged)
    @rule()
    def charges_are_taken_back(self) -> None:
        for attempt in self.charged:
            attempt.is_refunded = True
        self.shipping.release_refunded(self.charged)
        self.charged = []

    @precondition(lambda self: self.letters)
    @rule(data=st.data())
    def a_dead_letter_is_confirmed(self, data: st.DataObject) -> None:
        letter = self.letters.pop(data.draw(st.integers(0, len(self.letters) - 1)))
        before = {id(call) for call in self.custody.attached()}
        shared = self.shipping.written(letter, self.now)
        self.letters += shared
        for other in shared:
            assert letter.opened is not None
            assert other.opened is not None
            assert id(other.opened) in before
            assert (other.opened.message_id, other.opened.body) == (letter.opened.message_id, letter.opened.body)
            assert (other.reason, other.http_status) == (letter.reason, letter.http_status)

    @precondition(lambda self: self.ledgers)
    @rule(data=st.data())
    def an_assignment_ends(self, data: st.DataObject) -> None:
        """Its records may stay where they are for a while: a rebalance first waits for requests."""
        ledger = self.ledgers.pop(data.draw(st.sampled_from(sorted(self.ledgers))))
        open_before, self.stored[ledger.partition] = ledger.open_records, ledger.position
        assert self.custody.fence(ledger) == open_before
        self.is_rebalancing = True

    @rule()
    def a_rebalance_is_through(self) -> None:
        self.letters = [letter for letter in self.letters if not letter.ledger.is_fenced]
        self.shipping.drop_fenced(self.now)
        self.is_rebalancing = False
        for partition in range(PARTITIONS):
            if partition not in self.ledgers:
                self._assign(partition)

    def _holders(self) -> Iterator[tuple[str, OpenRecord]]:
        yield from (("sent or waiting", call) for call in self.shipping.calls())
        yield from (("attached", call) for call in self.custody.attached())
        yield from (("set aside", letter.opened) for letter in self.letters if letter.opened is not None)

    @invariant()
    def every_open_record_has_one_holder(self) -> None:
        held = Counter(call.place for _, call in self._holders() if not call.ledger.is_fenced)
        held.update((record.topic, record.partition, record.offset) for record in self._rejected())
        places = {
            ("t", ledger.partition, offset)
            for ledger in self.ledgers.values()
            for offset in range(ledger.next_offset)
            if ledger.is_open(offset)
        }
        assert held == Counter(places)

    def _rejected(self) -> list[Record]:
        return [letter.record for letter in self.letters if letter.opened is None and not letter.ledger.is_fenced]

    @invariant()
    def the_load_is_what_is_held_but_for_what_failed_alone(self) -> None:
        for ledger in self.ledgers.values():
            calls = [call for _, call in self._holders() if call.ledger is ledger]
            letters = [letter for letter in self.letters if letter.ledger is ledger and letter.opened is None]
            alone = [call for call in self._parked_alone() if call.ledger is ledger]
            records = len(calls) + len(letters) - len(alone)
            kept = sum(call.kept_bytes for call in calls) - sum(call.kept_bytes for call in alone)
            kept += sum(letter.kept_bytes for letter in letters)
            assert self.custody.load.of(ledger) == (records, kept)
        shares = [self.custody.load.of(ledger) for ledger in self.ledgers.values()]
        assert self.custody.load.records == sum(records for records, _ in shares)
        assert self.custody.load.bytes == sum(kept for _, kept in shares)

    def _parked_alone(self) -> list[OpenRecord]:
        return [call for _, _, group in self.parked._heap if group.is_alone for call in group.records]

    @invariant()
    def ids_in_flight_are_those_of_held_records(self) -> None:
        leaders = {id(call) for call in self.custody.leaders() if not call.ledger.is_fenced}
        going = {id(call) for name, call in self._holders() if name != "attached" and not call.ledger.is_fenced}
        shared = {id(letter.opened) for letter in self.letters if letter.shares_verdict}
        assert leaders - shared == going - shared
        assert leaders <= going

    @precondition(lambda self: not self.is_rebalancing)
    @invariant()
    def an_ended_assignment_keeps_ids_only_in_requests(self) -> None:
        fenced = {id(call) for call in self.custody.leaders() if call.ledger.is_fenced}
        assert fenced <= {id(call) for call in self.shipping.in_requests()}

    @invariant()
    def everything_adds_up(self) -> None:
        for partition, account in enumerate(self.accounts):
            ledger = self.ledgers.get(partition)
            assert account.unaccounted(ledger.open_records if ledger is not None else 0) == 0


def rejected(record: Record, ledger: PartitionLedger) -> PendingLetter:
    return PendingLetter(
        record=record,
        ledger=ledger,
        reason=DeadLetterReason.DECODE_ERROR,
        stage=Stage.DECODE,
        detail="planted",
        error_class="DecodeError",
    )


TestCustody = CustodyMachine.TestCase
TestCustody.settings = settings(max_examples=150)  # a fault may need ten steps in a certain order
