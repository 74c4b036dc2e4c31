"""Ids: native ones as strings, derived ones the same for every delivery of an event."""

import hashlib

import pytest

from streamer.core.errors import MappingError
from streamer.core.mapping.identity import derived_id, identifier


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("usr_1", "usr_1"),
        (" 1 ", " 1 "),
        ("é", "é"),
        ("\u200b\U0001f642", "\u200b\U0001f642"),
        (90210, "90210"),
        (0, "0"),
        (-1, "-1"),
        (7.0, "7"),
        (2**64 - 1, "18446744073709551615"),
    ],
)
def test_an_id_becomes_its_string(value: object, expected: str) -> None:
    assert identifier({"id": value}, "id") == expected


@pytest.mark.parametrize("native", [{}, {"id": None}, {"id": ""}, {"id": " \t"}, {"id": "\u200b"}, {"id": "\x00\x7f"}])
def test_absent_null_and_what_nobody_sees_are_no_id(native: dict[str, object]) -> None:
    assert identifier(native, "id") is None


@pytest.mark.parametrize("value", [float(2**53), 1e25, -1e25])
def test_a_number_that_decoding_may_have_changed_is_refused(value: float) -> None:
    """An id of 20 digits arrives as a float: a wrong person's id, and nothing would tell."""
    with pytest.raises(MappingError, match=r"^/properties/id: expected an id, found a number too large to be exact"):
        identifier({"id": value}, "id", "/properties")


def test_a_derived_id_is_the_documented_digest() -> None:
    digested = 'sprig\x1fenv\x1fgroup\x1f7\x1f{"a":"é","b":1}\x1f2026-03-02T09:15:27Z'
    expected = "spr_" + hashlib.sha256(digested.encode()).hexdigest()[:40]
    content = {"b": 1, "a": "é"}
    assert derived_id("spr_", "sprig", "env", "group", "7", content=content, time="2026-03-02T09:15:27Z") == expected


def test_an_absent_time_is_not_an_empty_one() -> None:
    assert derived_id("pf_", "a", content=1) != derived_id("pf_", "a", content=1, time="")
