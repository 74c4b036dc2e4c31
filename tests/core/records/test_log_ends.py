"""Where a partition ends: what is known, for how long, and when an open transaction is news."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records.log_ends import LogEnds, PartitionEnds

VALID, PATIENCE = 12.0, 10.0


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 120))
def test_lag_counts_to_the_high_watermark_and_is_never_negative(stable: int, more: int, position: int) -> None:
    ends = LogEnds(stable + more, stable)
    assert ends.lag(position) == max(stable + more - position, 0)
    assert ends.keeps_waiting(position) == (more > 0 and stable <= position < stable + more)


def test_what_was_told_is_known_for_a_while() -> None:
    partition = PartitionEnds(0.0)
    assert partition.known(0.0, VALID) is None
    partition.tell(LogEnds(5, 5), 5, 1.0, PATIENCE)
    assert partition.known(1.0 + VALID, VALID) == LogEnds(5, 5)
    assert partition.known(1.1 + VALID, VALID) is None, "a broker that hangs tells nothing about now"


def test_a_transaction_that_stays_open_where_reading_stands_is_news() -> None:
    partition = PartitionEnds(0.0)
    for now in (0.0, 3.0, 6.0, 9.0):
        partition.tell(LogEnds(9, 5), 5, now, PATIENCE)
        assert partition.open_transaction_since is None
    partition.tell(LogEnds(9, 5), 5, 12.0, PATIENCE)
    assert partition.open_transaction_since == 0.0
    partition.tell(LogEnds(9, 9), 5, 15.0, PATIENCE)
    assert partition.open_transaction_since is None, "it has ended"


def test_transactions_that_come_and_go_are_no_news() -> None:
    """A topic that is written by transactions has one open at most looks."""
    partition = PartitionEnds(0.0)
    for now in range(60):
        partition.tell(LogEnds(now + 3, now), now, now, PATIENCE)
        assert partition.open_transaction_since is None


def test_a_reader_that_is_behind_for_other_reasons_is_not_kept_by_a_transaction() -> None:
    partition = PartitionEnds(0.0)
    for now in range(60):
        partition.tell(LogEnds(9, 5), 3, now, PATIENCE)
        assert partition.open_transaction_since is None


def test_a_position_between_the_two_ends_waits_as_well() -> None:
    """As after a restart: what was stored lies beyond the last stable offset."""
    partition = PartitionEnds(0.0)
    for now in range(12):
        partition.tell(LogEnds(9, 5), 7, now, PATIENCE)
    assert partition.open_transaction_since == 0.0


def test_reading_that_stands_still_with_records_behind_it_is_told() -> None:
    partition = PartitionEnds(0.0)
    assert not partition.tell(LogEnds(9, 9), 4, 0.0, PATIENCE), "once is no standing still"
    assert partition.tell(LogEnds(9, 9), 4, 3.0, PATIENCE)
    assert not partition.tell(LogEnds(9, 9), 6, 6.0, PATIENCE), "it moves"
    assert not partition.tell(LogEnds(6, 6), 6, 9.0, PATIENCE), "nothing waits"
    assert not partition.tell(LogEnds(9, 9), None, 12.0, PATIENCE), "not known where it stands"


def test_the_time_of_a_waiting_record_counts_for_that_record_only() -> None:
    partition = PartitionEnds(0.0, waiting=(4, 1_000))
    assert partition.waiting_timestamp(4) == 1_000
    assert partition.waiting_timestamp(5) is None
