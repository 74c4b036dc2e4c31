"""In which groups ``streamer dlq why`` counts dead letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.cause import OTHERS, UNKNOWN, Cause, Causes, producer_of
from streamer.core.dead_letters.detail import alike, matches, pattern_of
from tests.core.dead_letters.letters import StoredRecord, dead_letter, letter_of

SCHEMA = " (sprig_export.schema.json)"
RANK = "rank: expected an integer, found a string"
XY = "expected x, found y"


@pytest.mark.parametrize(
    ("detail", "counted_as"),
    [
        (f"/answers/3/{RANK}{SCHEMA}", f"/answers/*/{RANK}{SCHEMA}"),
        (f"/a/0/b: {XY}; /a/17/b: {XY}{SCHEMA}", f"/a/*/b: {XY}{SCHEMA}"),
        (f"/a/0/b/2: {XY}; /c: {XY}; and 3 more{SCHEMA}", f"/a/*/b/*: {XY}; /c: {XY}{SCHEMA}"),
        (
            f"/a: expected x, found a string of 812 characters{SCHEMA}",
            f"/a: expected x, found a string of * characters{SCHEMA}",
        ),
        (
            "not JSON: the document is cut off (line 3, column 17)",
            "not JSON: the document is cut off (line *, column *)",
        ),
        ("not UTF-8 at byte 3", "not UTF-8 at byte *"),
        ("the value has 900000 bytes; expected at most 512000", "the value has * bytes; expected at most 512000"),
        ("not sent, because an earlier record made the same call: Segment answered 400", "Segment answered 400"),
        ("", ""),
    ],
)
def test_the_same_fault_is_counted_together(detail: str, counted_as: str) -> None:
    """Wherever in a list it is, however long the text was, and however many records shared the verdict."""
    assert alike(detail) == counted_as
    assert matches(pattern_of(counted_as), detail)


@given(st.text(max_size=300))
def test_what_why_prints_selects_what_it_counted(detail: str) -> None:
    """People copy a detail from there into --detail."""
    assert matches(pattern_of(alike(detail)), detail)
    assert matches(pattern_of("*"), detail)


def test_a_pattern_has_no_wildcard_but_the_asterisk() -> None:
    assert matches(pattern_of("expected one of [a, b]?"), "expected one of [a, b]?")
    assert not matches(pattern_of("expected one of [a, b]"), "expected one of a")
    assert not matches(pattern_of("rank"), "/rank: expected an integer")


def test_the_first_header_that_names_a_producer_counts() -> None:
    record = StoredRecord(headers=[("app", b"web"), ("client.id", b"web-7"), ("producer", None)])
    assert producer_of(record) == "client.id=web-7"
    assert producer_of(record, ["producer", "app"]) == "app=web"
    assert producer_of(record, ["source"]) == UNKNOWN
    assert producer_of(StoredRecord(headers=[("app", b"\xff" * 1_000)])) == "app=" + "\ufffd" * 100


def test_the_number_of_groups_is_bounded() -> None:
    """A header with another value in every record must not fill the memory."""
    causes = Causes(["app"], max_causes=2)
    found = []
    for app in (b"a", b"b", b"c", b"a"):
        record = dead_letter()
        record.headers = [("app", app), *record.headers]
        found.append(causes.cause_of(record, letter_of(record)))
    first, second = (Cause("surveys", "rejected_400", "", f"app={app}") for app in "ab")
    assert found == [first, second, OTHERS, first]
