"""What is true of the table of transitions as a whole; each answer is tried in ``test_destination.py``."""

import itertools

import pytest

from streamer.core.delivery.transitions import Finding, Move, State, move_after

OPENING = {Move.RECOVER, Move.OPEN}


@pytest.mark.parametrize(("finding", "state"), list(itertools.product(Finding, State)))
def test_a_late_answer_does_what_one_in_time_does_or_less(finding: Finding, state: State) -> None:
    in_time = move_after(finding, state, is_late=False, asked_to_wait=False)
    late = move_after(finding, state, is_late=True, asked_to_wait=False)
    assert late in {in_time, Move.STAY} or (in_time, late) == (Move.BACK_OFF, Move.PROLONG)


@pytest.mark.parametrize(("finding", "is_late"), list(itertools.product(Finding, [False, True])))
def test_only_what_is_closed_can_open(finding: Finding, is_late: bool) -> None:
    assert move_after(finding, State.OK, is_late=is_late, asked_to_wait=False) not in OPENING


@pytest.mark.parametrize("state", [State.BACKING_OFF, State.HELD])
@pytest.mark.parametrize("finding", list(Finding))
def test_each_probe_opens_a_closed_destination_or_is_followed_by_a_wait(finding: Finding, state: State) -> None:
    """A move that did neither would make the next probe due at once."""
    move = move_after(finding, state, is_late=False, asked_to_wait=False)
    assert move in OPENING | {Move.BACK_OFF, Move.HOLD}


@pytest.mark.parametrize("state", [State.BACKING_OFF, State.HELD])
def test_a_late_success_opens_unless_the_destination_asked_to_wait(state: State) -> None:
    assert move_after(Finding.ACCEPTS, state, is_late=True, asked_to_wait=False) is Move.RECOVER
    assert move_after(Finding.ACCEPTS, state, is_late=True, asked_to_wait=True) is Move.STAY
    assert move_after(Finding.ACCEPTS, state, is_late=False, asked_to_wait=True) is Move.RECOVER
