"""A body is split at the exact bytes of its calls, whatever stands in them, and in linear time."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.inbound.body import BodyFault, end_of_value, split
from streamer.core.inbound.outline import Outline

MAX_BODY_BYTES = 8 << 20
MANY = 5_000

blanks = st.text(" \t\n\r", max_size=3)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.sampled_from('a"\\/[]{},:0é\u2028👍\x00\ud800'), max_size=8),
)
documents = st.recursive(
    scalars, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text('a"\\[{', max_size=3), part, max_size=4)
)


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """A JSON text of any form: escapes or raw letters, with and without blanks."""
    text = json.dumps(
        draw(documents),
        separators=draw(st.sampled_from([(",", ":"), (" ,\n", "\t: ")])),
        ensure_ascii=draw(st.booleans()),
    )
    # Half of a surrogate pair can only be escaped.
    return text.encode(errors="backslashreplace").decode()


@given(st.lists(st.tuples(blanks, json_texts(), blanks), max_size=5), st.sampled_from(["", "\ufeff"]), blanks, blanks)
def test_a_list_is_split_at_the_exact_bytes_of_its_elements(
    parts: list[tuple[str, str, str]], mark: str, before: str, after: str
) -> None:
    body = mark + before + "[" + ",".join(map("".join, parts)) + "]" + after
    assert split(body.encode(), MANY) == [text.encode() for _, text, _ in parts]


@given(json_texts(), st.sampled_from(["", "\ufeff"]), blanks, blanks)
def test_a_single_body_is_cut_from_its_blanks_only(text: str, mark: str, before: str, after: str) -> None:
    expected: object = BodyFault.NOT_A_CALL
    if text.startswith("{"):
        expected = [text.encode()]
    elif text.startswith("["):
        return
    assert split((mark + before + text + after).encode(), MANY) == expected


def is_json(text: str) -> bool:
    def refuse(_: str) -> None:
        raise ValueError

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


PIECES = r"""[ ] { } , : " "a" \ \" \\ \u00e9 \x 0 - 1.5e3 1. 01 true nul NaN Infinity ( ; é {"a": "a":1 [] {} [1]"""
fragments = st.lists(st.sampled_from([*PIECES.split(), " ", "\n", "\x00", "\x7f"]), max_size=12).map("".join)


@given(
    fragments | json_texts() | st.tuples(json_texts(), st.integers(0, 40), fragments).map(lambda t: t[0][: t[1]] + t[2])
)
def test_what_is_no_json_is_refused_by_parser_and_outline_alike(text: str) -> None:
    """The standard library's reader is the judge."""
    text = text.strip(" \t\n\r")
    is_call = text[:1] in {"[", "{"} and is_json(text)
    assert Outline(text).is_document() == is_call
    found = split(text.encode(), MANY)
    assert isinstance(found, list) == is_call
    if is_call and text.startswith("["):
        assert [text[start:end].encode() for start, end in Outline(text).elements()] == found
    if is_call:
        assert Outline(text + "]}x").end() == end_of_value(text + "]}x", 0) == len(text)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", BodyFault.EMPTY),
        (b" \r\n", BodyFault.EMPTY),
        (b"\xef\xbb\xbf", BodyFault.EMPTY),
        (b'{"a":"\xff"}', BodyFault.NOT_UTF8),
        (b'["\xed\xa0\x80"]', BodyFault.NOT_UTF8),
        (b"[NaN]", BodyFault.NOT_JSON),
        (b'{"a":-Infinity}', BodyFault.NOT_JSON),
        (b'["a\nb"]', BodyFault.NOT_JSON),
        (b'{"a":1}x', BodyFault.NOT_JSON),
        (b"[1] [2]", BodyFault.NOT_JSON),
        (b"[1,]", BodyFault.NOT_JSON),
        (b"[1", BodyFault.NOT_JSON),
        (b"['a']", BodyFault.NOT_JSON),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", BodyFault.NOT_JSON),
        (b"{}\x0c", BodyFault.NOT_JSON),
        (b"\xa0{}", BodyFault.NOT_UTF8),
        (b'"text"', BodyFault.NOT_A_CALL),
        (b"12", BodyFault.NOT_A_CALL),
        (b"null", BodyFault.NOT_A_CALL),
    ],
)
def test_a_body_that_is_not_json_is_refused(body: bytes, fault: BodyFault) -> None:
    assert split(body, MANY) is fault


