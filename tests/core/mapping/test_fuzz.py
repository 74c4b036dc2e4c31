"""Samples with anything changed anywhere: a call, a filter rule, or an error of the record. Never a bug of ours.

And never an error that quotes the record.
"""

import copy
import json
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.product_fruits import ProductFruitsSettings
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.model import (
    MAX_CALL_BYTES,
    MAX_MESSAGE_ID_CHARACTERS,
    Filtered,
    MappingSettings,
    TrackCall,
)

SAMPLES = Path(__file__).parents[2] / "samples"
DOCUMENTS = {
    dialect: [
        json.loads(path.read_text()) for path in sorted((SAMPLES / dialect).glob("*.json")) if path.name.count(".") == 1
    ]
    for dialect in DIALECTS
}
MAPPERS = {
    dialect: Mapper(
        MappingSettings(
            dialect=dialect,
            dialect_settings={
                "sprig": SprigSettings(anonymous="send", extended_properties=True),
                "product_fruits": ProductFruitsSettings(traits=True),
            },
        )
    )
    for dialect in DIALECTS
}
PLATFORMS = [name for name, dialect in DIALECTS.items() if dialect.write is not None]
REMOVED = object()
SECRET = "Jane-Doe"

strange: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [None, True, False, "", " ", 0, -1, 11, 1.5, 2.0**70, "x", "2026-02-30T00:00:00Z", [], {}, [[]], [{}]]
    )
    | st.sampled_from([SECRET, {SECRET: 1}, [SECRET], {SECRET: {SECRET: []}}])
    | st.text(max_size=5)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=5,
)
changes = st.lists(st.tuples(st.integers(0, 10_000), st.just(REMOVED) | strange), min_size=1, max_size=4)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) inside ``value``."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in places_in(value[key])]


def end_of(dialect: str, document: Any, record_time_ms: int) -> TrackCall | Filtered | RecordError:
    """How a record ends; any error but the record's own is let through and fails the test."""
    try:
        return MAPPERS[dialect].map(orjson.dumps(document), record_time_ms)
    except RecordError as error:
        return error


def changed_sample(dialect: str, number: int, changes: list[tuple[int, Any]]) -> Any:
    """A sample with anything changed anywhere."""
    document = orjson.loads(orjson.dumps(DOCUMENTS[dialect][number % len(DOCUMENTS[dialect])]))
    for choice, value in changes:
        places = places_in(document)
        if not places:
            break
        container, key = places[choice % len(places)]
        if value is REMOVED:
            del container[key]
        else:
            container[key] = copy.deepcopy(value)  # the next change may be inside it
    return document


@given(st.sampled_from(list(DIALECTS)), st.integers(0, 10_000), changes, st.integers(-1, 2**62))
def test_a_changed_sample_makes_a_call_or_an_error_of_its_own(
    dialect: str, number: int, changes: list[tuple[int, Any]], record_time_ms: int
) -> None:
    document = changed_sample(dialect, number, changes)
    end = end_of(dialect, document, record_time_ms)
    if isinstance(end, RecordError):
        assert SECRET not in end.detail
    if isinstance(end, TrackCall):
        body = json.loads(end.body)
        assert len(end.body) <= MAX_CALL_BYTES
        assert 1 <= len(end.message_id) <= MAX_MESSAGE_ID_CHARACTERS
        assert body["messageId"] == end.message_id
        assert isinstance(body["event"], str)
        assert body["event"]
        assert body.get("userId", body.get("anonymousId"))
        assert all(isinstance(body[key], str) and body[key] for key in ("userId", "anonymousId") if key in body)
        assert isinstance(body["properties"], dict)


@given(st.sampled_from(list(DIALECTS)), st.dictionaries(st.text(max_size=8), strange, max_size=5))
def test_any_object_makes_a_call_or_an_error_of_its_own(dialect: str, document: dict[str, Any]) -> None:
    assert end_of(dialect, document, 0) is not None


@given(st.sampled_from(PLATFORMS), st.integers(0, 10_000), changes)
def test_the_canonical_event_of_a_changed_sample_makes_the_same_call(
    dialect: str, number: int, changes: list[tuple[int, Any]]
) -> None:
    """Nothing that a call needs is lost on the way, whatever a platform's record holds."""
    mapper = MAPPERS[dialect]
    try:
        event = mapper.read(orjson.dumps(changed_sample(dialect, number, changes)), 0)
    except RecordError:
        return
    if isinstance(event, Filtered):
        return
    rendered = orjson.dumps(mapper.to_document(event))
    try:
        from_native = mapper.write(event)
    except RecordError:
        return
    from_canonical = MAPPERS["canonical"].map(rendered, 0)
    if isinstance(from_native, TrackCall):
        assert isinstance(from_canonical, TrackCall)
        assert from_canonical.body == from_native.body
    else:
        assert from_canonical == from_native
