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

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        self.timestamp = 0
        self.key: bytes | None = None
        self.value: bytes | None = b"{}"
        self.headers: list[tuple[str, bytes | None]] = []


@pytest.fixture
def make() -> MakeRecord:
    """Build a call in flight; partitions named by number share a ledger."""
    ledgers: dict[int, PartitionLedger] = {}

    def build(message_id: str, offset: int, partition: int = 0) -> OpenRecord:
        ledger = ledgers.setdefault(partition, PartitionLedger("t", partition, 0, Account(), replay_until=0))
        return OpenRecord(FakeRecord("t", partition, offset), ledger, message_id, b"{}")

    return build


def test_the_second_with_an_id_waits_and_ends_with_the_first_when_it_is_delivered(make: MakeRecord) -> None:
    flying = InFlight()
    first, second = make("a", 0), make("a", 1)
    assert flying.claim([first]) == [first]
    assert not flying.claim([second])
    assert flying.delivered([first]) == [first]
    assert first.attached == [second]
    assert len(flying) == 0


def test_the_lowest_attached_takes_the_place_of_one_that_was_refused(make: MakeRecord) -> None:
    """A corrected copy must not die with the malformed one."""
    flying = InFlight()
    first, later, earlier = make("a", 0), make("a", 9), make("a", 3)
    for record in (first, later, earlier):
        flying.claim([record])
    assert flying.ended(first) is earlier
    assert flying.delivered([earlier]) == [earlier]
    assert earlier.attached == [later]


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
    assert sent.attached == [again]


def test_attached_records_of_a_partition_that_left_are_forgotten(make: MakeRecord) -> None:
    flying = InFlight()
    ours, leaving = make("a", 0, partition=1), make("a", 7, partition=2)
    flying.claim([ours])
    flying.claim([leaving])
    leaving.ledger.fence()
    flying.release_fenced(in_requests=[ours])
    assert flying.delivered([ours]) == []
