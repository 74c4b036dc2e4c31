"""When a closed destination is probed; its waits in the course of states are in ``test_destination.py``."""

import pytest

from streamer.core.delivery.answers import answer_of_status
from streamer.core.delivery.probing import ProbeSchedule

UNAVAILABLE = answer_of_status(503, None)


def test_a_held_destination_is_probed_soon_at_first_and_then_less_often() -> None:
    """A key that was wrong for ten seconds must not cost half a minute."""
    schedule = ProbeSchedule(0.0, held_probe_seconds=30.0)
    waits, now = [], 0.0
    for is_probe_failed in (False, *[True] * 7):
        schedule.hold(now, is_probe_failed=is_probe_failed)
        waits.append(schedule.due - now)
        now = schedule.due
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    schedule.open(now, is_recovery=True)
    schedule.hold(now, is_probe_failed=False)
    assert schedule.due == now + 1


def test_the_longest_wait_of_a_held_destination_is_what_was_set() -> None:
    schedule = ProbeSchedule(10.0, held_probe_seconds=0.5)
    assert schedule.due == 10.0
    schedule.hold(11.0, is_probe_failed=False)
    assert schedule.due == 11.5


@pytest.mark.parametrize(("is_recovery", "wait"), [(True, 1.0), (False, 4.0)])
def test_a_recovery_forgets_the_failed_probes_and_opening_alone_does_not(is_recovery: bool, wait: float) -> None:
    schedule = ProbeSchedule(0.0, held_probe_seconds=30.0)
    for is_probe_failed in (False, True, True):
        schedule.back_off(UNAVAILABLE, 0.0, 0.0, is_probe_failed=is_probe_failed)
    schedule.open(10.0, is_recovery=is_recovery)
    assert schedule.due == 10.0
    schedule.back_off(UNAVAILABLE, 10.0, 0.0, is_probe_failed=False)
    assert schedule.due == 10.0 + wait


def test_jitter_shortens_what_is_documented_but_not_what_was_asked_for() -> None:
    for asked, due in ((None, 0.95), (0.97, 0.97), (5.0, 5.0)):
        schedule = ProbeSchedule(0.0, held_probe_seconds=30.0)
        schedule.back_off(answer_of_status(503, asked), 0.0, 0.5, is_probe_failed=False)
        assert schedule.due == pytest.approx(due)
        assert schedule.asked_to_wait == (asked is not None)


def test_no_wait_becomes_shorter() -> None:
    schedule = ProbeSchedule(0.0, held_probe_seconds=30.0)
    schedule.back_off(answer_of_status(429, 100.0), 0.0, 0.0, is_probe_failed=False)
    schedule.prolong(answer_of_status(429, 5.0), 1.0, 0.0)
    schedule.hold(2.0, is_probe_failed=False)
    assert schedule.due == 100.0
