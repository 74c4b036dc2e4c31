"""When the mass guard stops an integration."""

import collections
import itertools
import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.guard import MIN_BAD, WINDOW, MassGuard, pardoned
from tests.doubles.kafka import MemoryRecord

_offsets = itertools.count()


def records(count: int = 1, *, first: int | None = None, timestamp: int = 0) -> Iterator[MemoryRecord]:
    """Records of one partition that were not there before, or those from an offset on."""
    for number in range(count):
        offset = next(_offsets) if first is None else first + number
        yield MemoryRecord("surveys", 0, offset, timestamp, None, b"", ())


def set_aside(guard: MassGuard, bad: Iterable[MemoryRecord]) -> None:
    for record in bad:
        guard.set_aside(record)


def test_it_trips_at_twenty_bad_of_twenty() -> None:
    guard = MassGuard(max_ratio=0.5)
    set_aside(guard, records(19))
    assert not guard.is_tripped, "a handful of bad records is no pattern"
    set_aside(guard, records())
    assert guard.is_tripped


def test_it_does_not_trip_below_its_ratio() -> None:
    guard = MassGuard(max_ratio=0.5)
    for _ in range(WINDOW):
        guard.passed(1)
        set_aside(guard, records())
    assert not guard.is_tripped
    set_aside(guard, records())
    assert guard.is_tripped


@pytest.mark.parametrize("max_ratio", [0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@given(before=st.lists(st.booleans(), max_size=2 * WINDOW), passed=st.integers(0, 2 * WINDOW))
def test_when_everything_is_bad_from_some_moment_on_at_most_twenty_are_dead_lettered(
    max_ratio: float, before: list[bool], passed: int
) -> None:
    """Whatever came before: 200 good records let 100 bad ones through."""
    guard = MassGuard(max_ratio)
    for is_bad in before:
        if is_bad:
            set_aside(guard, records())
        else:
            guard.passed(1)
    guard.passed(passed)
    written = 0
    while not guard.is_tripped:
        set_aside(guard, records())
        written += not guard.is_tripped
    assert written <= MIN_BAD


@pytest.mark.parametrize("max_ratio", [0.1, 0.2, 0.4, 0.5, 0.8])
@given(data=st.data())
def test_bad_records_below_the_ratio_in_every_stretch_never_trip_it(max_ratio: float, data: st.DataObject) -> None:
    """Their order within a stretch does not matter: 20 bad ones in a row are fine if the next 20 are good."""
    stretch = round(MIN_BAD / max_ratio)
    guard = MassGuard(max_ratio)
    guard.passed(stretch)
    latest = collections.deque([False] * stretch, maxlen=stretch)
    runs = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, stretch)), max_size=30))
    for is_meant_bad, length in runs:
        for _ in range(length):
            is_bad = is_meant_bad and sum(latest) - latest[0] < MIN_BAD
            latest.append(is_bad)
            if is_bad:
                set_aside(guard, records())
            else:
                guard.passed(1)
            assert not guard.is_tripped


def test_nearly_everything_bad_trips_it_soon() -> None:
    """One tombstone in ten records of a wrong dialect must not let a hundred through."""
    guard = MassGuard(max_ratio=0.5)
    guard.passed(WINDOW)
    bad = 0
    while not guard.is_tripped:
        set_aside(guard, records(9))
        bad += 9
        guard.passed(1)
    assert bad <= 30


def test_what_has_surged_stays_tripped_when_good_ones_follow_in_the_same_read() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.passed(WINDOW)
    set_aside(guard, records(MIN_BAD + 1))
    guard.passed(100)
    assert guard.evidence == (MIN_BAD + 1, MIN_BAD + 1)


def test_it_forgets_what_lies_beyond_its_window() -> None:
    guard = MassGuard(max_ratio=0.1)
    set_aside(guard, records(19))
    guard.passed(WINDOW)
    set_aside(guard, records())
    assert guard.bad == 1
    assert guard.seen == WINDOW


@pytest.mark.parametrize("count", [20, 1_000])
def test_a_ratio_of_one_switches_it_off(count: int) -> None:
    guard = MassGuard(max_ratio=1)
    set_aside(guard, records(count))
    assert not guard.is_tripped


def test_a_record_that_is_read_again_counts_once() -> None:
    """After each restart or rebalance the open records come again."""
    guard = MassGuard(max_ratio=0.5)
    for _ in range(5):
        set_aside(guard, records(19, first=0))
    assert (guard.bad, guard.seen) == (19, 19)
    assert not guard.is_tripped
    set_aside(guard, records(1, first=19))
    assert guard.is_tripped


def test_a_record_of_a_topic_made_again_is_another_one() -> None:
    guard = MassGuard(max_ratio=0.5)
    set_aside(guard, records(10, first=0, timestamp=1))
    set_aside(guard, records(10, first=0, timestamp=2))
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
                set_aside(each, (record for offset in step for record in records(first=offset)))
        if guard.is_tripped:
            assert restarted.is_tripped
            return
        restarted = MassGuard(0.5, json.loads(json.dumps(restarted.to_json())))
        assert (restarted.bad, restarted.seen) == (guard.bad, guard.seen)
        assert restarted.is_tripped == guard.is_tripped
        assert all(restarted.knows(record) == guard.knows(record) for record in records(51, first=0))


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "text",
        {},
        [None],
        [["surveys", "0", 1, 2]],
        [[1]],
        [-5],
        [1.5],
        [{"surge": None}],
        [{"surge": [1]}],
        [{"pardoned": [1, ["a"]]}],
    ],
)
def test_what_cannot_be_remembered_counts_as_nothing(damaged: object) -> None:
    assert MassGuard(0.5, damaged).seen == 0


def test_without_restarts_and_with_them_the_same_number_gets_through() -> None:
    through = 0
    remembered: object = None
    for offset in range(100):
        guard = MassGuard(0.5, remembered)
        set_aside(guard, records(first=offset))
        remembered = guard.to_json()
        through += not guard.is_tripped
    assert through == MIN_BAD - 1


def test_what_an_operator_has_released_does_not_trip_it_again_when_it_is_read_again() -> None:
    """Else a release would help only while everything is still in memory."""
    stopped = MassGuard(0.5)
    stopped.passed(30)
    set_aside(stopped, records(60, first=0))
    assert stopped.is_tripped
    for released in (MassGuard(0.5, json.loads(json.dumps(pardoned(stopped.to_json())))), stopped):
        if released is stopped:
            stopped.pardon()
        assert (released.bad, released.seen, released.is_tripped) == (0, 0, False)
        set_aside(released, records(60, first=0))
        assert not released.is_tripped, "it was said that these may be set aside"
        restarted = MassGuard(0.5, json.loads(json.dumps(released.to_json())))
        set_aside(restarted, records(60, first=0))
        assert not restarted.is_tripped
        set_aside(restarted, records(MIN_BAD, first=60))
        assert restarted.is_tripped, "it goes on watching what comes next"
