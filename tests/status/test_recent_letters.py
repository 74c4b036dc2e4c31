"""The latest dead letters: many of one kind leave room for the others."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.status import RecentLetter
from streamer.status.recent_letters import (
    MAX_DETAIL_CHARACTERS,
    MAX_LETTERS,
    MAX_MESSAGE_ID_CHARACTERS,
    MAX_OF_KIND,
    RecentLetters,
)


def letter(offset: int, detail: str = "name: missing", message_id: str | None = None) -> RecentLetter:
    return RecentLetter(1_700_000_000.0 + offset, "surveys", 0, offset, "schema_invalid", detail, message_id)


def test_one_kind_does_not_fill_it() -> None:
    """20 % broken records at 300/s are 60 of one kind a second."""
    recent = RecentLetters()
    for offset in range(MAX_LETTERS - 1):
        recent.note(letter(offset, f"kind {offset}"))
    for offset in range(1_000, 1_600):
        recent.note(letter(offset, "the frequent one"))
    assert recent.letters[-1].offset == 1_599
    assert len({shown.detail for shown in recent.letters}) >= MAX_LETTERS - MAX_OF_KIND


def test_the_latest_of_the_only_kind_are_kept() -> None:
    recent = RecentLetters()
    for offset in range(100):
        recent.note(letter(offset))
    assert [shown.offset for shown in recent.letters] == [95, 96, 97, 98, 99]


def test_long_texts_are_cut() -> None:
    recent = RecentLetters()
    recent.note(letter(1, "d" * 10_000, "m" * 10_000))
    [shown] = recent.letters
    assert (len(shown.detail), len(shown.message_id or "")) == (MAX_DETAIL_CHARACTERS, MAX_MESSAGE_ID_CHARACTERS)


def test_what_was_given_out_does_not_change() -> None:
    recent = RecentLetters()
    recent.note(letter(1))
    before = recent.letters
    recent.note(letter(2))
    assert len(before) == 1


@given(st.lists(st.integers(0, 30), max_size=200))
def test_it_is_bounded_and_in_order_and_has_the_latest(kinds: list[int]) -> None:
    recent = RecentLetters()
    for offset, kind in enumerate(kinds):
        recent.note(letter(offset, f"kind {kind}"))
    offsets = [shown.offset for shown in recent.letters]
    assert offsets == sorted(offsets)
    assert len(offsets) <= MAX_LETTERS
    assert offsets[-1:] == [len(kinds) - 1][: len(kinds)]
    details = [shown.detail for shown in recent.letters]
    assert all(details.count(detail) <= MAX_OF_KIND for detail in details)
