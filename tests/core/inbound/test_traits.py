"""Traits become e-mail, names and flat attributes, value by value."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from streamer.core.inbound.call import REMOVE, Remark
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.traits import of_identify, of_track

RULES = Rules()
REMOVING = replace(RULES, remove_nulls=True)
VALUE, NAME = Remark.ATTRIBUTE_VALUE, Remark.ATTRIBUTE_NAME


def attributes(traits: Mapping[str, Any], *remarks: Remark, rules: Rules = RULES) -> list[tuple[str, Any]]:
    """In their order."""
    found = of_identify(traits, {}, rules)
    assert found.remarks == list(remarks)
    return list(found.traits.attributes.items())


def test_objects_are_flattened_in_document_order() -> None:
    assert attributes({"b": {"y": 1, "x": {"z": True}}, "a": "", "e": {}, "n": {"": 1}}) == [
        ("b.y", 1),
        ("b.x.z", True),
        ("a", ""),
        ("n.", 1),
    ]


def test_of_two_values_with_one_name_the_last_counts() -> None:
    assert attributes({"a.b": 1, "a": {"b": 2}}) == [("a.b", 2)]
    assert attributes({"a": {"b": 2}, "a.b": 1}) == [("a.b", 1)]
    assert attributes({"a": {"b": 2}, "a.b": None}) == [("a.b", 2)]


def test_a_null_keeps_or_removes_what_is_there() -> None:
    assert attributes({"a": None, "b": {"c": None}}) == []
    assert attributes({"a": None, "b": {"c": None}}, rules=REMOVING) == [("a", REMOVE), ("b.c", REMOVE)]


def test_lists_of_plain_values_are_kept() -> None:
    kept = {"a": [], "b": ["x", 1, 1.5, True]}
    assert attributes(kept) == list(kept.items())
    assert attributes({"a": [None], "b": [{}], "c": [[1]], "d": 1}, VALUE, VALUE, VALUE) == [("d", 1)]


def test_numbers_are_exact() -> None:
    kept = {"a": 2**63 - 1, "b": 2**64 - 1, "c": 0.1, "d": -(2**63)}
    assert attributes(kept) == list(kept.items())


@pytest.mark.parametrize(
    ("fits", "too_large"),
    [
        ("x" * 4_094, "x" * 4_095),
        ("é" * 2_047, "é" * 2_048),
        ("\u0001" * 682, "\u0001" * 683),
        ('"' * 2_047, '"' * 2_048),
        (["x" * 4_092], ["x" * 4_093]),
        ([1] * 2_047, [1] * 2_048),
    ],
    ids=lambda value: str(value[:1]),
)
def test_a_value_over_4096_bytes_is_dropped_whole(fits: object, too_large: object) -> None:
    assert attributes({"a": fits, "b": 1}) == [("a", fits), ("b", 1)]
    assert attributes({"a": too_large, "b": 1}, VALUE) == [("b", 1)]


def test_the_size_of_a_value_can_be_set() -> None:
    rules = replace(RULES, max_value_bytes=3)
    assert attributes({"a": "x", "b": "xy", "c": 123, "d": 1234, "e": True}, VALUE, VALUE, VALUE, rules=rules) == [
        ("a", "x"),
        ("c", 123),
    ]


@pytest.mark.parametrize(
    "traits",
    [
        {"": 1},
        {"x" * 129: 1},
        {"x" * 64: {"y" * 64: 1}},
        {"a\u0000": 1},
        {"a": {"\u009fb": 1}},
        {"!plan": 1},
        {"__proto__": 1},
        {"__proto__": {"polluted": 1}},
        {"a": {"constructor": {"b": 1}}},
        {"a.prototype.b": 1},
    ],
    ids=lambda traits: str(traits)[:20],
)
def test_names_that_nobody_can_use_are_dropped(traits: dict[str, Any]) -> None:
    assert attributes({**traits, "plan": "Free"}, NAME) == [("plan", "Free")]


def test_names_at_the_limit_are_kept() -> None:
    kept = {"x" * 128: 1, "a!": 1, "__proto": 1, "constructors": 1, "name": 1, "role": 1, "signUpAt": 1, "é ü": 1}
    assert attributes(kept) == list(kept.items())


def test_each_dropped_value_is_one_remark() -> None:
    assert (
        attributes({"!": {"a": 1, "b": [None]}, "c": [None], "d": {"e": [None]}}, NAME, NAME, VALUE, VALUE)
        == [("!.a", 1)][:0]
    )


@pytest.mark.parametrize("key", ["firstname", "firstName", "first_name"])
def test_first_and_last_name_have_three_spellings(key: str) -> None:
    last = key.replace("first", "last")
    found = of_identify({key: "Eva", last: "", "a": {key: "attribute"}}, {}, RULES).traits
    assert (found.firstname, found.lastname) == ("Eva", "")
    assert found.attributes == {f"a.{key}": "attribute"}


def test_the_first_spelling_that_is_a_text_counts() -> None:
    found = of_identify({"first_name": "C", "firstName": "B", "firstname": 5, "lastName": {"x": 1}}, {}, RULES)
    assert (found.traits.firstname, found.traits.lastname, found.traits.attributes) == ("B", None, {})
    assert found.remarks == [VALUE, VALUE]


def test_a_null_name_is_absent_or_removes_it() -> None:
    traits = {"firstname": None, "firstName": "B", "lastname": None}
    kept = of_identify(traits, {}, RULES)
    assert (kept.traits.firstname, kept.traits.lastname, kept.remarks) == ("B", None, [])
    removed = of_identify(traits, {}, REMOVING).traits
    assert (removed.firstname, removed.lastname) == ("B", REMOVE)


def test_a_name_over_its_size_is_dropped() -> None:
    found = of_identify({"firstname": "x" * 4_095}, {}, RULES)
    assert (found.traits.firstname, found.remarks) == (None, [VALUE])


@pytest.mark.parametrize(
    ("traits", "context_traits", "address", "remarks"),
    [
        ({"email": " A@x.cz\u2003"}, {"email": "b@x.cz"}, "A@x.cz", []),
        ({"email": ""}, {"email": "b@x.cz"}, "b@x.cz", []),
        ({"email": "\u00a0"}, {}, None, []),
        ({"email": None}, {"email": "b@x.cz"}, "b@x.cz", []),
        ({"email": 5}, {"email": "b@x.cz"}, "b@x.cz", [VALUE]),
        ({"email": {"a": 1}}, {"email": []}, None, [VALUE, VALUE]),
        ({"email": "x" * 320}, {}, "x" * 320, []),
        ({"email": "x" * 321}, {}, None, [VALUE]),
        ({"email": "a\u0000@x.cz"}, {}, None, [VALUE]),
        ({"Email": "a@x.cz"}, {}, None, []),
    ],
)
def test_the_email_of_an_identify(
    traits: dict[str, Any], context_traits: dict[str, Any], address: str | None, remarks: list[Remark]
) -> None:
    found = of_identify(traits, context_traits, RULES)
    assert (found.traits.email, found.remarks) == (address, remarks)
    assert "email" not in found.traits.attributes


def test_a_track_call_gives_nothing_but_an_email() -> None:
    found = of_track({"email": " A@x.cz", "plan": "Free", "firstname": "Eva"})
    assert (found.traits.email, found.traits.firstname, found.traits.attributes) == ("A@x.cz", None, {})


def test_a_long_name_is_not_copied_for_each_value() -> None:
    """It would be 160 GB."""
    began = time.process_time()
    found = of_identify({"x" * 4_000_000: {str(n): {"y": n} for n in range(20_000)}}, {}, RULES)
    assert len(found.remarks) == 20_000
    assert time.process_time() - began < 4
