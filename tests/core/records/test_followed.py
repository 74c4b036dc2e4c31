"""Where the reading of the topic of receipts begins, and since when a store has all that it says."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records.followed import Extent, Followed, begin, decode

NOW: Final = 10_000.0
WINDOW_START: Final = 9_000.0


def extent(first: int, end: int, *, begins_at: int | None = None, first_time: float | None = None) -> Extent:
    return Extent(first, end, end if begins_at is None else begins_at, first_time)


def test_a_store_without_anything_gets_all_of_the_window() -> None:
    extents = {0: extent(5, 90, begins_at=40, first_time=100.0), 1: extent(0, 3, first_time=200.0)}

    found = begin("receipts", extents, window_start=WINDOW_START, now=NOW)

    assert found == Followed("receipts", WINDOW_START, {0: 40, 1: 3})


def test_the_topic_says_nothing_of_the_time_before_its_first_record() -> None:
    """Instances may have delivered before the topic was set, and retention may be shorter than the window."""
    young = {0: extent(0, 9, begins_at=0, first_time=9_500.0), 1: extent(0, 0)}

    assert begin("receipts", young, window_start=WINDOW_START, now=NOW).since == 9_500.0
    assert begin("receipts", {0: extent(0, 0)}, window_start=WINDOW_START, now=NOW).since == NOW


@pytest.mark.parametrize(
    ("position", "goes_on_at", "since"),
    [
        pytest.param(50, 50, 9_100.0, id="where it was"),
        pytest.param(90, 90, 9_100.0, id="at the end"),
        pytest.param(20, 30, 9_800.0, id="retention has deleted what was not read"),
        pytest.param(91, 30, 9_100.0, id="the topic was recreated"),
    ],
)
def test_a_restart_goes_on(position: int, goes_on_at: int, since: float) -> None:
    followed = Followed("receipts", 9_100.0, {0: position})

    followed.go_on({0: extent(30, 90, first_time=9_800.0)}, NOW)

    assert (followed.positions, followed.since) == ({0: goes_on_at}, since)


def test_a_partition_that_the_topic_got_is_read_from_its_beginning() -> None:
    followed = Followed("receipts", 9_100.0, {0: 5})

    followed.go_on({0: extent(0, 5), 1: extent(0, 7, first_time=9_800.0)}, NOW)

    assert (followed.positions, followed.since) == ({0: 5, 1: 0}, 9_100.0)
    assert followed.is_at({0: 5})
    assert not followed.is_at({0: 5, 1: 7})


def test_gaps_are_forgotten_when_they_concern_nothing_that_counts() -> None:
    followed = Followed("receipts", 9_100.0)
    followed.note_gap(("surveys", 0), 9_500.0)
    followed.note_gap(("surveys", 0), 9_400.0)
    followed.note_gap(("surveys", 1), 8_000.0)

    followed.forget_gaps(WINDOW_START)

    assert followed.gaps == {("surveys", 0): 9_500.0}


@given(
    st.floats(0, 1e10),
    st.dictionaries(st.integers(0, 100), st.integers(0, 1 << 48)),
    st.dictionaries(st.tuples(st.text(), st.integers(0, 100)), st.floats(0, 1e10)),
)
def test_it_is_read_as_it_was_stored(
    since: float, positions: dict[int, int], gaps: dict[tuple[str, int], float]
) -> None:
    followed = Followed("receipts", since, positions, gaps)

    assert decode(followed.encode(), "receipts") == followed
    assert decode(followed.encode(), "another topic") is None


@given(
    st.none() | st.binary() | st.sampled_from([b"[]", b"null", b'[1,"receipts",1,[[1]],[]]', b'[2,"receipts",1,[],[]]'])
)
def test_what_cannot_be_read_begins_anew(stored: bytes | None) -> None:
    assert decode(stored, "receipts") is None
