"""Who goes and who waits when several records carry one messageId."""

from collections.abc import Callable

import pytest

from streamer.core.records.account import Account
from streamer.core.records.in_flight import InFlight
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord

MakeRecord = Callable[..., OpenRecord]


class FakeRecord:
    """A record as far as in-flight ids look at one."""

    places = 0
    """How often somebody asked where one is."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic, self.partition, self._offset = topic, partition, offset
        self.timestamp = 0
        self.key: bytes | None = None
        self.value: bytes | None = b"{}"
        self.headers: list[tuple[str, bytes | None]] = []

    @property
    def offset(self) -> int:
        FakeRecord.places += 1
        return self._offset


@pytest.fixture
def make() -> MakeRecord:
    """Build a call in flight; partitions named by number share a ledger."""
    ledgers: dict[int, PartitionLedger] = {}

    def build(message_id: str, offset: int, partition: int = 0, body: bytes = b"{}") -> OpenRecord:
        ledger = ledgers.setdefault(partition, PartitionLedger("t", partition, 0, Account(), replay_until=0))
        return OpenRecord(FakeRecord("t", partition, offset), ledger, message_id, body)

    return build


def attached_to(leader: OpenRecord) -> list[OpenRecord]:
    return list(leader.attached or ())


def test_the_second_with_an_id_waits_and_ends_with_the_first_when_it_is_delivered(make: MakeRecord) -> None:
    flying = InFlight()
    first, second = make("a", 0), make("a", 1)
    assert flying.claim([first]) == [first]
    assert not flying.claim([second])
    assert flying.delivered([first]) == [first]
    assert attached_to(first) == [second]
    assert len(flying) == 0


def test_the_first_attached_takes_the_place_of_one_that_was_refused(make: MakeRecord) -> None:
    """A corrected copy must not die with the malformed one."""
    flying = InFlight()
    first, earlier, later = make("a", 0), make("a", 3), make("a", 9)
    for record in (first, earlier, later):
        flying.claim([record])
    assert flying.ended(first) is earlier
    assert flying.delivered([earlier]) == [earlier]
    assert attached_to(earlier) == [later]


def test_those_with_the_same_call_can_be_taken_out(make: MakeRecord) -> None:
    flying = InFlight()
    refused, copy, corrected, left = make("a", 0), make("a", 1), make("a", 2, body=b"[]"), make("a", 3, partition=1)
    flying.claim([refused, copy, corrected, left])
    left.ledger.fence()
    assert flying.take_equal(refused, 9) == [copy]
    assert flying.take_equal(refused, 9) == []
    assert flying.ended(refused) is corrected
    assert corrected.attached is None


def test_who_takes_the_place_is_the_first_that_is_still_ours(make: MakeRecord) -> None:
    flying = InFlight()
    first, left, ours, later = make("a", 0), make("a", 1, partition=1), make("a", 2), make("a", 3)
    flying.claim([first, left, ours, later])
    left.ledger.fence()
    assert flying.ended(first) is ours
    assert attached_to(ours) == [later]


class CountedBody(bytes):
    """A call that counts how often it is compared or hashed."""

    looks = 0

    def __eq__(self, other: object) -> bool:
        CountedBody.looks += 1
        return super().__eq__(other)

    def __hash__(self) -> int:
        CountedBody.looks += 1
        return super().__hash__()


@pytest.mark.parametrize("kinds", [1, 2, 20_000])
def test_any_number_of_records_with_one_failing_id_cost_as_much_each(make: MakeRecord, kinds: int) -> None:
    """A producer may write one event again and again, or give one id to everything. It took 35 s of the event loop."""
    flying = InFlight()
    records = [make("a", offset, body=CountedBody(b"%d" % (offset % kinds))) for offset in range(20_000)]
    CountedBody.looks = FakeRecord.places = 0
    [leader] = flying.claim(records)
    ended = 0
    successor: OpenRecord | None = leader
    while successor is not None:
        leader = successor
        ended += 1 + len(flying.take_equal(leader, 1_000))
        successor = flying.ended(leader)
    assert ended == len(records)
    assert CountedBody.looks <= 10 * len(records)
    assert FakeRecord.places <= 10 * len(records)


def test_nobody_waits_for_a_partition_that_has_left(make: MakeRecord) -> None:
    flying = InFlight()
    leaving, ours = make("a", 0, partition=1), make("a", 4, partition=2)
    flying.claim([leaving])
    flying.claim([ours])
    leaving.ledger.fence()
    assert flying.release_fenced(in_requests=[]) == [ours]
    assert not flying.claim([make("a", 5, partition=3)]), "the successor holds the id now"


def test_a_request_that_is_still_out_keeps_its_id_over_a_rebalance(make: MakeRecord) -> None:
    """The same record, read again, waits for the answer instead of being sent beside it."""
    flying = InFlight()
    sent = make("a", 0, partition=1)
    flying.claim([sent])
    sent.ledger.fence()
    assert flying.release_fenced(in_requests=[sent]) == []
    again = make("a", 0, partition=2)
    assert not flying.claim([again])
    assert flying.delivered([sent]) == [sent]
    assert attached_to(sent) == [again]


def test_attached_records_of_a_partition_that_left_are_forgotten(make: MakeRecord) -> None:
    flying = InFlight()
    ours, leaving = make("a", 0, partition=1), make("a", 7, partition=2)
    flying.claim([ours])
    flying.claim([leaving])
    leaving.ledger.fence()
    flying.release_fenced(in_requests=[ours])
    assert flying.delivered([ours]) == []
