"""An order to release the guard is obeyed once by each instance, whatever is read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.steering.moments import NONE_YET, is_release_due, moment_of
from streamer.core.steering.order import Order

T = 1_770_000_000.0


@pytest.mark.parametrize(
    ("released_at", "seen", "stopped_at", "is_due"),
    [
        (None, None, T, False),
        (None, NONE_YET, T, False),
        (T, T, T - 50, False),  # obeyed before: another stop, at whatever time, is not meant
        (T, T, T + 50, False),
        (T, NONE_YET, T - 50, True),
        (T, NONE_YET, T + 50, True),  # the operator's clock is slow
        (T - 1, T, T - 50, True),  # another operator's is
        (T, None, T - 50, True),  # orders were never read before
        (T, None, T + 50, False),
        (T, None, None, True),
    ],
)
def test_when_it_is_due(released_at: float | None, seen: float | None, stopped_at: float | None, is_due: bool) -> None:
    order = Order(at=T, release_guard_at=released_at)
    assert is_release_due(order, seen=seen, stopped_at=stopped_at) is is_due


@given(st.lists(st.sampled_from(["order", "restart", "stop", "read"])), st.data())
def test_each_release_is_obeyed_at_most_once(steps: list[str], data: st.DataObject) -> None:
    """Whatever the order of orders, restarts and stops, and whatever the clocks of the operators say."""
    order: Order | None = None
    seen: float | None = None
    stopped_at: float | None = None
    obeyed: list[float] = []
    unused = data.draw(st.lists(st.floats(1, 1_000), unique=True, min_size=len(steps), max_size=len(steps)))
    for number, step in enumerate(steps):
        match step:
            case "order":
                moment = unused.pop()
                order = Order(at=moment, release_guard_at=moment)
            case "stop":
                stopped_at = float(number)
            case _:  # read the topic again, as a restart does
                if is_release_due(order, seen=seen, stopped_at=stopped_at):
                    obeyed.append(moment_of(order))
                    stopped_at = None
                seen = moment_of(order)
    assert len(obeyed) == len(set(obeyed))
