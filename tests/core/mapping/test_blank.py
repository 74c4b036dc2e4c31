"""An id in which nothing is to be seen counts as the empty string does in its dialect: it would merge strangers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from streamer.core.errors import SchemaError
from streamer.core.mapping import Mapper
from streamer.core.mapping.blank import VISIBLE, is_blank
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall

SAMPLES = Path(__file__).parents[2] / "samples"
BLANKS = ["   ", "\t\n", "\u00a0", "\u3000", "\u200b", "\u2060\ufeff", "\u00ad", "\x00", "\x1b\x7f", "\u202e\u200f"]
NO_IDS = {"type", "eventType", "questionType"}
"""Required texts of the contracts that are no ids."""


def mapped(dialect: str, record: Any, **chosen: Any) -> TrackCall | Filtered:
    settings = {"sprig": SprigSettings(**chosen)} if chosen else {}
    return Mapper(MappingSettings(dialect=dialect, dialect_settings=settings)).map(orjson.dumps(record), 0)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def string_rules(rule: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every rule of a schema that asks a text for a character, with its key."""
    if isinstance(rule, list):
        for part in rule:
            yield from string_rules(part)
    elif isinstance(rule, dict):
        if "minLength" in rule or "pattern" in rule:
            yield key, rule
        for name, part in rule.items():
            if name == "properties":
                for own, own_rule in part.items():
                    yield from string_rules(own_rule, own)
            elif name != "examples":
                yield from string_rules(part)


def test_every_contract_asks_for_a_visible_character_in_each_id() -> None:
    rules = [found for one in DIALECTS.values() for name in one.contracts for found in string_rules(read_schema(name))]
    assert {key for key, rule in rules if rule.get("pattern") != VISIBLE} == NO_IDS
    assert len(rules) > 30


def test_contracts_and_code_see_the_same_characters() -> None:
    """Two libraries read the pattern, and each has a notion of its own of what a blank is."""
    visible = jsonschema_rs.Draft202012Validator({"type": "string", "pattern": VISIBLE})
    characters = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    assert [one for one in characters if visible.is_valid(one) == is_blank(one)] == []
    assert 100 < sum(map(is_blank, characters)) < 150


@pytest.mark.parametrize("blank", BLANKS)
def test_sprig_has_no_identity_then(blank: str) -> None:
    record = {**sample("sprig/01-nps"), "userId": blank}
    assert mapped("sprig", record) == Filtered(FilterReason.NO_IDENTITY)
    record["partnerAnonymousId"] = blank
    assert mapped("sprig", record, anonymous="send") == Filtered(FilterReason.NO_IDENTITY)


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(
    ("dialect", "name", "path"),
    [
        ("sprig", "sprig/01-nps", ("responseGroupUid",)),
        ("sprig", "sprig/01-nps", ("surveyId",)),
        ("product_fruits", "product_fruits/01-announcement-popup-opened", ("user", "username")),
        ("product_fruits", "product_fruits/01-announcement-popup-opened", ("anonymousId",)),
        ("product_fruits", "product_fruits/07-survey-nps-and-text", ("data", "authorUsername")),
        ("product_fruits", "product_fruits/11-feedback", ("data", "projectCode")),
        ("getuserfeedback", "getuserfeedback/01-flow-viewed", ("userId",)),
        ("getuserfeedback", "getuserfeedback/01-flow-viewed", ("anonymousId",)),
        ("getuserfeedback", "getuserfeedback/01-flow-viewed", ("messageId",)),
        ("getuserfeedback", "getuserfeedback/01-flow-viewed", ("properties", "app_id")),
        ("canonical", "canonical/sprig-01-nps", ("subject", "user_id")),
        ("canonical", "canonical/sprig-01-nps", ("event_id",)),
    ],
)
def test_elsewhere_and_where_an_id_is_required_the_record_is_refused(
    dialect: str, name: str, path: tuple[str, ...], blank: str
) -> None:
    record = sample(name)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = blank
    with pytest.raises(SchemaError, match=f"^/{'/'.join(path)}: expected .*, found a blank string"):
        mapped(dialect, record)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_name_of_an_event_counts_as_none(blank: str) -> None:
    record = {**sample("product_fruits/03-newsfeed-item-irregular-name"), "eventName": blank}
    call = mapped("product_fruits", record)
    assert isinstance(call, TrackCall)
    assert json.loads(call.body)["event"] == "Announcements Newsfeed Item Consumed"
    with pytest.raises(SchemaError, match="expected an eventName or a rawName that is not blank"):
        mapped("product_fruits", {**record, "rawName": blank})


def test_a_blank_id_stays_in_the_event() -> None:
    mapper = Mapper(MappingSettings(dialect="sprig"))
    event = mapper.read(orjson.dumps({**sample("sprig/01-nps"), "userId": " \u200b"}), 0)
    assert not isinstance(event, Filtered)
    assert mapper.to_document(event).get("extra", {})["userId"] == " \u200b"


@pytest.mark.parametrize("blank", ["", *BLANKS])
def test_an_answer_to_a_question_without_a_visible_name_keeps_its_value(blank: str) -> None:
    """Its canonical event is valid, and makes the same call."""
    record = {**sample("getuserfeedback/01-flow-viewed"), "answers": {blank: 7, "question_1": 8}}
    mapper = Mapper(MappingSettings(dialect="getuserfeedback"))
    event = mapper.read(orjson.dumps(record), 0)
    assert not isinstance(event, Filtered)
    document = mapper.to_document(event)
    assert document["answers"] == [
        {"type": "unknown", "value": 7},
        {"question_id": "question_1", "type": "unknown", "value": 8},
    ]
    bodies = [call.body for call in (mapped("canonical", document), mapper.write(event)) if isinstance(call, TrackCall)]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
