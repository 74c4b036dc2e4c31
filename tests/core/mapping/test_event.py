"""The typed documents say what the canonical schema says."""

from typing import Any, get_args

import pytest

from streamer.core.mapping import event
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS

SCHEMA = read_schema("survey_event")
TYPES: dict[str, Any] = {
    "": event.EventDocument,
    "source": event.Source,
    "subject": event.Subject,
    "subject/identities/*": event.Identity,
    "survey": event.Survey,
    "response": event.Response,
    "answers/*": event.Answer,
    "trigger": event.Trigger,
    "context": event.Context,
    "context/page": event.Page,
}
"""Type of each part of the event that has keys of its own."""


def part_at(place: str) -> dict[str, Any]:
    """The rule of the schema for one part; ``*`` stands for the items of a list."""
    rule = SCHEMA
    for step in place.split("/") if place else []:
        rule = rule["items"] if step == "*" else rule["properties"][step]
    return rule


def places_in(rule: dict[str, Any], place: str = "") -> list[str]:
    """Every part that has keys of its own."""
    places = [place.removeprefix("/")] if "properties" in rule else []
    for key, part in rule.get("properties", {}).items():
        places += places_in(part, f"{place}/{key}")
    return places + (places_in(rule["items"], f"{place}/*") if "items" in rule else [])


def test_every_part_of_the_event_has_a_type() -> None:
    assert sorted(places_in(SCHEMA)) == sorted(TYPES)


@pytest.mark.parametrize("place", TYPES)
def test_a_type_has_the_keys_of_the_schema_and_the_required_ones_are_the_same(place: str) -> None:
    rule, kind = part_at(place), TYPES[place]
    assert kind.__required_keys__ == set(rule.get("required", ()))
    assert kind.__required_keys__ | kind.__optional_keys__ == set(rule["properties"])


@pytest.mark.parametrize(
    ("place", "literal"),
    [("kind", event.Kind), ("occurred_at_origin", event.TimeOrigin), ("answers/*/type", event.AnswerType)],
)
def test_closed_lists_are_those_of_the_schema(place: str, literal: Any) -> None:
    assert list(get_args(literal)) == part_at(place)["enum"]


def test_the_schema_names_every_platform() -> None:
    """Whoever adds one adds it there too: a canonical event of it would be refused otherwise."""
    assert part_at("source/dialect")["enum"] == [name for name, dialect in DIALECTS.items() if dialect.write]
