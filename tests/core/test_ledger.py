"""The ledger against a model too simple to be wrong."""

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.account import Account
from streamer.core.ledger import PartitionLedger
from streamer.core.model import DeadLetterReason, FilterReason


@dataclass
class FakeRecord:
    """A record as far as a ledger looks at one."""

    offset: int
    topic: str = "t"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def ledger(position: int = 0) -> PartitionLedger:
    return PartitionLedger("t", 0, position, Account(), trusts_receipts=True)


def records(*offsets: int, timestamp: int = 0) -> list[FakeRecord]:
    return [FakeRecord(offset, timestamp=timestamp) for offset in offsets]


class LedgerMachine(RuleBasedStateMachine):
    """Records arrive with gaps and settle in any order, in any of the four ways."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ledger()
        self.next = 0
        self.open: set[int] = set()

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=5))
    def records_arrive(self, gaps: list[int]) -> None:
        arriving = []
        for gap in gaps:
            arriving.append(self.next + gap)
            self.next = arriving[-1] + 1
        self.ledger.open(records(*arriving), value_bytes=10)
        self.open.update(arriving)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def one_settles(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        match data.draw(st.integers(0, 3)):
            case 0:
                self.ledger.deliver([offset])
            case 1:
                self.ledger.duplicate(offset)
            case 2:
                self.ledger.filter(offset, FilterReason.DELETED)
            case _:
                self.ledger.dead_letter(offset, DeadLetterReason.DECODE_ERROR)
        self.open.remove(offset)

    @rule(beyond=st.integers(0, 5))
    def markers_pass(self, beyond: int) -> None:
        self.next += beyond
        self.ledger.advance(self.next)

    @invariant()
    def position_is_the_lowest_open_offset(self) -> None:
        assert self.ledger.position == min(self.open, default=self.next)

    @invariant()
    def everything_adds_up(self) -> None:
        assert self.ledger.account.unaccounted(self.ledger.open_records) == 0
        assert self.ledger.open_records == len(self.open)


TestLedger = LedgerMachine.TestCase


def test_settling_twice_is_our_mistake_and_raises() -> None:
    book = ledger()
    book.open(records(0), value_bytes=0)
    book.deliver([0])
    with pytest.raises(KeyError):
        book.deliver([0])


def test_a_fenced_ledger_hands_back_what_is_open_and_takes_no_late_answer() -> None:
    book = ledger()
    book.open(records(0, 1, 2), value_bytes=0)
    book.deliver([1])
    assert book.fence() == 2
    assert book.account.handed_back == 2
    assert book.account.unaccounted(in_flight=0) == 0
    with pytest.raises(KeyError):
        book.deliver([0])


def test_the_oldest_waiting_timestamp_follows_the_reads() -> None:
    book = ledger()
    book.open(records(0, 1, timestamp=100), value_bytes=0)
    book.open(records(2, 3, timestamp=200), value_bytes=0)
    assert book.oldest_waiting_timestamp(high_watermark=4) == 100
    book.deliver([0, 1])
    assert book.oldest_waiting_timestamp(high_watermark=4) == 200
    book.deliver([2, 3])
    assert book.oldest_waiting_timestamp(high_watermark=4) is None
    assert book.oldest_waiting_timestamp(high_watermark=5) == 200, "one more waits on Kafka"


def test_an_offset_below_the_expected_one_is_our_mistake() -> None:
    book = ledger(position=5)
    with pytest.raises(AssertionError):
        book.open(records(4), value_bytes=0)
