"""Orders as records: what is written is read, and whatever else lies on the topic harms nobody."""

import dataclasses

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.steering.order import MAX_ORDER_BYTES, MAX_TEXT_CHARACTERS, Order, Unreadable, decode, encode

NOW = 1_770_000_000.0
PAUSED = Order(
    is_paused=True,
    discard=True,
    until=NOW + 3_600,
    reason="Segment moves",
    by="ada@web-7",
    at=NOW,
    release_guard_at=NOW - 50,
    probe_at=NOW - 40,
)

times = st.floats(0, 250_000_000_000.0)
texts = st.text(st.characters(categories=["L", "N", "P"]), max_size=MAX_TEXT_CHARACTERS)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    return Order(
        is_paused=draw(st.booleans()),
        discard=draw(st.booleans()),
        until=draw(st.none() | times),
        reason=draw(texts),
        by=draw(texts),
        at=draw(times),
        release_guard_at=draw(st.none() | times),
        probe_at=draw(st.none() | times),
    )


@given(orders())
def test_what_is_written_is_read(order: Order) -> None:
    assert decode(encode(order)) == order


def test_the_form_is_a_contract() -> None:
    """Instances of several versions read it at the same time."""
    assert orjson.loads(encode(PAUSED)) == {
        "v": 1,
        "status": "paused",
        "discard": True,
        "until": NOW + 3_600,
        "reason": "Segment moves",
        "by": "ada@web-7",
        "at": NOW,
        "release_guard_at": NOW - 50,
        "probe_at": NOW - 40,
    }


def test_keys_that_are_not_known_are_ignored_and_missing_ones_say_nothing() -> None:
    assert decode(b'{"v":1,"status":"paused","at":5,"colour":"red"}') == Order(is_paused=True, at=5.0)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b'{"v":1}',
        b'{"v":1,"status":"paused"}',
        b'{"v":1,"status":"stopped","at":5}',
        b'{"v":1,"status":["paused"],"at":5}',
        b'{"v":true,"status":"paused","at":5}',
        b'{"v":"1","status":"paused","at":5}',
        b'{"v":0,"status":"paused","at":5}',
        b'{"v":1,"status":"paused","at":true}',
        b'{"v":1,"status":"paused","at":-1}',
        b'{"v":1,"status":"paused","at":1e300}',
        b'{"v":1,"status":"paused","at":NaN}',
        b'{"v":1,"status":"paused","at":5,"until":"tomorrow"}',
        b'{"v":1,"status":"paused","at":5,"discard":1}',
        b'{"v":1,"status":"paused","at":5,"reason":7}',
        b'{"v":1,"status":"paused","at":5,"reason":"' + b"x" * MAX_ORDER_BYTES + b'"}',
    ],
)
def test_junk_is_no_order(value: bytes) -> None:
    assert decode(value) is Unreadable.DAMAGED


def test_an_order_of_a_later_version_is_told_apart() -> None:
    assert decode(b'{"v":2,"whatever":1}') is Unreadable.NEWER


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers())
FIELDS = ("v", "status", "discard", "until", "reason", "by", "at", "release_guard_at", "probe_at")


@given(
    st.fixed_dictionaries(
        {"v": st.just(1)}, optional=dict.fromkeys(FIELDS[1:], st.sampled_from(["paused", 5]) | ANYTHING)
    )
)
def test_no_document_raises(document: dict[str, object]) -> None:
    try:
        value = orjson.dumps(document)
    except TypeError:  # an integer of more than 64 bits, or a surrogate
        return
    decode(value)


@given(st.binary(max_size=200))
def test_nothing_on_the_topic_raises(value: bytes) -> None:
    decode(value)


def test_texts_of_people_are_one_line_of_bounded_length() -> None:
    order = Order(at=0.0).resumed(by="ada\x1b[31m@web\n7", reason="x" * 1_000, at=NOW)
    assert order.by == "ada [31m@web 7"
    assert len(order.reason) == MAX_TEXT_CHARACTERS
    assert order.reason.endswith("…")


def test_to_pause_leaves_the_moments_that_others_have_not_obeyed_yet() -> None:
    order = PAUSED.paused(by="bob@web-8", reason="", at=NOW + 9, until=None, discard=False)
    assert order == Order(is_paused=True, by="bob@web-8", at=NOW + 9, release_guard_at=NOW - 50, probe_at=NOW - 40)


def test_to_resume_is_a_moment_for_the_guard_and_for_the_destination() -> None:
    order = PAUSED.resumed(by="bob@web-8", reason="corrected", at=NOW + 9)
    assert order == Order(by="bob@web-8", reason="corrected", at=NOW + 9, release_guard_at=NOW + 9, probe_at=NOW + 9)
    assert not dataclasses.replace(order).is_paused
