"""The gate of a rate: never more than was asked for, never less than may pass."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.rate import BURST_SECONDS, CallRate

batches = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 5)), min_size=1, max_size=60)
"""Calls of a batch, and seconds of pause before it is wanted."""


@given(batches, st.floats(1, 1_000))
def test_no_stretch_of_time_has_more_than_the_rate_a_burst_and_one_batch(
    wanted: list[tuple[int, float]], per_second: float
) -> None:
    rate, now = CallRate(per_second, 0.0), 0.0
    passed: list[tuple[float, int]] = []
    for calls, pause in wanted:
        now = max(now + pause, rate.opens_at)
        rate.spend(calls, now)
        passed.append((now, calls))
    largest = max(calls for _, calls in passed)
    for first, last in itertools.combinations_with_replacement(range(len(passed)), 2):
        seconds = passed[last][0] - passed[first][0]
        calls = sum(calls for _, calls in passed[first : last + 1])
        assert calls <= per_second * (seconds + BURST_SECONDS) + largest + 1e-6


@given(st.integers(1, 500), st.floats(1, 1_000))
def test_a_sender_that_always_has_work_gets_the_whole_rate(calls: int, per_second: float) -> None:
    rate, now, sent = CallRate(per_second, 0.0), 0.0, 0
    for _ in range(50):
        now = max(now, rate.opens_at)
        rate.spend(calls, now)
        sent += calls
    assert sent >= per_second * now


def test_a_batch_of_any_size_passes_and_the_next_one_waits_for_it() -> None:
    rate = CallRate(100.0, 0.0)
    rate.spend(1_000, 5.0)
    assert rate.opens_at == 14.0
