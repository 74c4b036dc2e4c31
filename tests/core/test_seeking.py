"""The look at the bytes of a record never passes over the one that is looked for, however its JSON is written."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.model import MappingSettings, Outcome
from streamer.core.pushing import new_mapper
from streamer.core.seeking import CHUNK_RECORDS, Seeker, meaning_of, newest_first
from streamer.devkit.demo.events import sample_events

GUF = MappingSettings(dialect="getuserfeedback", message_id_suffix="-2", integration="surveys")


class Written(NamedTuple):
    """A record."""

    value: bytes | None
    topic: str = "surveys"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_770_000_000_000
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def document(**changes: Any) -> dict[str, Any]:
    return {
        "event": "Response Submitted",
        "userId": "user_1",
        "anonymousId": "anon_1",
        "messageId": "evt_1",
        "timestamp": "2026-05-13T10:14:00.000Z",
        "properties": {"app_id": "a", "organization_id": "o", "survey_id": "s", "response_id": "r"},
        **changes,
    }


def escaped(text: str, which: int) -> str:
    """A JSON string in which some letters are escaped although they need not be: ``which`` is a bit mask."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1]
    if "\\" in inner:
        return f'"{inner}"'
    letters = [
        f"\\u{ord(letter):04x}" if letter.isascii() and which >> (place % 31) & 1 else letter
        for place, letter in enumerate(inner)
    ]
    return f'"{"".join(letters)}"'


IDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@given(IDS, st.booleans(), st.booleans(), st.integers(0, (1 << 31) - 1))
def test_a_native_id_is_found_however_it_is_written(
    message_id: str, ascii_only: bool, with_suffix: bool, which: int
) -> None:
    written = json.dumps(message_id) if ascii_only else escaped(message_id, which)
    value = json.dumps(document(messageId="its place")).replace('"its place"', written).encode()
    seeker = Seeker(GUF, message_id=message_id + ("-2" if with_suffix else ""))
    meaning = meaning_of(new_mapper(GUF), Written(value))
    if meaning.outcome is Outcome.DELIVERED:
        assert meaning.call is not None
        assert seeker.matches(Written(value)) == meaning.call["messageId"]
    assert Seeker(GUF, message_id=message_id + "x").matches(Written(value)) is None


@given(st.one_of(IDS, st.integers(-(10**15), 10**15)), st.sampled_from(["userId", "anonymousId"]), st.data())
def test_a_person_is_found_by_text_and_by_number(found: str | int, key: str, data: st.DataObject) -> None:
    value = json.dumps(document(**{key: found}))
    if isinstance(found, int):
        forms = [f"{found}", f"{found}.0", f"{found}e0", f"{found * 10}e-1"]
        value = value.replace(f'"{key}": {found}', f'"{key}": {data.draw(st.sampled_from(forms))}')
    meaning = meaning_of(new_mapper(GUF), Written(value.encode()))
    if meaning.call is not None and key in meaning.call:
        sent = meaning.call[key]
        assert Seeker(GUF, user_id=sent).matches(Written(value.encode())) == meaning.call["messageId"]


@pytest.mark.parametrize("dialect", ["sprig", "product_fruits", "getuserfeedback"])
def test_ids_of_every_dialect_are_found(dialect: str) -> None:
    """Derived ones stand nowhere in the record."""
    settings = MappingSettings(dialect=dialect)
    values = [event.value for event in sample_events(60) if event.integration == dialect]
    meanings = [meaning_of(new_mapper(settings), Written(value)) for value in values]
    sent = [(value, one.call["messageId"]) for value, one in zip(values, meanings, strict=True) if one.call]
    assert len(sent) > 5
    for value, message_id in sent:
        seeker = Seeker(settings, message_id=message_id)
        assert seeker.can_match
        assert seeker.matches(Written(value)) == message_id


@pytest.mark.parametrize(
    ("dialect", "message_id", "expected"),
    [
        ("sprig", "evt_1", False),
        ("sprig", "spr_" + "0" * 40, True),
        ("product_fruits", "pf_" + "a" * 40, True),
        ("product_fruits", "pf_" + "a" * 39, False),
        ("profiles", "profile_" + "a" * 40, True),
        ("getuserfeedback", "evt_1", True),
        ("canonical", "anything", True),
    ],
)
def test_a_dialect_whose_ids_look_otherwise_is_not_searched(dialect: str, message_id: str, *, expected: bool) -> None:
    kind = "sprig" if dialect == "profiles" else "segment"
    assert Seeker(MappingSettings(dialect=dialect, kind=kind), message_id=message_id).can_match is expected


def test_records_that_no_call_is_made_of_are_found_by_the_id_they_would_have() -> None:
    """Whoever looks for one wants to hear why it was refused, filtered or discarded."""
    broken = json.dumps(document(event=7)).encode()
    assert Seeker(GUF, message_id="evt_1").matches(Written(broken)) == "evt_1-2"
    discarding = MappingSettings(dialect="getuserfeedback", discard=True)
    assert Seeker(discarding, message_id="evt_1").matches(Written(json.dumps(document()).encode())) == "evt_1"
    assert Seeker(GUF, message_id="evt_1").matches(Written(None)) is None
    assert Seeker(GUF, message_id="evt_1").matches(Written(b"evt_1")) is None


@given(st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), max_size=3))
def test_the_newest_are_searched_first_and_all_once(drawn: Mapping[int, tuple[int, int]]) -> None:
    bounds = {("surveys", number): (min(span), max(span)) for number, span in drawn.items()}
    pieces = list(newest_first(bounds))
    for place, (first, end) in bounds.items():
        spans = [span for at, span in pieces if at == place]
        assert all(later[0] == earlier[1] for earlier, later in zip(spans[1:], spans, strict=False))
        assert sum(stop - start for start, stop in spans) == end - first
        assert all(stop - start <= CHUNK_RECORDS for start, stop in spans)
        assert not spans or (spans[0][1], spans[-1][0]) == (end, first)
