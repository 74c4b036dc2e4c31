"""The ledger against a model too simple to be wrong."""

import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.delivery.attempt import Attempt
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.statement import Run, Statement, decode


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


def ledger(position: int = 0, stated: Statement | None = None) -> PartitionLedger:
    return PartitionLedger("t", 0, position, Account(), replay_until=0, stated=stated)


def ledger_until(end: int) -> PartitionLedger:
    """One that ends before this offset."""
    return PartitionLedger("t", 0, 0, Account(), until=end)


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
    assert book.oldest_waiting_timestamp(high_watermark=4) is None, "nothing waits"
    assert book.oldest_waiting_timestamp(high_watermark=5) == 200, "one more waits on Kafka"


def test_an_offset_below_the_expected_one_is_our_mistake() -> None:
    book = ledger(position=5)
    with pytest.raises(AssertionError):
        book.open(records(4), value_bytes=0)


def test_behind_a_straggler_memory_follows_what_is_open_and_not_what_was_read() -> None:
    """A record may wait hours for its next attempt; millions that were settled above it must not pile up."""
    book = ledger()
    book.open(records(0), value_bytes=0)
    for start in range(1, 100_000, 100):
        offsets = range(start, start + 100)
        book.open(records(*offsets), value_bytes=0)
        book.deliver(offsets)
    assert book.position == 0
    assert sys.getsizeof(book._offsets.open) < 20_000


STATED = Statement(position=10, horizon=20, open=(Run(10, 11, 5), Run(15, 17, 0)), fingerprint=100)
"""10, 15 and 16 are open, the others up to 19 are settled."""


def restored(*offsets: int, timestamp: int = 100) -> PartitionLedger:
    book = ledger(position=10, stated=STATED)
    if offsets:
        book.open(records(*offsets, timestamp=timestamp), value_bytes=0)
    return book


def stated_by(book: PartitionLedger) -> Statement:
    position, metadata = book.to_commit()
    statement = decode(metadata, position)
    assert statement is not None
    return statement


def test_what_an_earlier_owner_settled_is_left_out_and_not_consumed() -> None:
    book = ledger(position=10, stated=STATED)
    read = [FakeRecord(offset, timestamp=100, value=b"12345") for offset in range(10, 22)]
    assert [record.offset for record in book.open(read, value_bytes=60)] == [10, 15, 16, 20, 21]
    assert (book.account.consumed, book.account.consumed_bytes, book.account.known_settled) == (5, 25, 7)
    assert book.account.unaccounted(in_flight=5) == 0
    assert book.next_offset == 22


def test_a_read_of_nothing_but_settled_records_opens_nothing() -> None:
    book = restored(10)
    assert book.open(records(11, 12, 13), value_bytes=0) == []
    assert (book.position, book.next_offset, book.open_records) == (10, 14, 1)


def test_without_a_statement_the_records_are_handed_back_as_they_came() -> None:
    read = records(3, 4)
    assert ledger().open(read, value_bytes=0) is read


def test_another_record_at_the_position_means_another_topic() -> None:
    book = restored()
    assert not book.verify(FakeRecord(10, timestamp=101))
    assert len(book.open(records(10, 11, timestamp=101), value_bytes=0)) == 2, "nothing is left out"


@pytest.mark.parametrize("first", [11, 500])
def test_when_the_record_at_the_position_is_gone_the_statement_is_not_relied_on(first: int) -> None:
    book = restored()
    assert book.verify(FakeRecord(first, timestamp=100)), "a compacted topic is still the same topic"
    assert len(book.open(records(first, first + 1, timestamp=100), value_bytes=0)) == 2


def test_passing_the_position_without_its_record_drops_the_statement() -> None:
    """Retention took it, and perhaps the topic with it."""
    book = restored()
    book.advance(12)
    assert book.position == 12, "it does not wait for a record that will not come"
    assert len(book.open(records(12, 13, timestamp=100), value_bytes=0)) == 2


def test_a_client_that_has_not_moved_yet_does_not_drop_the_statement() -> None:
    book = restored()
    book.advance(10)
    assert len(book.open(records(10, 11, timestamp=100), value_bytes=0)) == 1


def test_a_statement_about_another_position_is_of_no_use() -> None:
    book = ledger(position=12, stated=STATED)
    assert stated_by(book) == Statement(12, 12, (), None)
    assert len(book.open(records(12, 13, timestamp=100), value_bytes=0)) == 2


def test_a_restored_ledger_states_again_what_it_has_not_read_again() -> None:
    """A second crash before everything was read again must not cost what the first one did not."""
    assert stated_by(restored()) == STATED
    assert stated_by(restored(10)) == STATED
    assert stated_by(restored(10, 11, 15, 16)) == STATED


