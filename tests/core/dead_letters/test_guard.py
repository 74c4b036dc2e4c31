"""When the mass guard stops an integration."""

import itertools
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.guard import MIN_BAD, WINDOW, MassGuard
from tests.doubles.kafka import MemoryRecord

_offsets = itertools.count()


def records(count: int = 1, *, first: int | None = None, timestamp: int = 0) -> Iterator[MemoryRecord]:
    """Records of one partition that were not there before, or those from an offset on."""
    for number in range(count):
        offset = next(_offsets) if first is None else first + number
        yield MemoryRecord("surveys", 0, offset, timestamp, None, b"", ())


def test_it_trips_at_twenty_bad_of_twenty() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.set_aside(records(19))
    assert not guard.is_tripped, "a handful of bad records is no pattern"
    guard.set_aside(records())
    assert guard.is_tripped


def test_it_does_not_trip_below_its_ratio() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.passed(100)
    guard.set_aside(records(100))
    assert not guard.is_tripped
    guard.set_aside(records())
    assert guard.is_tripped


def test_it_forgets_what_lies_beyond_its_window() -> None:
    guard = MassGuard(max_ratio=0.1)
    guard.set_aside(records(19))
    guard.passed(WINDOW)
    guard.set_aside(records())
    assert guard.bad == 1
    assert guard.seen == WINDOW


@pytest.mark.parametrize("count", [20, 1_000])
def test_a_ratio_of_one_switches_it_off(count: int) -> None:
    guard = MassGuard(max_ratio=1)
    guard.set_aside(records(count))
    assert not guard.is_tripped


def test_a_record_that_is_read_again_counts_once() -> None:
    """After each restart or rebalance the open records come again."""
    guard = MassGuard(max_ratio=0.5)
    for _ in range(5):
        guard.set_aside(records(19, first=0))
    assert (guard.bad, guard.seen) == (19, 19)
    assert not guard.is_tripped
    guard.set_aside(records(1, first=19))
    assert guard.is_tripped


def test_a_record_of_a_topic_made_again_is_another_one() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.set_aside(records(10, first=0, timestamp=1))
    guard.set_aside(records(10, first=0, timestamp=2))
    assert guard.is_tripped


@given(st.lists(st.one_of(st.integers(1, 2 * WINDOW), st.lists(st.integers(0, 50), max_size=30))))
def test_a_guard_that_remembers_another_one_goes_on_as_that_one(steps: list[int | list[int]]) -> None:
    """Over any number of restarts, no more records are dead-lettered before it trips."""
    guard, restarted = MassGuard(max_ratio=0.5), MassGuard(max_ratio=0.5)
    for step in steps:
        for each in (guard, restarted):
            if isinstance(step, int):
                each.passed(step)
            else:
                each.set_aside([record for offset in step for record in records(first=offset)])
        restarted = MassGuard(0.5, json.loads(json.dumps(restarted.to_json())))
        assert (restarted.bad, restarted.seen) == (guard.bad, guard.seen)
        assert restarted.is_tripped == guard.is_tripped
        assert all(restarted.knows(record) == guard.knows(record) for record in records(51, first=0))


@pytest.mark.parametrize("damaged", [None, "text", {}, [None], [["surveys", "0", 1, 2]], [[1]], [-5], [1.5]])
def test_what_cannot_be_remembered_counts_as_nothing(damaged: object) -> None:
    assert MassGuard(0.5, damaged).seen == 0


def test_without_restarts_and_with_them_the_same_number_gets_through() -> None:
    through = 0
    remembered: object = None
    for offset in range(100):
        guard = MassGuard(0.5, remembered)
        guard.set_aside(records(first=offset))
        remembered = guard.to_json()
        through += not guard.is_tripped
    assert through == MIN_BAD - 1
