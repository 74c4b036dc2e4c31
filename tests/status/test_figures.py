"""Figures as people read them."""

import pytest

from streamer.status.figures import MAX_TEXT_CHARACTERS, counted, duration, share, shortened


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "1 s"),
        (0.2, "1 s"),
        (40, "40 s"),
        (119, "119 s"),
        (120, "2 min"),
        (299, "4 min"),
        (5_400, "90 min"),
        (7_200, "2 h"),
        (86_400, "24 h"),
        (6 * 86_400, "6 days"),
        (10**9, "11,574 days"),
    ],
)
def test_a_duration_is_a_number_of_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_are_read_in_groups_of_three() -> None:
    assert (counted(1, "record"), counted(12_431, "record")) == ("1 record", "12,431 records")


@pytest.mark.parametrize(("part", "text"), [(0.2, "20 %"), (1.0, "100 %"), (0.001, "less than 1 %"), (0.0, "0 %")])
def test_a_share_is_in_percent(part: float, text: str) -> None:
    assert share(part) == text


def test_a_text_of_somebody_else_is_one_short_line_that_can_be_part_of_a_sentence() -> None:
    assert shortened("it failed.\nvalue of a record") == "it failed"
    assert len(shortened("x" * 999)) == MAX_TEXT_CHARACTERS
