"""Bytes of records on a terminal."""

import pytest

from streamer.cli import record_text
from streamer.cli.output import harmless, table_lines
from streamer.cli.record_text import one_line, value_text


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (b'{"b":1,"a":"\xc3\xa9"}', "JSON", '{\n  "b": 1,\n  "a": "é"\n}'),
        (b"nonsense", "text", "nonsense"),
        (b"3", "text", "3"),
        (b"", "text", ""),
        (b"\x00\x00\x00\x00\x01{}\xff" * 2 + b"A", "no text", None),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: bytes, kind: str, text: str | None) -> None:
    found, shown = value_text(value)
    assert found == kind
    if text is not None:
        assert shown == text
    else:
        assert shown.splitlines() == [
            "00000000  00 00 00 00 01 7b 7d ff 00 00 00 00 01 7b 7d ff  .....{}......{}.",
            "00000010  41                                               A",
        ]


@pytest.mark.parametrize("value", [b"x" * 30_000, b"\xff" * 30_000, b'["' + b"x" * 30_000 + b'"]'])
def test_what_is_shown_is_bounded_and_says_so(value: bytes) -> None:
    _, shown = value_text(value)
    assert len(shown) < record_text.MAX_TEXT_CHARACTERS + 100
    assert shown.splitlines()[-1].startswith("... and ")
    assert "--raw" in shown


def test_a_value_cannot_play_with_the_terminal() -> None:
    """Whoever may write to the topic could otherwise change colours, move the cursor, or set the title."""
    assert harmless("a\x1b[31mred\x9b\u202e\tb\n") == "a\\x1b[31mred\\x9b\\u202e\tb\n"
    assert "\x1b" not in value_text(b"\x1b]0;title\x07")[1]
    assert "\x9b" not in value_text('{"a": "\x9b"}'.encode())[1]
    assert one_line(b"one\ntwo\x1b") == "one\\ntwo\\x1b"
    assert one_line(b"\xff\x00") == "ff 00"
    assert one_line(None) == "(none)"
    assert table_lines([{"reason": "a\x1b[2J\nb"}]) == ["reason", "a\\x1b[2J\\nb"]
