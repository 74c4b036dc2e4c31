"""The last 15 minutes: rates are differences of counters, and a step that says nothing has no point."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.answers import answer_of_status
from streamer.core.delivery.attempt import Verdict
from streamer.core.model import DeadLetterReason
from streamer.core.records.account import Account
from streamer.status import ConsumerStatus, IntegrationState, PartitionStatus, ServiceStatus
from streamer.status.history import MAX_POINTS, STEP_SECONDS, History
from tests.status.conftest import NOW, ToldService


def told(account: Account, service: ToldService) -> ServiceStatus:
    """A service with one consumer."""
    consumer = ConsumerStatus(
        name="inbound",
        group="g",
        destination="directory",
        state=IntegrationState.RUNNING,
        partitions=[PartitionStatus(topic="t", partition=0, account=account, assigned=None)],
    )
    assert service.told.inbound is not None
    inbound = dataclasses.replace(service.told.inbound, consumer=consumer)
    return dataclasses.replace(service.told, integrations=[], inbound=inbound)


def test_rates_are_what_was_counted_in_a_step(service: ToldService) -> None:
    account, history = Account(), History()
    account.consumed = 1_000_000
    history.note(told(account, service), NOW)
    account.consumed += 50
    account.delivered += 30
    account.dead_lettered[DeadLetterReason.SCHEMA_INVALID] += 10
    history.note(told(account, service), NOW + STEP_SECONDS)
    [point] = history.integrations["inbound"]
    assert (point.at, point.consumed, point.settled, point.dead_lettered) == (NOW + 5, 10.0, 8.0, 2.0)
    assert point.dead_lettered_by == {"schema_invalid": 2.0}


def test_percentiles_are_those_of_the_step(service: ToldService) -> None:
    history, [destination] = History(), service.told.destinations
    history.note(service.told, NOW)
    for _ in range(99):
        destination.record(answer_of_status(200, None), 0.03, 1_000, 25, Verdict.DELIVERED)
    destination.record(answer_of_status(503, None), 60.0, 1_000, 25, Verdict.RETRY_FREE)
    history.note(service.told, NOW + STEP_SECONDS)
    history.note(service.told, NOW + 2 * STEP_SECONDS)
    busy, idle = history.destinations["production"]
    assert (busy.requests, busy.failed) == (20.0, 0.2)
    assert (busy.p50_seconds, busy.p99_seconds) == (0.05, 0.05)
    assert (idle.requests, idle.p50_seconds, idle.p99_seconds) == (0.0, None, None)


def test_a_request_above_all_bounds_counts_as_the_highest(service: ToldService) -> None:
    """Infinity is no number in JSON and none on a chart."""
    history, [destination] = History(), service.told.destinations
    history.note(service.told, NOW)
    destination.record(answer_of_status(503, None), 60.0, 1_000, 25, Verdict.RETRY_FREE)
    history.note(service.told, NOW + STEP_SECONDS)
    assert history.destinations["production"][0].p99_seconds == 10.0


@pytest.mark.parametrize("seconds", [-3_600.0, -4.0, 0.0, 0.5, 60.0, 86_400.0])
def test_a_clock_that_was_set_and_a_process_that_slept_give_no_rate(service: ToldService, seconds: float) -> None:
    account, history = Account(), History()
    for at in (NOW, NOW + 5, NOW + 10, NOW + 10 + seconds, NOW + 15 + seconds):
        account.consumed += 5
        history.note(told(account, service), at)
    points = history.integrations["inbound"]
    assert {point.consumed for point in points} == {1.0}
    assert [point.at for point in points] == sorted({point.at for point in points})
    assert points[-1].at == NOW + 15 + seconds


def test_a_snapshot_that_could_not_be_filled_in_is_left_out(service: ToldService) -> None:
    """It shows no partition, as if nothing had ever been consumed."""
    account, history = Account(), History()
    account.consumed = 1_000_000
    history.note(told(account, service), NOW)
    history.note(told(Account(), service), NOW + 5)
    account.consumed += 20
    history.note(told(account, service), NOW + 10)
    [point] = history.integrations["inbound"]
    assert point.consumed == 2.0


def test_what_a_reload_has_ended_is_forgotten(service: ToldService) -> None:
    """And when it comes again, its counters begin at 0 as those of anything new."""
    account, history = Account(), History()
    account.consumed = 1_000_000
    for step in range(3):
        history.note(told(account, service), NOW + step * STEP_SECONDS)
    history.note(dataclasses.replace(service.told, integrations=[], destinations=[], inbound=None), NOW + 15)
    assert not history.integrations
    assert not history.destinations
    again = Account()
    for step in range(4, 6):
        again.consumed += 10
        history.note(told(again, service), NOW + step * STEP_SECONDS)
    assert [point.consumed for point in history.integrations["inbound"]] == [2.0]


def test_it_keeps_15_minutes(service: ToldService) -> None:
    history = History()
    for step in range(MAX_POINTS + 10):
        history.note(service.told, NOW + step * STEP_SECONDS)
    for times in (
        [point.at for point in history.integrations["sprig"]],
        [point.at for point in history.destinations["production"]],
    ):
        assert len(times) == MAX_POINTS
        assert times[-1] == NOW + (MAX_POINTS + 9) * STEP_SECONDS


@given(steps=st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 10_000)), max_size=40))
def test_no_rate_is_negative_or_absurd(steps: list[tuple[float, int]]) -> None:
    account, history, now, most = Account(), History(), NOW, 0
    service = ToldService()
    for seconds, records in steps:
        now += seconds
        account.consumed += records
        most = max(most, records)
        history.note(told(account, service), now)
    points = history.integrations.get("inbound", ())
    assert all(0 <= point.consumed <= most / 2 for point in points)
    assert all(earlier.at < later.at for earlier, later in itertools.pairwise(points))
