"""Whatever bytes a topic holds: one document, or an error that says what it looks like and quotes nothing."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.errors import DecodeError
from streamer.core.mapping.decode import decode

SECRET = "an-answer"
DOCUMENT = json.dumps({"answer": SECRET}).encode()

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=8,
)


@given(json_values)
def test_json_decodes_to_what_it_says(value: object) -> None:
    assert decode(json.dumps(value).encode()) == value


def test_of_repeated_keys_the_last_one_wins() -> None:
    assert decode(b'{"userId": "a", "userId": "b"}') == {"userId": "b"}


@pytest.mark.parametrize("value", [b"\xef\xbb\xbf" + DOCUMENT, b" \r\n\t" + DOCUMENT + b"\r\n"])
def test_byte_order_mark_and_white_space_around_are_skipped(value: bytes) -> None:
    assert decode(value) == {"answer": SECRET}


def test_text_is_not_normalised() -> None:
    """Composed and decomposed accents, joined emoji, line separators: what a person wrote is what arrives."""
    text = "\u00e9 e\u0301 \U0001f469\u200d\U0001f469 \u2028 \ufeff"
    assert decode(json.dumps({"a": text}, ensure_ascii=False).encode()) == {"a": text}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        pytest.param(b"", "the value is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf", "the value is empty", id="only a byte order mark"),
        pytest.param(b"  ", "not JSON", id="blank"),
        pytest.param(DOCUMENT[:-4], "not JSON: the document is cut off (line 1, column", id="truncated"),
        pytest.param(b"[" * 1000, "not JSON: the document is cut off", id="truncated in depth"),
        pytest.param(b"[" * 100_000, "not JSON: the document is nested more than 1,024", id="100,000 deep"),
        pytest.param(b"[" * 1100 + b"]" * 1100, "not JSON: the document is nested more than 1,024", id="1,100 deep"),
        pytest.param(DOCUMENT * 2, "not JSON: there is more than one document in the value", id="two documents"),
        pytest.param(DOCUMENT + b"\n" + DOCUMENT, "not JSON: there is more than one document", id="two lines"),
        pytest.param(b'{"a": NaN}', "not JSON", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "not JSON", id="infinity"),
        pytest.param(b'{"a": 1e400}', "not JSON: a number is too large for a 64-bit float", id="1e400"),
        pytest.param(b'{"a": ' + b"7" * 5000 + b"}", "not JSON: a number is too large", id="5,000 digits"),
        pytest.param(b'{"a": "\\ud800"}', "not JSON: a string holds half of a", id="lone high surrogate"),
        pytest.param(b'{"a": "\\udc00"}', "not JSON: a string holds half of a surrogate pair", id="lone low surrogate"),
        pytest.param(b'{"a": "\\ud800\\u0041"}', "not JSON: a string holds half of a surrogate pair", id="wrong pair"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7", id="surrogate in UTF-8"),
        pytest.param(b'{"a": "\xff"}', "not UTF-8 at byte 7", id="invalid UTF-8"),
        pytest.param('{"a": "é"}'.encode("latin-1"), "not UTF-8 at byte 7", id="Latin-1"),
        pytest.param(DOCUMENT.decode().encode("utf-16"), "the value looks like UTF-16", id="UTF-16 with mark"),
        pytest.param(DOCUMENT.decode().encode("utf-16-le"), "the value looks like UTF-16", id="UTF-16, little end"),
        pytest.param(DOCUMENT.decode().encode("utf-16-be"), "the value looks like UTF-16", id="UTF-16, big end"),
        pytest.param(gzip.compress(DOCUMENT), "the value is compressed with gzip", id="gzip"),
        pytest.param(zlib.compress(DOCUMENT), "not UTF-8 at byte", id="zlib"),
        pytest.param(b"\x00\x00\x00\x00\x07" + DOCUMENT, "the value begins with a zero byte", id="registry prefix"),
        pytest.param(b"\x00", "the value begins with a zero byte", id="zero byte"),
        pytest.param(b"{'a': 'an-answer'}", "not JSON", id="single quotes"),
        pytest.param(b'{"answer": an-answer}', "not JSON", id="no quotes"),
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_the_cause_and_quotes_nothing(value: bytes, cause: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(value)
    assert refused.value.detail.startswith(cause)
    assert SECRET not in refused.value.detail
    assert refused.value.__suppress_context__ or refused.value.__context__ is None  # orjson's error holds the document


@given(st.binary())
def test_no_bytes_raise_anything_but_a_decode_error(value: bytes) -> None:
    details = []
    for strip_registry_prefix in (False, True):
        try:
            decode(value, strip_registry_prefix=strip_registry_prefix)
        except DecodeError as error:
            details.append(error.detail)
    assert all(details)


def test_registry_prefix_error_names_the_setting() -> None:
    with pytest.raises(DecodeError, match="strip_registry_prefix: true"):
        decode(b"\x00\x00\x00\x00\x07" + DOCUMENT)


@pytest.mark.parametrize("schema_id", [7, 0x7B22, 2**31, 2**32 - 1])
def test_registry_prefix_is_stripped_where_the_setting_says_so(schema_id: int) -> None:
    prefix = b"\x00" + schema_id.to_bytes(4, "big")
    assert decode(prefix + DOCUMENT, strip_registry_prefix=True) == {"answer": SECRET}


def test_values_without_prefix_still_pass_where_it_is_stripped() -> None:
    """A topic may hold both while its producers move to a registry."""
    assert decode(DOCUMENT, strip_registry_prefix=True) == {"answer": SECRET}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"\x00\x00\x00", "the value is shorter than the 5-byte prefix"),
        (b"\x00\x00\x00\x00\x07", "the value is empty"),
        (b"\x00\x00\x00\x00\x07\x02\x06abc", "not JSON"),
    ],
)
def test_what_is_not_json_behind_a_prefix_is_an_error(value: bytes, cause: str) -> None:
    with pytest.raises(DecodeError, match=f"^{cause}"):
        decode(value, strip_registry_prefix=True)


def test_a_value_of_two_megabytes_decodes() -> None:
    assert len(decode(json.dumps({"a": "x" * 2_000_000}).encode())["a"]) == 2_000_000
