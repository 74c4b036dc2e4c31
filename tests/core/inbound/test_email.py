"""Which e-mail addresses are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.inbound.email import compared, is_usable, stored


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Respondent.1@Example.COM", " respondent.1@example.com\n"),
        ("STRASSE@x.de", "straße@x.de"),
        ("J\u00dcRGEN@x.de", "ju\u0308rgen@x.de"),
        ("\u03a3@x.gr", "\u03c2@x.gr"),
        ("\u03b1\u0345\u0301@x.gr", "\u03ac\u03b9@x.gr"),
    ],
)
def test_case_and_composition_do_not_matter(one: str, other: str) -> None:
    assert compared(one) == compared(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0131@x.tr", "i@x.tr"),
        ("\u0130@x.tr", "i@x.tr"),
        ("\uff41@x.jp", "a@x.jp"),
        ("a.b@gmail.com", "ab@gmail.com"),
        ("a+tag@x.cz", "a@x.cz"),
        ("a@b\u00fccher.de", "a@xn--bcher-kva.de"),
    ],
)
def test_everything_else_does(one: str, other: str) -> None:
    assert compared(one) != compared(other)


@given(st.text())
def test_an_address_is_the_same_however_often_it_is_read(text: str) -> None:
    assert compared(stored(text)) == compared(text)
    assert stored(stored(text)) == stored(text)


def test_length_and_controls() -> None:
    assert is_usable("x" * 320)
    assert not is_usable("x" * 321)
    assert not is_usable("a\u0085b")
