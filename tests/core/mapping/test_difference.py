"""What two documents, and two ends of one record, have not in common."""

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.mapping import difference
from streamer.core.mapping.difference import OTHERS, End, Kind, Tally, changes, differences
from streamer.core.mapping.pointer import NOTHING
from streamer.core.model import DeadLetterReason, FilterReason, Outcome, TrackCall

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)


def patched(old: Any, new: Any) -> Any:
    """The old document with all differences to the new one carried out, by the shortest code there is."""
    found = list(differences(old, new))
    if found and not found[0].place:
        return found[0].new
    document = copy.deepcopy(old)
    for place, _, value in sorted(found, key=lambda one: [str(step).zfill(9) for step in one.place], reverse=True):
        part = document
        for step in place[:-1]:
            part = part[step]
        if value is NOTHING:
            del part[place[-1]]
    for place, before, value in found:
        part = document
        for step in place[:-1]:
            part = part[step]
        if isinstance(part, list) and before is NOTHING:
            part.append(value)
        elif value is not NOTHING:
            part[place[-1]] = value
    return document


@given(DOCUMENTS, DOCUMENTS)
def test_the_differences_are_exactly_what_makes_one_document_of_the_other(old: Any, new: Any) -> None:
    assert not list(differences(old, old))
    assert not list(differences(patched(old, new), new))
    assert {one.place for one in differences(new, old)} == {one.place for one in differences(old, new)}


@given(DOCUMENTS, DOCUMENTS)
def test_documents_without_differences_are_the_same_json(old: Any, new: Any) -> None:
    def written(document: Any) -> Any:
        """As text, in which true is no number and 1.0 is 1."""
        return json.dumps(json.loads(json.dumps(document).replace("1.0", "1")), sort_keys=True)

    assert (not list(differences(old, new))) == (written(old) == written(new))


def call(message_id: str = "m", **fields: Any) -> End:
    body = {"type": "track", "event": "E", "properties": {}, "messageId": message_id, **fields}
    return End(Outcome.DELIVERED, None, TrackCall(message_id, orjson.dumps(body)))


DISABLED = End(Outcome.FILTERED, FilterReason.EVENT_DISABLED)
BROKEN = End(Outcome.DEAD_LETTERED, DeadLetterReason.SCHEMA_INVALID)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (call(), call(), []),
        (DISABLED, DISABLED, []),
        (End(), End(), []),
        (DISABLED, call(), [(Kind.ADDED, "was filtered (event_disabled)", "filtered (event_disabled)", "E")]),
        (End(), call(), [(Kind.ADDED, "was not read", "not read", "E")]),
        (call(), BROKEN, [(Kind.DROPPED, "now dead_lettered (schema_invalid)", "E", str(BROKEN))]),
        (call(), End(), [(Kind.DROPPED, "now not read", "E", "not read")]),
        (DISABLED, BROKEN, [(Kind.REASON_CHANGED, f"{DISABLED} -> {BROKEN}", str(DISABLED), str(BROKEN))]),
        (call("m"), call("m-eu"), [(Kind.ID_CHANGED, "messageId", "m", "m-eu")]),
        (call(), call(event="F"), [(Kind.RENAMED, "E -> F", "E", "F")]),
        (
            call(properties={"answers": [{"a": 1}, {"a": 2}]}),
            call(properties={"answers": [{"a": 1}, {"a": 3}]}),
            [(Kind.CHANGED, "/properties/answers/*/a", 2, 3)],
        ),
        (call(), call(userId="u"), [(Kind.CHANGED, "/userId", NOTHING, "u")]),
    ],
)
def test_each_kind_of_change_has_a_name(old: End, new: End, expected: list[Any]) -> None:
    assert [tuple(change) for change in changes(old, new)] == expected


ENDS = st.sampled_from(
    [End(), DISABLED, BROKEN, call(), call("m2"), call(event="F"), call(userId="u", context={"a": 1})]
)


@given(ENDS, ENDS)
def test_two_ends_differ_exactly_if_something_about_them_does(old: End, new: End) -> None:
    """And a change looked at the other way round is a change as well."""
    found = list(changes(old, new))
    assert bool(found) == (old != new)
    assert len(found) == len(list(changes(new, old)))


@given(st.lists(st.tuples(ENDS, ENDS), max_size=20))
def test_each_record_is_counted_once_for_each_of_its_changes(pairs: list[tuple[End, End]]) -> None:
    tally = Tally(max_examples=2)
    for place, (old, new) in enumerate(pairs):
        tally.add("sprig", str(place), old, new)
    assert tally.compared == len(pairs)
    assert tally.different == sum(old != new for old, new in pairs)
    assert sum(row.records for row in tally.rows) == sum(len(list(changes(*pair))) for pair in pairs)
    assert all(len(row.examples) == min(row.records, 2) for row in tally.rows)


def test_fields_without_end_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes of people have names that a producer invents."""
    monkeypatch.setattr(difference, "MAX_ROWS", 3)
    tally = Tally(max_examples=1)
    new = call(properties={str(number): 1 for number in range(10)})
    tally.add("sprig", "t:0:1", call(), new)
    tally.add("sprig", "t:0:2", call(), new)
    assert [(row.what, row.records) for row in tally.rows] == [
        ("/properties/0", 2),
        ("/properties/1", 2),
        ("/properties/2", 2),
        (OTHERS, 2),
    ]
