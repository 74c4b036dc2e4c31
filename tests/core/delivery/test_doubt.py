"""Who is at fault for consecutive failures, and what becomes of the charges meanwhile."""

from streamer.core.delivery.attempt import Attempt
from streamer.core.delivery.doubt import MAX_CONSECUTIVE_FAILURES, MAX_FAILURES_IN_DOUBT, Doubt


def new_attempt() -> Attempt:
    return Attempt(started_at=0.0, is_probe=False, calls=50, term=0)


def charged(count: int = 1) -> tuple[Doubt, list[Attempt]]:
    """So many failures, each charged."""
    doubt, attempts = Doubt(), [new_attempt() for _ in range(count)]
    for attempt in attempts:
        doubt.failed(is_single_event=False)
        doubt.charge(attempt)
    return doubt, attempts


def test_five_consecutive_failures_bring_a_destination_into_doubt() -> None:
    doubt, _ = charged(MAX_CONSECUTIVE_FAILURES - 1)
    assert not doubt.is_open
    doubt.failed(is_single_event=False)
    assert doubt.is_open
    assert not doubt.blames_destination(has_evidence=True), "single events decide"


def test_without_evidence_nothing_has_to_be_found_out() -> None:
    doubt, _ = charged(MAX_CONSECUTIVE_FAILURES - 1)
    assert not doubt.blames_destination(has_evidence=False)
    doubt.failed(is_single_event=False)
    assert doubt.blames_destination(has_evidence=False)


def test_two_single_events_that_fail_blame_the_destination() -> None:
    doubt, _ = charged(MAX_CONSECUTIVE_FAILURES)
    verdicts = []
    for _ in range(MAX_FAILURES_IN_DOUBT):
        doubt.failed(is_single_event=True)
        verdicts.append(doubt.blames_destination(has_evidence=True))
    assert verdicts == [False, True]


def test_a_destination_that_works_ends_the_doubt_and_the_charges_stand() -> None:
    doubt, _ = charged(MAX_CONSECUTIVE_FAILURES)
    doubt.failed(is_single_event=True)
    doubt.dispel()
    assert (doubt.is_open, doubt.failures) == (False, 0)
    doubt.take_charges_back()
    assert doubt.take_refunds() == []


def test_single_events_are_counted_afresh_after_the_doubt() -> None:
    """One that failed before a success says nothing about the failures after it."""
    doubt, _ = charged(MAX_CONSECUTIVE_FAILURES)
    doubt.failed(is_single_event=True)
    doubt.dispel()
    for _ in range(MAX_CONSECUTIVE_FAILURES):
        doubt.failed(is_single_event=False)
    doubt.failed(is_single_event=True)
    assert not doubt.blames_destination(has_evidence=True)


def test_single_events_are_counted_afresh_after_a_backoff() -> None:
    """The destination may open again with its failures not forgotten, because a probe was refused."""
    for close in (Doubt.leave_to_probe, Doubt.take_charges_back):
        doubt, _ = charged(MAX_CONSECUTIVE_FAILURES)
        for _ in range(MAX_FAILURES_IN_DOUBT):
            doubt.failed(is_single_event=True)
        close(doubt)
        doubt.let_charges_stand()
        assert doubt.is_open
        assert not doubt.blames_destination(has_evidence=True)


def test_charges_are_taken_back_once() -> None:
    doubt, attempts = charged(3)
    doubt.take_charges_back()
    assert doubt.take_refunds() == attempts
    assert all(attempt.is_refunded for attempt in attempts)
    doubt.take_charges_back()
    assert doubt.take_refunds() == []


def test_the_first_probe_decides_about_the_charges_of_a_backoff() -> None:
    doubt, attempts = charged(3)
    doubt.leave_to_probe()
    assert doubt.take_refunds() == [], "not decided yet"
    doubt.take_charges_back()
    assert doubt.take_refunds() == attempts


def test_a_probe_that_is_answered_lets_the_charges_of_a_backoff_stand() -> None:
    doubt, _ = charged(3)
    doubt.leave_to_probe()
    doubt.let_charges_stand()
    doubt.take_charges_back()
    assert doubt.take_refunds() == []


def test_a_late_success_leaves_the_charges_of_a_backoff_to_the_probe() -> None:
    doubt, attempts = charged(1)
    doubt.leave_to_probe()
    doubt.dispel()
    doubt.take_charges_back()
    assert doubt.take_refunds() == attempts
