"""How many lines dead letters make in the log."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.tally import MAX_DETAILS, MAX_MINUTES, OTHER_DETAILS, Tally, Told
from streamer.core.model import DeadLetterReason
from tests.doubles.kafka import MemoryRecord

SCHEMA, DECODE = DeadLetterReason.SCHEMA_INVALID, DeadLetterReason.DECODE_ERROR


def note(
    tally: Tally, offset: int, *, reason: DeadLetterReason = SCHEMA, detail: str = "/name: found null"
) -> Told | None:
    record = MemoryRecord("surveys", 3, offset, 0, None, b"", ())
    return tally.note(
        record, reason, detail, dead_letter_topic="surveys.dlq", message_id=f"evt_{offset}", was_sent=False
    )


def test_the_first_of_a_kind_is_told_at_once_with_its_place() -> None:
    told = note(Tally(), 17)
    assert told is not None
    assert (told.topic, told.partition, told.offset, told.message_id, told.records) == ("surveys", 3, 17, "evt_17", 1)


def minute(tally: Tally, *, mapped: int = 0, answered: int = 0) -> list[Told]:
    return tally.take(mapped=mapped, answered=answered)


def test_the_others_of_a_minute_are_one_line_with_the_first_place() -> None:
    """400 a minute said the same."""
    tally = Tally()
    note(tally, 0)
    assert [note(tally, offset) for offset in range(1, 400)] == [None] * 399
    [line] = minute(tally, mapped=1_000)
    assert (line.offset, line.records, line.among) == (1, 399, 1_000)
    assert minute(tally) == []


def test_reason_and_detail_make_a_kind() -> None:
    tally = Tally()
    assert note(tally, 0)
    assert note(tally, 1, detail="/name: found nothing")
    assert note(tally, 2, reason=DECODE)
    assert not note(tally, 3)


def test_a_kind_that_comes_all_the_time_is_told_less_and_less_often() -> None:
    """A line a minute is 60 an hour for each kind, and the minute's line of the integration counts them too."""
    tally = Tally()
    note(tally, 0)
    told: list[tuple[int, int, int]] = []
    for number in range(1, 64):
        assert note(tally, number) is None
        told += [(number, line.records, line.among) for line in minute(tally, mapped=5)]
    assert told == [(1, 1, 5), (3, 2, 10), (7, 4, 20), (15, 8, 40), (31, 16, 80), (47, 16, 80), (63, 16, 80)]
    assert told[-1][0] - told[-2][0] == MAX_MINUTES


def test_a_kind_of_which_nothing_came_for_two_minutes_is_told_at_once_again() -> None:
    tally = Tally()
    note(tally, 0)
    for _ in range(3):
        assert minute(tally) == []
    assert note(tally, 1)


def test_what_came_before_a_pause_is_told_before_the_kind_is_new() -> None:
    tally = Tally()
    for number in range(8):
        note(tally, number)
        minute(tally)
    note(tally, 8)
    note(tally, 9)
    lines = [line for _ in range(3) for line in minute(tally)]
    assert [line.records for line in lines] == [2]
    assert note(tally, 10)


def test_any_number_of_details_makes_a_limited_number_of_lines() -> None:
    """A detail may hold a length, which is another one for each record."""
    tally = Tally()
    told = [line for offset in range(5_000) if (line := note(tally, offset, detail=f"found {offset} characters"))]
    assert len(told) == MAX_DETAILS + 1
    assert told[-1].detail == OTHER_DETAILS
    assert note(tally, 5_000, reason=DECODE), "another reason has room of its own"
    [line] = minute(tally)
    assert (line.detail, line.records) == (OTHER_DETAILS, 5_000 - MAX_DETAILS - 1)


@given(st.lists(st.one_of(st.none(), st.tuples(st.sampled_from([SCHEMA, DECODE]), st.sampled_from("abc")))))
def test_the_lines_count_each_dead_letter_once(steps: list[tuple[DeadLetterReason, str] | None]) -> None:
    tally = Tally()
    lines: list[Told] = []
    for offset, kind in enumerate(steps):
        if kind is None:
            lines += minute(tally)
        elif (told := note(tally, offset, reason=kind[0], detail=kind[1])) is not None:
            lines.append(told)
    for is_told_already in (False, True):
        rest = tally.take(mapped=0, answered=0, is_end=True)
        assert not (rest and is_told_already), "each is told once"
        lines += rest
    counted: Counter[tuple[DeadLetterReason, str]] = Counter()
    for line in lines:
        counted[line.reason, line.detail] += line.records
    assert counted == Counter(kind for kind in steps if kind is not None)
