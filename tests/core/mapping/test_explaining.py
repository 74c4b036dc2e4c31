"""``map --explain`` tells the truth: what it names decides a field, and nothing that it does not name does."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.explaining import NOT_DECLARED, Explained, explain
from streamer.core.mapping.pointer import NOTHING, Place, leaves_in, pointer_of, value_at
from streamer.core.mapping.product_fruits import ProductFruitsSettings
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.model import Filtered, MappingSettings

SAMPLES = Path(__file__).parents[2] / "samples"
BROKER_TIME_MS = 1_767_225_600_000
CHOICES: list[dict[str, Any]] = [
    {},
    {
        "dialect_settings": {
            "sprig": SprigSettings(anonymous="send", extended_properties=True),
            "product_fruits": ProductFruitsSettings(traits=True, event_names={"tour_finished": "Tour"}),
        }
    },
]
CUT = "sprig/07-open-text-oversize"
"""How much of its answer is sent depends on the size of the whole call, so everything decides it."""


@dataclass(frozen=True)
class Case:
    name: str
    dialect: str
    record: dict[str, Any]


def cases() -> Iterator[Case]:
    for dialect in DIALECTS:
        for path in sorted((SAMPLES / dialect).glob("*.json")):
            if path.name.count(".") == 1:
                yield Case(f"{dialect}/{path.stem}", dialect, json.loads(path.read_text()))
    yield from rare_cases()
    for number, line in enumerate((SAMPLES / "field/cases.jsonl").read_text().splitlines(), start=1):
        case = json.loads(line)
        if isinstance(case["value"], dict):
            yield Case(f"field/{number}", case["dialect"], case["value"])


def rare_cases() -> Iterator[Case]:
    """Fields that no sample has."""
    feedback = json.loads((SAMPLES / "product_fruits/11-feedback.json").read_text())
    feedback["data"] |= {"videoDataUrls": ["https://example.com/1"]}
    yield Case("feedback with a video", "product_fruits", feedback)
    bare = {
        "schema_version": 1,
        "event_id": "evt_1",
        "occurred_at": "2026-03-02T09:15:27.418Z",
        "occurred_at_origin": "native",
        "subject": {"anonymous_id": "anon_1"},
    }
    viewed = {"dialect": "getuserfeedback", "native_event": "Flow Viewed"}
    yield Case("event without properties", "canonical", {**bare, "kind": "survey.viewed", "source": viewed})
    answered = {"dialect": "product_fruits", "native_event": "webhook:newsurveyanswer"}
    survey = {**bare, "kind": "response.submitted", "source": answered}
    yield Case("survey without answers", "canonical", survey)
    yield Case("survey with an empty answer", "canonical", {**survey, "answers": [{"type": "prompt", "value": None}]})


@cache
def mapper_of(dialect: str, choice: int) -> tuple[Mapper, MappingSettings]:
    settings = MappingSettings(dialect=dialect, **CHOICES[choice])
    return Mapper(settings), settings


def call_of(case: Case, record: dict[str, Any], choice: int) -> tuple[Any, dict[str, Any]] | None:
    """The event and the call of a record; None: it makes none."""
    mapper, _ = mapper_of(case.dialect, choice)
    try:
        event = mapper.read(orjson.dumps(record), BROKER_TIME_MS)
        call = event if isinstance(event, Filtered) else mapper.write(event)
    except RecordError:
        return None
    return None if isinstance(call, Filtered) else (event, orjson.loads(call.body))


def explained(case: Case, choice: int) -> tuple[dict[str, Any], list[Explained]] | None:
    made = call_of(case, case.record, choice)
    if made is None:
        return None
    event, call = made
    return call, explain(mapper_of(case.dialect, choice)[1], case.record, event, call)


STEPS = {"Flow Viewed", "Flow Dismissed", "Response Submitted"}
"""The only names of events that the contract of getuserfeedback.com allows."""


def changes_of(value: Any) -> list[Any]:
    """Other values of the same kind. Some will break the contract, and that is not what is asked here."""
    if isinstance(value, str) and value in STEPS:
        return sorted(STEPS - {value})
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1]
    if isinstance(value, str):
        time = value.replace("2026", "2027") if "2026" in value else value.replace("2025", "2027")
        ids = [value.replace("0", "1"), value.replace("1", "2"), value.replace("a", "b")]
        return [other for other in (f"{value}x", time, *ids) if other != value]
    return [{"x": 1}] if value == {} else []


def changed(record: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    copied = copy.deepcopy(record)
    part: Any = copied
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return copied


def own_part(call: dict[str, Any], field: str, others: list[str]) -> Any:
    """What a field explains: the value without what is explained apart."""
    place = tuple(field.split("/")[1:])
    value = value_at(call, place)
    inside = [other for other in others if other.startswith(f"{field}/")]
    if not inside or value is NOTHING:
        return value
    return [
        (at, leaf)
        for at, leaf in leaves_in(value)
        if not any(covers(other, field + pointer_of(at)) for other in inside)
    ]


def covers(pointer: str, inside: str) -> bool:
    return inside == pointer or inside.startswith(f"{pointer}/") or not pointer


@pytest.mark.parametrize("choice", range(len(CHOICES)))
@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_what_is_named_decides_a_field_and_nothing_else_does(case: Case, choice: int) -> None:
    """Each value of each sample is changed in turn, and its call is compared with the explanation."""
    found = explained(case, choice)
    if found is None:
        return
    call, fields = found
    names = [one.field for one in fields]
    leaves = {pointer_of(place) for place, _ in leaves_in(call)}
    assert all(any(covers(name, leaf) for name in names) for leaf in leaves)
    assert all(one.rule and one.rule != NOT_DECLARED for one in fields), fields
    assert all(value_at(call, tuple(one.field.split("/")[1:])) == one.value for one in fields)

    seen: set[tuple[str, str]] = set()
    tried: set[tuple[str, str]] = set()
    for place, value in leaves_in(case.record):
        for other in changes_of(value):
            made = call_of(case, changed(case.record, place, other), choice)
            if made is None:
                continue
            for one in fields:
                before, after = (own_part(each, one.field, names) for each in (call, made[1]))
                named = [pointer for pointer in one.pointers if covers(pointer, pointer_of(place))]
                tried.update((one.field, pointer) for pointer in named)
                if before != after and NOTHING not in (before, after):
                    assert named or case.name == CUT, (one, place)
                    seen.update((one.field, pointer) for pointer in named)
    assert tried <= seen, tried - seen


def fields_of(dialect: str, name: str, **chosen: Any) -> dict[str, Explained]:
    """The explained fields of a sample, with chosen settings."""
    settings = MappingSettings(dialect=dialect, **chosen)
    mapper, value = Mapper(settings), (SAMPLES / f"{name}.json").read_bytes()
    event = mapper.read(value, BROKER_TIME_MS)
    assert not isinstance(event, Filtered)
    call = mapper.write(event)
    assert not isinstance(call, Filtered)
    return {one.field: one for one in explain(settings, orjson.loads(value), event, orjson.loads(call.body))}


def test_settings_that_decide_a_field_are_named() -> None:
    """Also those that all dialects share; and none that decides nothing here."""
    plain = fields_of("getuserfeedback", "getuserfeedback/01-flow-viewed")
    assert {one.settings for one in plain.values()} == {()}
    chosen = fields_of(
        "getuserfeedback",
        "getuserfeedback/01-flow-viewed",
        rename={"Flow Viewed": "Seen", "Flow Dismissed": "Flow Viewed"},
        message_id_suffix="-eu",
    )
    assert (chosen["/event"].value, chosen["/event"].settings) == ("Seen", ("events.rename",))
    assert chosen["/event"].rule == "The name of the step, as the platform writes it. The integration renames it."
    assert chosen["/messageId"].settings == ("message_id_suffix",)
    named = fields_of("sprig", "sprig/01-nps", rename={"SDK - Submitted - Survey Response": "Answer"})
    assert named["/event"].settings == ("sprig.event_name", "events.rename")
    other = fields_of("sprig", "sprig/01-nps", rename={"Other": "SDK - Submitted - Survey Response"})
    assert other["/event"].settings == ("sprig.event_name",)


def test_a_field_of_a_canonical_record_is_found_where_that_record_has_it() -> None:
    fields = fields_of("canonical", "canonical/sprig-01-nps")
    assert fields["/properties/surveyName"].pointers == ("/survey/name",)
    assert fields["/messageId"].pointers == ("/event_id",)


@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS.values() if dialect.write is not None])
def test_every_dialect_declares_its_origins(dialect: Any) -> None:
    assert dialect.event_origins is not None
    assert dialect.call_origins is not None
