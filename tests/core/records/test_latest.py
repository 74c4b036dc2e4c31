"""Where only the newest record of a key counts: an older one is never delivered after it, whatever happens between."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.outbox import Outbox, Shipment
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.delivery.shipping import Failure, Shipping
from streamer.core.model import FilterReason, Record
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from tests.core.records.test_custody import FAILED, REFUSED, CustodyMachine, FakeRecord

ANY = Wanted(max_bytes=1_000)


class One:
    """One partition whose records are states of users, one call a request."""

    def __init__(self) -> None:
        self.account = Account()
        self.ledger = PartitionLedger("t", 0, 0, self.account)
        self.custody = Custody(max_records=100, max_bytes=100_000, on_room=lambda: None)
        self.custody.keep_only_latest()
        self.parked = Parked(max_per_partition=100, max_bytes=100_000)
        batcher: Batcher[OpenRecord] = Batcher(max_bytes=1_000, max_calls=1, linger_seconds=0.0, envelope_bytes=0)
        self.shipping = Shipping(Outbox(batcher, self.parked), RetryPolicy((1.0,), (60.0,)), self.custody)
        self.delivered: list[str] = []

    def read(self, *states: str, ledger: PartitionLedger | None = None) -> None:
        """Take records such as ``ada1``: the user and which state it is."""
        ledger = ledger or self.ledger
        records = [FakeRecord(0, ledger.next_offset + number) for number in range(len(states))]
        self.custody.open(records, ledger)
        calls = [
            OpenRecord(record, ledger, state[:-1], state.encode())
            for record, state in zip(records, states, strict=True)
        ]
        self.shipping.add(self.custody.take(calls, [], ledger), 0.0)
        self.shipping.release_overtaken(0.0)

    def send(self) -> Shipment:
        shipment = self.shipping.next(0.0, ANY)
        assert shipment is not None
        return shipment

    def accept(self, shipment: Shipment) -> None:
        self.shipping.answered(shipment)
        (call,) = shipment.records
        self.delivered.append(call.body.decode())
        self.shipping.accepted(shipment, {call.ledger: [call]}, 0.0)

    def fail(self, shipment: Shipment, verdict: Verdict = Verdict.RETRY_CHARGED) -> int:
        """Returns how many dead letters come of it."""
        self.shipping.answered(shipment)
        attempt = Attempt(0.0, is_probe=False, calls=1, term=0)
        answer = REFUSED if verdict is Verdict.REFUSED else FAILED
        failure = Failure(attempt=attempt, verdict=verdict, answer=answer, began_at=0.0, now=0.0, jitter=0.5)
        return len(self.shipping.failed(shipment, failure).letters)

    def accept_all(self) -> list[str]:
        while (shipment := self.shipping.next(0.0, ANY)) is not None:
            self.accept(shipment)
        return self.delivered

    @property
    def superseded(self) -> int:
        return self.account.filtered[FilterReason.SUPERSEDED]


def test_of_the_states_that_wait_only_the_newest_is_sent() -> None:
    one = One()
    one.read("ada1", "bob1", "ada2", "ada3")
    assert one.accept_all() == ["ada3", "bob1"]
    assert one.superseded == 2
    assert one.ledger.position == 4


def test_a_newer_state_waits_while_an_older_one_is_in_a_request() -> None:
    one = One()
    one.read("ada1")
    request = one.send()
    one.read("ada2", "ada3")
    assert one.shipping.next(0.0, ANY) is None
    one.accept(request)
    assert one.accept_all() == ["ada1", "ada3"]
    assert one.superseded == 1


def test_an_older_state_is_not_sent_again_once_a_newer_one_is_here() -> None:
    for verdict in (Verdict.RETRY_CHARGED, Verdict.RETRY_FREE, Verdict.REFUSED, Verdict.REFUSED_FREE, Verdict.SPLIT):
        one = One()
        one.read("ada1")
        request = one.send()
        one.read("ada2")
        assert one.fail(request, verdict) == 0
        assert one.accept_all() == ["ada2"]
        assert one.superseded == 1


def test_a_parked_older_state_makes_way_at_once() -> None:
    one = One()
    one.read("ada1")
    one.fail(one.send())
    assert len(one.parked) == 1
    one.read("ada2")
    assert len(one.parked) == 0
    assert one.accept_all() == ["ada2"]
    assert one.ledger.position == 2


def test_after_a_rebalance_a_newer_state_still_waits_for_the_request_of_the_older_one() -> None:
    one = One()
    one.read("ada1")
    request = one.send()
    one.custody.fence(one.ledger)
    one.shipping.drop_fenced(0.0)
    again = PartitionLedger("t", 0, 0, one.account)
    one.read("ada1", "ada2", ledger=again)
    assert one.shipping.next(0.0, ANY) is None
    one.accept(request)
    assert one.accept_all() == ["ada1", "ada2"]
    assert again.position == 2


class LatestMachine(CustodyMachine):
    """The same integration, whose records are states; each key is in one partition, and a record stays what it is."""

    fates = ("call",)
    max_calls = 1

    def __init__(self) -> None:
        super().__init__()
        self.custody.keep_only_latest()
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        """Offsets by key, in the order in which the destination accepted them."""
        self.keys: dict[tuple[int, int], str] = {}
        self.dead: set[str] = set()
        """Keys of which a state was set aside: whether it was the last one depends."""

    def _message_id(self, record: Record, data: st.DataObject) -> str:
        place = record.partition, record.offset
        if place not in self.keys:
            self.keys[place] = f"{record.partition}{data.draw(st.sampled_from('ab'))}"
        return self.keys[place]

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def a_request_is_accepted(self, data: st.DataObject) -> None:
        shipment, _ = self._answered(data)
        self._accepted(shipment)

    @precondition(lambda self: not self.is_rebalancing)
    @rule()
    def everything_is_accepted_at_last(self) -> None:
        for shipment in list(self.requests):
            self.requests.pop(shipment)
            self.shipping.answered(shipment)
            self._accepted(shipment)
        self.time_passes(9.0)
        while (due := self.shipping.next(self.now, ANY)) is not None:
            self.shipping.answered(due)
            self._accepted(due)
        newest = {key: place for place, key in sorted(self.keys.items())}
        for key, (partition, offset) in newest.items():
            is_read = offset < self.ledgers[partition].next_offset
            assert not is_read or key in self.dead or self.sent[key][-1] == offset, key

    def _accepted(self, shipment: Shipment) -> None:
        (call,) = shipment.records
        self.sent[call.message_id].append(call.record.offset)
        self.shipping.accepted(shipment, {call.ledger: [call]}, self.now)

    @invariant()
    def a_key_is_in_one_request_at_most(self) -> None:
        keys = [call.message_id for call in self.shipping.in_requests()]
        assert len(keys) == len(set(keys))
        self.dead.update(letter.opened.message_id for letter in self.letters if letter.opened is not None)


TestLatest = LatestMachine.TestCase
TestLatest.settings = settings(max_examples=150)  # a fault may need ten steps in a certain order
