"""What `/status` says of latency is of the last minutes: hours of good ones must not hide ten bad minutes."""

import time
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.answers import answer_of_status
from streamer.core.delivery.attempt import Verdict
from streamer.status import ServiceStatus
from streamer.status.document import document_of
from streamer.status.histogram import DURATION_SECONDS, Histogram
from streamer.status.recent import MAX_SLICES, SLICE_SECONDS, RecentHistogram

WINDOW_SECONDS = SLICE_SECONDS * MAX_SLICES


class Told(Protocol):
    told: ServiceStatus


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_values_of_the_last_minutes_count_and_older_ones_do_not(clock: Clock) -> None:
    recent = RecentHistogram((1.0, 10.0), clock)
    for _ in range(1_000):
        recent.observe(0.5)
    clock.now += WINDOW_SECONDS - SLICE_SECONDS
    recent.observe(5.0)
    assert recent.lately().count == 1_001
    clock.now += SLICE_SECONDS
    assert (recent.lately().count, recent.lately().quantile(0.5)) == (1, 10.0)
    clock.now += WINDOW_SECONDS
    assert recent.lately().quantile(0.5) is None
    recent.observe(0.5)
    assert (recent.lately().count, recent.lately().sum) == (1, 0.5)


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 20)), max_size=50))
def test_none_is_forgotten_before_four_minutes_or_kept_after_five(steps: list[tuple[float, float]]) -> None:
    """Whatever comes when; what is kept is bounded."""
    clock = Clock()
    recent, seen = RecentHistogram(DURATION_SECONDS, clock), list[float]()
    for wait, value in steps:
        clock.now += wait
        recent.observe(value)
        seen.append(clock.now)
        young = sum(at > clock.now - (WINDOW_SECONDS - SLICE_SECONDS) for at in seen)
        kept = sum(at > clock.now - WINDOW_SECONDS for at in seen)
        assert young <= recent.lately().count <= kept
        assert len(recent._slices) <= MAX_SLICES


def test_histograms_of_other_bounds_do_not_add_up() -> None:
    with pytest.raises(AssertionError, match="other bounds"):
        Histogram((1.0,)).include(Histogram((2.0,)))


def test_the_status_shows_the_last_minutes_and_metrics_the_whole_time(service: Told, clock: Clock) -> None:
    """Metrics are counters, of which Prometheus takes differences."""
    [destination] = service.told.destinations
    destination.recent_request_seconds = RecentHistogram(DURATION_SECONDS, clock)
    for _ in range(100):
        destination.record(answer_of_status(200, None), 0.01, 1_000, 25, Verdict.DELIVERED)
    clock.now += 3_600
    destination.record(answer_of_status(200, None), 7.0, 1_000, 25, Verdict.DELIVERED)
    document = document_of(service.told, now=time.time(), monotonic_now=time.monotonic())
    assert document["destinations"]["production"]["request_seconds"] == {"p50_at_most": 7.5, "p99_at_most": 7.5}
    assert destination.request_seconds.count > 100
