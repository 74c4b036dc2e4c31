"""One serialisation per call, at most 32,000 bytes of it; only texts in properties give way."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.errors import MappingError, TooLargeError
from streamer.core.mapping.call import Call
from streamer.core.mapping.encode import MIN_CUT_BYTES, canonical_json, encode_call
from streamer.core.model import MAX_CALL_BYTES

characters = st.characters(codec="utf-8", exclude_characters="\0")
texts = st.text(characters, max_size=60)
keys = texts | st.sampled_from(["responseTruncated", "responseOriginalBytes"])
long_texts = st.builds(
    lambda text, times: text * times,
    st.text(characters, min_size=1, max_size=20),
    st.integers(0, 3_000),
)
values = st.recursive(
    texts | long_texts | st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
    lambda parts: st.lists(parts, max_size=5) | st.dictionaries(texts, parts, max_size=5),
    max_leaves=12,
)
calls = st.builds(
    lambda user_id, properties: {"type": "track", "userId": user_id, "properties": properties},
    texts,
    st.dictionaries(keys, values, max_size=6),
)


def call_with(**properties: Any) -> Call:
    return {"type": "track", "event": "e", "userId": "u", "properties": properties}


def assert_only_texts_were_cut(whole: Any, sent: Any) -> None:
    """``sent`` is ``whole``, except that strings may be shorter beginnings of themselves."""
    if isinstance(whole, str):
        assert isinstance(sent, str)
        assert whole.startswith(sent)
        assert sent == whole or len(orjson.dumps(sent)) - 2 >= MIN_CUT_BYTES - 6
    elif isinstance(whole, list):
        assert isinstance(sent, list)
        assert len(sent) == len(whole)
        for whole_part, sent_part in zip(whole, sent, strict=True):
            assert_only_texts_were_cut(whole_part, sent_part)
    elif isinstance(whole, dict):
        assert sent.keys() == whole.keys()
        for key, part in whole.items():
            assert_only_texts_were_cut(part, sent[key])
    else:
        assert sent == whole


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value if isinstance(value, list) else value.values():
            yield from texts_in(part)


@given(calls)
def test_a_call_fits_or_is_refused_and_nothing_but_texts_in_properties_changes(call: Call) -> None:
    before = orjson.dumps(call)
    try:
        body = encode_call(call)
    except TooLargeError:
        assert len(before) > MAX_CALL_BYTES
        assert orjson.dumps(call) == before
        return
    assert len(body) <= MAX_CALL_BYTES
    assert orjson.dumps(call) == before  # the event's own parts are in it
    sent = json.loads(body.decode())
    if len(before) <= MAX_CALL_BYTES:
        assert body == before
        return
    assert sent["properties"].pop("responseTruncated") is True
    original_bytes = sent["properties"].pop("responseOriginalBytes")
    call["properties"].pop("responseTruncated", None)
    call["properties"].pop("responseOriginalBytes", None)
    pairs = zip(texts_in(call["properties"]), texts_in(sent["properties"]), strict=True)
    assert original_bytes == sum(len(whole.encode()) for whole, cut in pairs if whole != cut)
    assert_only_texts_were_cut(call, sent)


def test_the_longest_text_is_cut_as_little_as_needed() -> None:
    body = encode_call(call_with(short="s" * 1_000, long="l" * 40_000))
    properties = json.loads(body)["properties"]
    assert len(body) in range(MAX_CALL_BYTES - 8, MAX_CALL_BYTES + 1)
    assert properties["short"] == "s" * 1_000
    assert len(properties["long"]) > 30_000


@pytest.mark.parametrize("name", ["responseTruncated", "responseOriginalBytes"])
def test_a_property_with_the_name_of_a_mark_is_no_text_to_cut(name: str) -> None:
    """The mark replaces it: what was cut of it would not make the call shorter."""
    body = encode_call(call_with(**{name: "m" * 31_950, "answer": "a" * 31_900}))
    assert len(body) <= MAX_CALL_BYTES
    assert json.loads(body)["properties"]["responseTruncated"] is True


def test_texts_longer_than_a_common_length_are_cut_to_it() -> None:
    """Three long answers of one response share the room; none of them is lost for another."""
    properties = json.loads(encode_call(call_with(answers=["a" * 20_000, "b" * 30_000, "c" * 9_000, "d" * 50])))[
        "properties"
    ]
    first, second, third, fourth = properties["answers"]
    assert len(first) == len(second) > 11_000
    assert (len(third), len(fourth)) == (9_000, 50)
    assert properties["responseOriginalBytes"] == 50_000


@pytest.mark.parametrize("character", ["é", "満", "🌙", '"', "\\", "\n", "\x01", "\u2028"])
def test_a_text_is_cut_between_characters_and_escapes_count(character: str) -> None:
    body = encode_call(call_with(answer=character * 40_000))
    assert MAX_CALL_BYTES - 16 <= len(body) <= MAX_CALL_BYTES
    assert set(json.loads(body)["properties"]["answer"]) == {character}


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"numbers": list(range(10_000))}, id="numbers"),
        pytest.param({"k" * 33_000: 1}, id="a key"),
        pytest.param({"texts": ["i" * (MIN_CUT_BYTES - 1)] * 1_000}, id="short texts"),
    ],
)
def test_what_cannot_be_cut_down_is_too_large(properties: dict[str, Any]) -> None:
    with pytest.raises(TooLargeError, match="over Segment's limit of 32000"):
        encode_call(call_with(**properties))


def test_a_long_text_outside_properties_is_too_large() -> None:
    """Ids, names of events and pages are never cut: a wrong one is worse than none."""
    with pytest.raises(TooLargeError):
        encode_call({**call_with(answer="short"), "userId": "u" * 33_000})


def test_a_call_of_exactly_the_limit_is_left_alone() -> None:
    room = MAX_CALL_BYTES - len(orjson.dumps(call_with(answer="")))
    call = call_with(answer="a" * room)
    assert encode_call(call) == orjson.dumps(call)
    assert b"responseTruncated" in encode_call(call_with(answer="a" * (room + 1)))


@given(
    st.recursive(
        st.text(st.sampled_from("a\0\\u0\n"), max_size=8) | st.integers(0, 9) | st.none(),
        lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["a", "a\0", "\\u0000"]), parts),
        max_leaves=8,
    )
)
def test_no_text_and_no_key_of_a_call_has_a_nul(value: Any) -> None:
    """Databases behind Segment cannot store it. What only looks like one, a backslash and digits, stays."""
    call = call_with(answer=value)
    before = orjson.dumps(call)
    expected = json.loads(before, object_pairs_hook=lambda pairs: {k.replace("\0", ""): clean(v) for k, v in pairs})
    assert json.loads(encode_call(call)) == expected
    assert orjson.dumps(call) == before  # ids derive from the event's own parts


def clean(value: Any) -> Any:
    if isinstance(value, list):
        return [clean(part) for part in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def test_a_message_id_keeps_its_nul() -> None:
    """An id that was sent is a promise; the texts beside it are cleaned all the same."""
    body = json.loads(encode_call({**call_with(answer="a\0b"), "messageId": "m\0"}))
    assert (body["messageId"], body["properties"]["answer"]) == ("m\0", "ab")


def test_a_text_is_cut_after_its_nuls_are_gone() -> None:
    body = encode_call(call_with(answer="a\0" * 30_000))
    assert json.loads(body)["properties"] == {"answer": "a" * 30_000}


@pytest.mark.parametrize("encode", [encode_call, canonical_json])
def test_what_is_nested_too_deeply_to_serialise_is_a_mapping_error(encode: Any) -> None:
    value = orjson.loads(b'{"properties":' + b"[" * 1_000 + b"]" * 1_000 + b"}")
    with pytest.raises(MappingError, match="nested too deeply"):
        encode(value)


def test_canonical_json_sorts_by_code_point_without_blanks_or_escapes() -> None:
    document = {"b": 1, "a": {"\U00010000": 1, "\uffff": 2}, "é": "満\u2028\x7f", "list": [1, 2.5, None, True]}
    expected = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert canonical_json(document) == expected.encode()


@given(values)
def test_canonical_json_is_what_other_implementations_would_write(value: Any) -> None:
    """A producer in another language can derive the same ids."""
    expected = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert canonical_json(value) == expected.encode()
