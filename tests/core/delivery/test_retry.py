import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.retry import Retry, RetryPolicy

QUICK = (1.0, 4.0, 15.0)
SCHEDULE = (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 21600.0)
POLICY = RetryPolicy(QUICK, SCHEDULE)

waits = st.lists(st.floats(0.001, 100_000), max_size=8).map(tuple)
policies = st.builds(RetryPolicy, waits, waits)
jitters = st.floats(0, 1, exclude_max=True)


def test_waits_are_the_quick_ones_and_then_the_schedule() -> None:
    waited = [POLICY.wait_seconds(attempts, 0.5) for attempts in range(1, 12)]
    assert waited == [pytest.approx(seconds) for seconds in QUICK + SCHEDULE]
    assert POLICY.wait_seconds(12, 0.5) is None
    assert POLICY.wait_seconds(200, 0.5) is None


@given(policies, st.integers(1, 20), jitters)
def test_jitter_moves_a_wait_by_a_tenth_at_most(policy: RetryPolicy, attempts: int, jitter: float) -> None:
    waits = policy.quick + policy.schedule
    wait = policy.wait_seconds(attempts, jitter)
    if attempts > len(waits):
        assert wait is None
    else:
        documented = waits[attempts - 1]
        assert wait is not None
        assert documented * 0.9 * (1 - 1e-9) <= wait <= documented * 1.1 * (1 + 1e-9)


def test_jitter_spreads_the_waits() -> None:
    assert len({POLICY.wait_seconds(1, jitter / 10) for jitter in range(10)}) == 10


@pytest.mark.parametrize(
    ("size", "groups"),
    [(1_000, [100, 10, 1]), (100, [20, 4, 1]), (16, [4, 1, 1]), (5, [1, 1, 1]), (3, [1, 1, 1]), (1, [1, 1, 1])],
)
def test_a_failing_batch_is_alone_by_the_last_quick_retry(size: int, groups: list[int]) -> None:
    """One event that always fails delays its neighbours by the quick retries and no longer."""
    sizes = itertools.accumulate(range(1, 4), POLICY.group_size, initial=size)
    assert list(sizes)[1:] == groups


@given(policies, st.integers(1, 2_500))
def test_groups_shrink_to_a_quarter_at_least_and_to_one_by_the_last_quick_retry(policy: RetryPolicy, size: int) -> None:
    for attempts in range(1, len(policy.quick) + 1):
        group = policy.group_size(size, attempts)
        assert 1 <= group <= max(1, size // 4)
        size = group
    if policy.quick:
        assert size == 1


@given(policies, st.integers(1, 2_500), st.integers(1, 255))
def test_past_the_quick_retries_every_event_is_alone(policy: RetryPolicy, size: int, more: int) -> None:
    assert policy.group_size(size, len(policy.quick) + more) == 1


def test_only_an_event_that_was_alone_exhausts_its_retries() -> None:
    """Its company may have been what failed."""
    assert POLICY.after_failure(1, 12, 0.5) is None
    assert POLICY.after_failure(2, 12, 0.5) == Retry(1.0, 1)


@given(policies, st.integers(1, 2_500), st.integers(1, 255), jitters)
def test_a_batch_that_always_fails_ends_exhausted_and_alone(
    policy: RetryPolicy, size: int, attempts: int, jitter: float
) -> None:
    """From any number of attempts, also one that was read from a position written under another configuration."""
    for step in itertools.count():
        assert step <= len(policy.quick + policy.schedule) + 1
        retry = policy.after_failure(size, attempts, jitter)
        if retry is None:
            break
        assert retry.wait_seconds >= 0
        assert 1 <= retry.group_size <= max(1, size // 4)
        size, attempts = retry.group_size, attempts + 1
    assert size == 1
    assert attempts > len(policy.quick + policy.schedule)


def test_a_failure_tells_wait_and_group_size() -> None:
    assert POLICY.after_failure(1_000, 1, 0.5) == Retry(1.0, 100)
    assert POLICY.after_failure(1, 4, 0.5) == Retry(60.0, 1)
    assert RetryPolicy((), ()).after_failure(50, 1, 0.5) == Retry(0.0, 1)