def test_what_it_learns_is_added_to_what_it_was_told() -> None:
    book = restored(10, 15)
    book.deliver([15])
    assert stated_by(book) == Statement(10, 20, (Run(10, 11, 5), Run(16, 17, 0)), 100)
    book.open(records(16, 24, 25), value_bytes=0)
    book.deliver([25])
    assert stated_by(book) == Statement(10, 26, (Run(10, 11, 5), Run(16, 17, 0), Run(24, 25, 0)), 100)


def test_the_position_waits_at_the_last_record_read_while_settled_ones_follow() -> None:
    """So the statement keeps a fingerprint, without which nobody could rely on it after the next crash."""
    book = restored(10)
    book.open(records(12, timestamp=130), value_bytes=0)
    book.deliver([10])
    assert stated_by(book) == Statement(12, 20, (Run(15, 17, 0),), 130)
    heir = ledger(12, stated_by(book))
    assert heir.verify(FakeRecord(12, timestamp=130))
    assert [record.offset for record in heir.open(records(12, 15, 19, timestamp=130), value_bytes=0)] == [15]


def test_the_position_catches_up_once_the_statement_is_passed() -> None:
    book = restored(10, 15, 16, 19)
    book.deliver([10, 15, 16])
    assert book.position == 20
    assert stated_by(book) == Statement(20, 20, (), None)


def test_markers_at_the_end_of_a_statement_end_it() -> None:
    book = restored(10)
    book.deliver([10])
    book.advance(19)
    assert book.position == 10
    book.advance(20)
    assert book.position == 20


def test_the_fingerprint_is_that_of_the_record_at_the_position() -> None:
    book = ledger()
    book.open([FakeRecord(0, timestamp=7), FakeRecord(3, timestamp=9), FakeRecord(4, timestamp=11)], value_bytes=0)
    book.deliver([0, 4])
    assert stated_by(book) == Statement(3, 5, (Run(3, 4, 0),), 9)


def test_nothing_is_committed_after_the_assignment() -> None:
    """What was open has been handed back, so the ledger looks as if all of it had its outcome."""
    book = ledger()
    book.open(records(0), value_bytes=0)
    book.fence()
    with pytest.raises(AssertionError):
        book.to_commit()


def attempt() -> Attempt:
    return Attempt(started_at=0.0, is_probe=False, calls=1, term=0)


def test_attempts_outlive_the_assignment() -> None:
    book = restored(10, 15)
    [charged, fresh] = [OpenRecord(FakeRecord(offset), book, str(offset), b"") for offset in (10, 15)]
    assert (charged.attempts, fresh.attempts) == (5, 0)
    charged.charge(attempt(), failed_at=1.0)
    fresh.charge(attempt(), failed_at=1.0)
    assert charged.attempts == 6
    assert stated_by(book).open == (Run(10, 11, 6), Run(15, 16, 1), Run(16, 17, 0))


def test_a_refunded_attempt_is_not_handed_on() -> None:
    book = restored(10, 15)
    event = OpenRecord(FakeRecord(15), book, "15", b"")
    refunded = attempt()
    event.charge(refunded, failed_at=1.0)
    refunded.is_refunded = True
    assert stated_by(book).attempts(15) == 0


def test_charged_records_are_let_go_after_they_are_settled() -> None:
    book = restored(10, 15)
    OpenRecord(FakeRecord(15), book, "15", b"").charge(attempt(), failed_at=1.0)
    book.deliver([15])
    book.to_commit()
    assert book.charged == {}


@pytest.mark.parametrize(
    ("offset", "receipt_of", "is_trusted"),
    [(4, 0, False), (4, 8, False), (4, 9, True), (5, 0, True), (5, 8, True)],
    ids=["before the reset", "of an earlier replay", "of this replay", "past it", "past it, of an earlier replay"],
)
def test_in_a_replay_a_receipt_counts_that_was_written_in_it(offset: int, receipt_of: int, *, is_trusted: bool) -> None:
    """What an operator wants again is sent once, and not once more after each kill."""
    replaying = PartitionLedger("t", 0, 0, Account(), replay_until=5, replay_id=9)
    assert replaying.trusts_receipt(offset, receipt_of) is is_trusted


def test_in_a_replay_without_a_name_no_receipt_counts() -> None:
    nameless = PartitionLedger("t", 0, 0, Account(), replay_until=5)
    assert not nameless.trusts_receipt(4, 0)


def test_the_name_of_a_replay_is_handed_on_with_the_position() -> None:
    replaying = PartitionLedger("t", 0, 0, Account(), replay_until=5, replay_id=9)
    replaying.open(records(0, 1, timestamp=7), value_bytes=0)
    replaying.deliver([0])
    position, metadata = replaying.to_commit()
    stated = decode(metadata, position)
    assert stated is not None
    assert (position, stated.replay_until, stated.replay_id) == (1, 5, 9)
