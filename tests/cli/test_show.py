"""What ``streamer dlq show`` prints for people; `tests/operations` finds dead letters on a broker."""

import io
import sys

import pytest

from streamer.cli.dlq.show import lines_of, write_raw
from streamer.core.dead_letters.casebook import Casebook
from streamer.core.dead_letters.dead_letter import place_of
from tests.core.dead_letters.letters import dead_letter, note

STORY = {
    "streamer.message_id": b"evt_3",
    "streamer.destination": b"production",
    "streamer.attempts": b"4",
    "streamer.http.status": b"400",
    "streamer.first_failure_time": b"2026-02-02T02:30:00.000Z",
    "streamer.original_timestamp": b"1769999000000",
    "__connect.errors.stage": b"DELIVER",
    "__connect.errors.exception.message": b"/surveyId: expected an id, found nothing (sprig_stream.schema.json)",
}


def test_the_story_of_a_dead_letter_is_told_in_order() -> None:
    letter = dead_letter(7, STORY, value=b'{"rank":1}')
    letter.headers = [("app", b"web\x1b"), *letter.headers]
    back = note(8, 7)
    back.timestamp = 1_770_000_100_000
    book = Casebook("surveys.dlq:0:7")
    for record in (letter, back, dead_letter(9, {"streamer.redriven.from": place_of(letter).encode()})):
        book.take(record)
    assert list(lines_of(book.cases[0])) == [
        "surveys.dlq:0:7",
        "  message id     evt_3",
        "  integration    surveys",
        "  record         surveys:4:99, of 2026-02-02T02:23:20.000Z",
        "  key            visitor",
        "  destination    production",
        "  attempts       4",
        "  first failure  2026-02-02T02:30:00.000Z",
        "  HTTP status    400",
        "  dead letter    since 2026-02-02T02:40:00.000Z, redriven 1 times before",
        "  reason         rejected_400 (stage DELIVER)",
        "  detail         /surveyId: expected an id, found nothing (sprig_stream.schema.json)",
        "  schema says    The study. A number stands for its decimal string.",
        "  redriven       2026-02-02T02:41:40.000Z",
        "  again          dead letter again since 2026-02-02T02:40:00.000Z: surveys.dlq:0:9",
        "headers of the record",
        "  app: web\\x1b",
        "value (10 bytes, JSON)",
        '{\n  "rank": 1\n}',
    ]


@pytest.mark.parametrize(
    ("header", "told"),
    [("streamer.value.null", "no value: the record has none"), ("streamer.value.omitted", "no value: the broker did")],
)
def test_a_value_that_is_not_there_is_told(header: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    book = Casebook("evt_3")
    book.take(dead_letter(7, {**STORY, header: b"1"}, value=b""))
    assert list(lines_of(book.cases[0]))[-1].startswith(told)
    assert write_raw(book.cases) == 1
    assert "has no value" in capsys.readouterr().err


def test_raw_bytes_are_of_one_dead_letter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    book = Casebook("evt_3")
    book.take(dead_letter(7, STORY, value=b"\xff\n"))
    out = io.TextIOWrapper(io.BytesIO())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert write_raw(book.cases) == 0
    assert out.buffer.getvalue() == b"\xff\n"
    book.take(dead_letter(8, STORY))
    assert write_raw(book.cases) == 1
    assert "2 dead letters have it; name the place of one: surveys.dlq:0:7, surveys.dlq:0:8" in capsys.readouterr().err
