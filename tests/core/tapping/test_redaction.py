"""A redacted line shows keys, types and lengths, and no value."""

from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.tapping import TapRequest
from streamer.core.tapping.redaction import MAX_ELEMENTS, redacted
from tests.core.tapping.calls import batch, call, new_tap

MARK = "\N{PILCROW SIGN}"
"""Begins every text that is a value, and occurs in nothing else."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: f"{MARK}{text}")
NUMBERS = st.integers(10**14, 2**63) | st.floats(1e14, 1e300)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=MARK), max_size=8)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


def leaves(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            for inner in value.values():
                yield from leaves(inner)
        case list():
            for inner in value:
                yield from leaves(inner)
        case _:
            yield value


@given(user=TEXTS, anonymous=TEXTS, properties=st.dictionaries(KEYS, VALUES, max_size=6), traits=VALUES, context=VALUES)
def test_no_value_of_a_call_is_in_its_line(
    user: str, anonymous: str, properties: dict[str, Any], traits: Any, context: Any
) -> None:
    told = {"userId": user, "anonymousId": anonymous, "properties": properties, "traits": traits, "context": context}
    tap = new_tap(TapRequest())
    tap.offer(batch(call(**told)), 0.0)
    line = tap.take()
    assert MARK.encode() not in line
    assert f"\\u{ord(MARK):04x}".encode() not in line
    for leaf in leaves(told):
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            assert orjson.dumps(leaf) not in line


@given(VALUES)
def test_the_shape_stays_and_every_leaf_is_a_type(value: Any) -> None:
    shown = redacted(value)
    assert type(shown) is (type(value) if isinstance(value, (dict, list)) else str)
    if isinstance(value, dict):
        assert list(shown) == list(value)
    for leaf in leaves(shown):
        assert leaf.partition("(")[0] in {"string", "number", "boolean", "null"}


def test_types_and_lengths() -> None:
    shown = redacted({"a": "four", "b": "", "c": 1, "d": 1.5, "e": True, "f": None, "g": [], "h": [{"i": "x"}]})
    assert shown == {
        "a": "string(4)",
        "b": "string(0)",
        "c": "number",
        "d": "number",
        "e": "boolean",
        "f": "null",
        "g": [],
        "h": [{"i": "string(1)"}],
    }


def test_a_long_list_is_shown_in_part() -> None:
    assert redacted(["x"] * 500) == ["string(1)"] * MAX_ELEMENTS + ["480 more"]