GOOD = b'{"type":"track"}'


@pytest.mark.parametrize(
    "bad",
    [
        rb'{"a":"\ud800"}',
        b'{"a":1e999}',
        b'{"a":-' + b"9" * 5_000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":[' * 3_000 + b'"]"' + b"]}" * 3_000,
        b'{"a":1,"a":2}',
        b'"text"',
        b"0",
        b"{}",
    ],
    ids=lambda bad: str(bad[:12]),
)
def test_a_bad_element_never_refuses_its_batch(bad: bytes) -> None:
    assert split(b"[" + GOOD + b" ,\n" + bad + b", " + GOOD + b"]", MANY) == [GOOD, bad, GOOD]


def test_a_wrapper_belongs_to_its_call() -> None:
    assert split(b'[{"json":{"a":1}},{"json": {"b":2} }]', MANY) == [b'{"json":{"a":1}}', b'{"json": {"b":2} }']


def test_too_many_calls_are_refused_after_what_is_no_json() -> None:
    assert split(b"[0,0,0]", 3) == [b"0"] * 3
    assert split(b"[0,0,0,0]", 3) is BodyFault.TOO_MANY_CALLS
    assert split(b"[0,0,0,0,0,x]", 3) is BodyFault.NOT_JSON
    deep = b"[" * 2_000 + b"]" * 2_000
    assert split(b"[0,0,0," + deep + b"]", 3) is BodyFault.TOO_MANY_CALLS
    assert split(b"[0,0,0," + deep + b",]", 3) is BodyFault.NOT_JSON


HALF = MAX_BODY_BYTES // 2
SOME = MAX_BODY_BYTES // 4
"""Bytes of the shapes that take the longest, so that the tests are done soon."""
HOSTILE = {
    "open lists": b"[" * MAX_BODY_BYTES,
    "open objects": b'{"a":' * (SOME // 5),
    "backslashes": b'["' + b"\\\\" * (HALF - 2) + b'"]',
    "backslashes without end": b'["' + b"\\\\" * (HALF - 1),
    "quotes without end": b'["' + b'\\"' * (HALF - 1),
    "strings": b"[" + b'"ab",' * (MAX_BODY_BYTES // 5),
    "one number": b"[" + b"1" * (MAX_BODY_BYTES - 2) + b"]",
    "numbers": b"[" + b"0," * (HALF - 1) + b"0]",
    "lists": b"[" + b"[]," * (SOME // 3) + b"[]]",
    "deep list": b"[" * (SOME // 2) + b"]" * (SOME // 2),
    "deep mixture": b'[{"a":' * (SOME // 8) + b"0" + b"}]" * (SOME // 8),
    "many deep lists": b"[" + (b"[" * 2_000 + b"]" * 2_000 + b",") * (SOME // 4_001) + b"0]",
    "blanks": b"[" + b" " * (MAX_BODY_BYTES - 2) + b"]",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_settled_soon(body: bytes) -> None:
    """Each takes less than a second where nothing else runs; in quadratic time it would be hours."""
    began = time.process_time()
    split(body, MANY)
    end_of_value(body.decode(), 1)
    assert time.process_time() - began < 6


def test_an_ordinary_body_is_split_in_less_than_two_milliseconds() -> None:
    call = json.dumps({"type": "identify", "userId": "u-1", "traits": {f"trait_{n}": ["é\\", n] for n in range(30)}})
    assert 500 < len(call) < 1_000
    body = f"[{','.join([call] * 100)}]".encode()
    best = 9.0
    for _ in range(20):
        began = time.process_time()
        split(body, MANY)
        best = min(best, time.process_time() - began)
    assert best < 0.002
