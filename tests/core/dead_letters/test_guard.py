"""When the mass guard stops an integration."""

import pytest

from streamer.core.dead_letters.guard import WINDOW, MassGuard


def test_it_trips_at_twenty_bad_of_twenty() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.set_aside(19)
    assert not guard.is_tripped, "a handful of bad records is no pattern"
    guard.set_aside()
    assert guard.is_tripped


def test_it_does_not_trip_below_its_ratio() -> None:
    guard = MassGuard(max_ratio=0.5)
    guard.passed(100)
    guard.set_aside(100)
    assert not guard.is_tripped
    guard.set_aside()
    assert guard.is_tripped


def test_it_forgets_what_lies_beyond_its_window() -> None:
    guard = MassGuard(max_ratio=0.1)
    guard.set_aside(19)
    guard.passed(WINDOW)
    guard.set_aside()
    assert guard.bad == 1
    assert guard.seen == WINDOW


@pytest.mark.parametrize("records", [20, 1_000])
def test_a_ratio_of_one_switches_it_off(records: int) -> None:
    guard = MassGuard(max_ratio=1)
    guard.set_aside(records)
    assert not guard.is_tripped
