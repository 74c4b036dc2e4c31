"""The states of a destination, and how an answer changes them.

An answer is reduced to one `Finding`. `move_after` looks up what the finding does in each state. An answer is *late* if
the state has changed since its attempt began: then it describes a time that has passed.
"""

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.StrEnum):
    """Whether a destination is sent to; see the theory of operation."""

    OK = "ok"
    BACKING_OFF = "backing_off"
    HELD = "held"


class Finding(enum.Enum):
    """What an answer shows about the destination."""

    ACCEPTS = enum.auto()
    JUDGES = enum.auto()
    """It refused a call, so it works well enough to judge one."""
    REFUSES_EVERYTHING = enum.auto()
    FAILS = enum.auto()
    """It failed; the fault may be the events'."""
    IS_AT_FAULT = enum.auto()
    """It failed, and the fault is its own."""
    ASKS_TO_WAIT = enum.auto()
    SET_UP_IS_WRONG = enum.auto()


class Move(enum.Enum):
    """A change of state."""

    STAY = enum.auto()
    RECOVER = enum.auto()
    """To ``ok``. The next backoff begins with 1 second."""
    OPEN = enum.auto()
    """To ``ok``, but the next backoff is longer than the last one."""
    BACK_OFF = enum.auto()
    """To ``backing_off``, or wait for the next probe there."""
    PROLONG = enum.auto()
    """Wait longer for the next probe."""
    HOLD = enum.auto()
    """To ``held``, or wait for the next probe there."""


def _in_states(ok: Move, backing_off: Move, held: Move) -> Mapping[State, Move]:
    return {State.OK: ok, State.BACKING_OFF: backing_off, State.HELD: held}


_MOVES: Final[Mapping[Finding, Mapping[State, Move]]] = {
    # state:                                 ok              backing_off     held
    Finding.ACCEPTS:            _in_states(Move.STAY,     Move.RECOVER,  Move.RECOVER),
    Finding.JUDGES:             _in_states(Move.STAY,     Move.OPEN,     Move.OPEN),
    Finding.REFUSES_EVERYTHING: _in_states(Move.HOLD,     Move.HOLD,     Move.HOLD),
    Finding.FAILS:              _in_states(Move.STAY,     Move.BACK_OFF, Move.BACK_OFF),
    Finding.IS_AT_FAULT:        _in_states(Move.BACK_OFF, Move.BACK_OFF, Move.BACK_OFF),
    Finding.ASKS_TO_WAIT:       _in_states(Move.BACK_OFF, Move.BACK_OFF, Move.BACK_OFF),
    Finding.SET_UP_IS_WRONG:    _in_states(Move.HOLD,     Move.HOLD,     Move.HOLD),
}  # fmt: skip
"""What an answer does to each state."""

_LATE_MOVES: Final[Mapping[Finding, Mapping[State, Move]]] = {
    # state:                                 ok              backing_off     held
    Finding.ACCEPTS:            _in_states(Move.STAY,     Move.RECOVER,  Move.RECOVER),
    Finding.JUDGES:             _in_states(Move.STAY,     Move.STAY,     Move.STAY),
    Finding.REFUSES_EVERYTHING: _in_states(Move.STAY,     Move.STAY,     Move.STAY),
    Finding.FAILS:              _in_states(Move.STAY,     Move.STAY,     Move.STAY),
    Finding.IS_AT_FAULT:        _in_states(Move.STAY,     Move.STAY,     Move.STAY),
    Finding.ASKS_TO_WAIT:       _in_states(Move.BACK_OFF, Move.PROLONG,  Move.PROLONG),
    Finding.SET_UP_IS_WRONG:    _in_states(Move.STAY,     Move.HOLD,     Move.STAY),
}  # fmt: skip
"""What a late answer does to each state."""


def move_after(finding: Finding, state: State, *, is_late: bool, asked_to_wait: bool) -> Move:
    """The change that an answer makes.

    Args:
        finding: what the answer shows.
        state: the present state.
        is_late: whether the state has changed since the attempt began.
        asked_to_wait: whether the destination is backing off because it asked us to wait.
    """
    if is_late and asked_to_wait and finding is Finding.ACCEPTS:
        return Move.STAY  # of several requests in flight, some still pass after a limit was reached
    return (_LATE_MOVES if is_late else _MOVES)[finding][state]
