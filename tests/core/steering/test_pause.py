"""What an order means at a time, and beside a configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.steering.order import Order
from streamer.core.steering.pause import Pause, in_force, pause_of

NOW = 1_770_000_000.0


def test_nobody_has_ordered_anything() -> None:
    assert pause_of(None, NOW) is None


def test_an_order_to_run_is_no_pause() -> None:
    assert pause_of(Order(at=NOW), NOW) is None


def test_an_order_to_pause_says_who_and_why() -> None:
    order = Order(is_paused=True, by="ada@web-7", reason="moves", at=NOW - 5, until=NOW + 5, discard=True)
    assert pause_of(order, NOW) == Pause(discards=True, by="ada@web-7", reason="moves", since=NOW - 5, until=NOW + 5)


def test_a_pause_of_nobody_is_still_that_of_a_person() -> None:
    """An empty name would be the configuration."""
    paused = pause_of(Order(is_paused=True, at=NOW), NOW)
    assert paused is not None
    assert paused.by


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_a_pause_for_some_time_ends_by_itself_for_good(seconds: float, later: float) -> None:
    order = Order(is_paused=True, at=NOW, until=NOW + seconds)
    is_over = NOW + later >= NOW + seconds
    assert (pause_of(order, NOW + later) is None) is is_over


HOLDS, DISCARDS = Pause(by="ada@web-7"), Pause(by="ada@web-7", discards=True)


@pytest.mark.parametrize(
    ("ordered", "configured", "expected"),
    [
        (None, None, None),
        (HOLDS, None, HOLDS),
        (None, Pause(), Pause()),
        (HOLDS, Pause(), HOLDS),
        (DISCARDS, Pause(), Pause()),
        (HOLDS, Pause(discards=True), HOLDS),
        (DISCARDS, Pause(discards=True), DISCARDS),
    ],
)
def test_either_pauses_and_to_hold_wins(
    ordered: Pause | None, configured: Pause | None, expected: Pause | None
) -> None:
    assert in_force(ordered, configured) == expected
