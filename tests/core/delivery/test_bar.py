"""A bar lies over the state of a destination. That nothing begins meanwhile: ``test_destination_invariants.py``."""

import pytest

from streamer.core.delivery.answers import AnswerKind, answer_of_status
from streamer.core.delivery.attempt import Verdict
from streamer.core.delivery.bar import Bar, Standing
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State

OK = answer_of_status(200, None)
WELL = Standing(State.OK, 1.0, "")
REASON = "unknown_write_key"


def healthy() -> DestinationMachine:
    """Ok since 0, and it has accepted a call."""
    machine = DestinationMachine(max_in_flight=4, max_batch_bytes=480_000, now=0.0)
    machine.finish(machine.start(0.0, 1), OK, 0.0, 0.0, 1_000)
    return machine


def test_only_a_bar_with_a_reason_is_seen_from_outside() -> None:
    bar = Bar()
    assert (bar.is_shut, bar.over(WELL)) == (False, WELL)
    bar.shut("", 2.0)
    assert (bar.is_shut, bar.over(WELL)) == (True, WELL)
    bar.shut(REASON, 3.0)
    bar.shut(REASON, 4.0)
    assert bar.over(WELL) == Standing(State.HELD, 3.0, REASON), "since it was barred for this reason"
    bar.open()
    assert (bar.is_shut, bar.over(WELL)) == (False, WELL)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 503])
def test_what_is_in_flight_ends_as_it_ends_and_opens_nothing(status: int) -> None:
    machine = healthy()
    attempt = machine.start(1.0, 1)
    machine.bar(REASON, 2.0)
    verdict = machine.finish(attempt, answer_of_status(status, None), 3.0, 0.0, 1_000)
    assert (verdict is Verdict.DELIVERED) == (answer_of_status(status, None).kind is AnswerKind.ACCEPTED)
    assert verdict is not Verdict.RETRY_CHARGED
    assert machine.standing == Standing(State.HELD, 2.0, REASON)
    assert machine.limited_by(1_000.0) is Limit.HELD
    assert not machine.can_start(1_000.0)


def test_an_accepted_probe_of_before_does_not_open_a_barred_destination() -> None:
    """Segment accepts everything, so what it accepts says nothing about the key."""
    machine = healthy()
    machine.finish(machine.start(1.0, 1), answer_of_status(401, None), 1.0, 0.0, 1_000)
    probe = machine.start(2.0, 1)
    assert probe.is_probe
    machine.bar(REASON, 2.5)
    machine.finish(probe, OK, 3.0, 0.0, 1_000)
    assert not machine.can_start(1_000.0)
    assert machine.standing.reason == REASON


def test_a_wait_that_was_asked_for_before_counts_after_the_bar() -> None:
    machine = healthy()
    for _ in range(2):  # the second one decides that the wait is meant for all
        machine.finish(machine.start(1.0, 1), answer_of_status(429, 60.0), 1.0, 0.0, 1_000)
    assert machine.next_probe_at == 61.0
    machine.bar(REASON, 2.0)
    assert machine.next_probe_at is None, "nobody knows when it is tried next"
    machine.unbar()
    assert machine.next_probe_at == 61.0
    assert (machine.standing.state, machine.standing.reason) == (State.BACKING_OFF, "429")
    assert machine.wake_at(10.0) == 61.0


def test_with_the_next_key_a_refusal_says_nothing_before_something_is_accepted() -> None:
    machine = healthy()
    in_flight = machine.start(1.0, 1)
    machine.bar(REASON, 2.0)
    machine.key_changed(2.0)
    machine.finish(in_flight, OK, 3.0, 0.0, 1_000)
    machine.unbar()
    verdict = machine.finish(machine.start(4.0, 1), answer_of_status(400, None), 4.0, 0.0, 1_000)
    assert verdict is Verdict.REFUSED_FREE
