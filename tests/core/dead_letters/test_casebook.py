"""A single dead letter, and what became of it."""

import pytest

from streamer.core.dead_letters import casebook as module
from streamer.core.dead_letters.casebook import Casebook, Place, read_place
from streamer.core.dead_letters.dead_letter import place_of
from tests.core.dead_letters.letters import SET_ASIDE_AT, StoredRecord, dead_letter, note

EVT_3 = {"streamer.message_id": b"evt_3"}


def found(book: Casebook, *records: StoredRecord) -> list[int]:
    for record in records:
        book.take(record)
    return [case.record.offset for case in book.cases]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("surveys.dlq:0:17", Place("surveys.dlq", 0, 17)),
        ("evt_3", None),
        ("evt:3", None),
        ("a:b:3", None),
        ("a:-1:3", None),
        ("a/b:1:3", None),
        ("a:1:٣", None),
    ],
)
def test_a_place_is_known_by_its_form(text: str, place: Place | None) -> None:
    assert read_place(text) == place
    assert place is None or str(place) == text


def test_a_dead_letter_is_found_by_any_of_its_names() -> None:
    records = (dead_letter(7, EVT_3), dead_letter(8, {"__connect.errors.offset": b"100"}), StoredRecord(offset=9))
    assert found(Casebook("evt_3"), *records) == [7]
    assert found(Casebook("surveys.dlq:0:8"), *records) == [8]
    assert found(Casebook("surveys:4:99"), *records) == [7]
    assert found(Casebook("evt_4"), *records) == []
    like_a_place = dead_letter(7, {"streamer.message_id": b"evt:3:4"})
    assert found(Casebook("evt:3:4"), like_a_place) == [7]


def test_its_story_goes_on_after_a_redrive() -> None:
    """By the header that a dead letter keeps of the one before; another one's redrive is not its story."""
    first, other = dead_letter(7, EVT_3), dead_letter(8)
    back = note(10, 7)
    back.timestamp = 1_770_000_100_000
    again = dead_letter(11, {"streamer.redriven.from": place_of(first).encode(), "streamer.redrives": b"2"})
    book = Casebook("surveys.dlq:0:7")
    assert found(book, first, other, note(9, 8), back, again) == [7]
    [case] = book.cases
    assert case.redriven_at == [1_770_000_100.0]
    assert case.again == [(Place("surveys.dlq", 0, 11), SET_ASIDE_AT)]
    assert case.source == "surveys:4:99"


def test_a_redrive_is_of_its_own_partition() -> None:
    elsewhere = note(9, 7)
    elsewhere.partition = 1
    book = Casebook("evt_3")
    found(book, dead_letter(7, EVT_3), elsewhere)
    assert book.cases[0].redriven_at == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CASES", 2)
    book = Casebook("evt_3")
    assert found(book, *(dead_letter(offset, EVT_3) for offset in range(5))) == [0, 1]
    assert book.more == 3
