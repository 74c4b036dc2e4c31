"""Folding: how few lines a fault makes, however long it lasts, and that what is left out is told."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.logs.events import ERROR, INFO, WARNING, Event
from streamer.logs.folding import MAX_FOLD_SECONDS, QUIET_SECONDS, Folding
from streamer.logs.subject import fold_key


def test_what_was_held_back_is_told_once() -> None:
    folding: Folding[str, int] = Folding()
    assert [folding.admits("a", number, 2, now=number) for number in range(4)] == [0, 0, None, None]
    assert folding.ended(9.9) == []
    assert folding.ended(10) == [(3, 2)]
    assert folding.ended(20) == []


def test_after_a_pause_the_next_line_is_written_at_once() -> None:
    folding: Folding[str, int] = Folding()
    for now in range(100):
        folding.admits("a", now, 1, now=now)
        folding.ended(now)
    assert folding.ended(99 + QUIET_SECONDS) == [(99, 29)]
    assert folding.admits("a", 0, 1, now=99 + QUIET_SECONDS) == 0


def lines_of(seconds: int, every: int) -> list[int]:
    """When lines of a fault that comes all the time are written, with a look each second."""
    folding: Folding[str, int] = Folding()
    written = []
    for now in range(seconds):
        written += [now for _ in folding.ended(now)]
        if now % every == 0 and folding.admits("a", now, 1, now=now) is not None:
            written.append(now)
    return written


def test_a_fault_that_lasts_for_hours_is_a_line_each_ten_minutes() -> None:
    assert lines_of(4 * 3_600, 1)[:8] == [0, 10, 30, 70, 150, 310, 630, 1_230]
    assert lines_of(3_600, 11)[:5] == [0, 11, 33, 77, 165]
    assert lines_of(3_600, 60) == [0, 60, 180, 420, 900, 1_500, 2_100, 2_700, 3_300]
    assert max(b - a for a, b in zip(lines_of(9_000, 3), lines_of(9_000, 3)[1:], strict=False)) == MAX_FOLD_SECONDS


def test_the_first_lines_are_many_and_the_later_ones_few() -> None:
    folding: Folding[str, int] = Folding()
    for now in range(30):
        folding.ended(now)
        folding.admits("a", now, 5, now=now)
    assert [folding.admits("b", number, 5, now=30) for number in range(6)] == [0] * 5 + [None]
    assert (29, 20) in folding.ended(41)
    assert [folding.admits("a", number, 5, now=41) for number in range(3)] == [None] * 3


def test_lines_that_are_left_out_are_joined() -> None:
    folding: Folding[str, int] = Folding(join=lambda earlier, later: earlier + later)
    for number in (1, 10, 100):
        folding.admits("a", number, 1, now=0)
    assert folding.ended(10) == [(110, 2)]


def test_a_higher_level_is_never_left_out() -> None:
    """A write key that becomes wrong while the destination asks to wait again and again needs a person now."""
    folding: Folding[str, str] = Folding()
    written = [
        (text, before)
        for now, (text, level) in enumerate(
            [("waits", WARNING), ("works", INFO), ("waits", WARNING), ("held", ERROR), ("works", INFO), ("held", ERROR)]
        )
        if (before := folding.admits("a", text, 2, now=now, level=level)) is not None
    ]
    assert written == [("waits", 0), ("works", 0), ("held", 1)]
    assert folding.ended(10) == [("held", 2)], "the present state"


def test_it_is_bounded_and_still_tells() -> None:
    folding: Folding[int, str] = Folding(max_keys=2)
    for key in (1, 1, 2, 3):
        folding.admits(key, f"line {key}", 1, now=0)
    assert folding.ended(0) == [("line 1", 1)]
    assert len(folding._windows) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), max_size=60), st.integers(1, 3))
def test_each_line_is_written_or_counted(steps: list[tuple[int, str]], max_lines: int) -> None:
    folding: Folding[str, int] = Folding(max_keys=1)
    now = told = 0
    for passed, key in steps:
        now += passed
        told += sum(suppressed for _, suppressed in folding.ended(now))
        before = folding.admits(key, now, max_lines, now=now)
        told += 0 if before is None else 1 + before
    told += sum(suppressed for _, suppressed in folding.ended(float("inf")))
    assert told == len(steps)


def test_a_state_that_has_ended_is_not_told_later() -> None:
    folding: Folding[str, str] = Folding()
    for now in (0, 5, 11, 12):
        folding.ended(now)
        folding.admits("a", "away", 1, now=now)
    assert folding.admits("a", "back", 2, now=20) == 2
    assert folding.ended(1_000) == []


def test_states_of_one_thing_are_folded_together() -> None:
    held = fold_key(Event.DESTINATION_HELD, {"destination": "segment", "error_type": "401"})
    assert held == fold_key(Event.DESTINATION_RESUMED, {"destination": "segment"})
    assert held != fold_key(Event.DESTINATION_RESUMED, {"destination": "other"})
    assert held != fold_key(Event.BATCH_RETRYING, {"destination": "segment", "error_type": "401"})


def test_partitions_of_a_rebalance_are_one_subject() -> None:
    keys = {fold_key(Event.PARTITION_ASSIGNED, {"topic": "surveys", "partition": number}) for number in range(100)}
    assert len(keys) == 1
    assert len({fold_key(Event.PARTITION_LEFT_OUT, {"topic": "surveys", "partition": n}) for n in range(9)}) == 9
