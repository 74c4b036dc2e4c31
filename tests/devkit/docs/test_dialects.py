"""The pages on the dialects say what the mapping does: their tables are found out by mapping records."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.core.mapping.call import Call
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.mapper import FILTERS
from streamer.core.model import Filtered
from streamer.devkit.docs import pushes
from streamer.devkit.docs.dialects import examples, render
from streamer.devkit.docs.effects import Effect, Prober
from streamer.devkit.docs.record_fields import schema_fields, shown

DOCS = Path(__file__).parents[3] / "docs"
PLATFORMS = [name for name, dialect in DIALECTS.items() if dialect.write is not None]

CALL_OF_FIELD = {
    ("sprig_webhook", "userId"): {"userId"},
    ("sprig_webhook", "responseGroupUid"): {"properties.responseGroupId"},
    ("sprig_webhook", "timestamp"): {"timestamp"},
    ("sprig_webhook", "id"): set(),
    ("sprig_export", "visitorSnapshot.triggeringEvent"): {"properties.triggeringEvent"},
    ("sprig_export", "meta.language"): {"context.locale"},
    ("sprig_stream", "oldVisitorId"): {"properties.oldVisitorId"},
    ("product_fruits_analytics", "data"): {"properties"},
    ("product_fruits_analytics", "projectCode"): set(),
    ("product_fruits_survey", "data.surveyId"): {"properties.id"},
    ("product_fruits_feedback", "data.environmentInfo.currentUrl"): {"context.page.url"},
    ("getuserfeedback_event", "properties.survey_id"): {"properties.survey_id"},
    ("getuserfeedback_event", "answers"): set(),
    ("getuserfeedback_event", "messageId"): {"messageId"},
}
"""Some rows as the platforms document them; ``id`` is the webhook's own, which no schema names."""


def effects(dialect: str, contract: str) -> Iterator[tuple[str, Effect]]:
    """What each field of one form does in the examples, by its path."""
    prober, fields = Prober(DIALECTS[dialect]), list(schema_fields(read_schema(contract)))
    for records in examples(DIALECTS[dialect], contract).values():
        for path, rule, _ in fields:
            yield shown(path), prober.effect(records, path, rule, [other for other, _, _ in fields])


@pytest.fixture(scope="module")
def of_platforms() -> dict[tuple[str, str], Effect]:
    """What each field of each form of each platform does, by contract and path."""
    return {
        (contract, path): effect
        for platform in PLATFORMS
        for contract in DIALECTS[platform].contracts
        for path, effect in effects(platform, contract)
    }


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return render()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_page_is_what_the_code_says(pages: dict[str, str], name: str) -> None:
    assert (DOCS / f"dialects/{name}.md").read_text() == pages[f"dialects/{name}.md"], (
        "run: python -m streamer.devkit.docs.dialects"
    )


def test_there_is_no_other_page(pages: dict[str, str]) -> None:
    known = pages.keys() | pushes.render().keys()
    assert {f"dialects/{path.name}" for path in (DOCS / "dialects").iterdir()} == known


@pytest.mark.parametrize(("field", "places"), CALL_OF_FIELD.items(), ids=map(" ".join, CALL_OF_FIELD))
def test_a_field_arrives_where_the_platform_says(
    of_platforms: dict[tuple[str, str], Effect], field: tuple[str, str], places: set[str]
) -> None:
    effect = of_platforms.get(field, Effect())
    assert {place for place, conditions in effect.call.items() if "" in conditions} == places


def test_ids_are_made_of_what_the_platforms_pages_say(of_platforms: dict[tuple[str, str], Effect]) -> None:
    """Of the answer and who gave it, never of a time at which somebody received it."""
    made_of: dict[str, set[str]] = {}
    for (contract, path), effect in of_platforms.items():
        if "" in effect.changed["messageId"]:
            made_of.setdefault(contract, set()).add(path)
    sprig = {"environmentId", "questionId", "response"}
    assert made_of["sprig_webhook"] == {*sprig, "question", "responseGroupUid"}
    assert made_of["sprig_export"] == {*sprig, "responseGroupUid"}
    assert "receivedAt" not in made_of["product_fruits_survey"]
    assert "getuserfeedback_event" not in made_of


def test_a_condition_is_named(of_platforms: dict[tuple[str, str], Effect]) -> None:
    anonymous = of_platforms["sprig_webhook", "partnerAnonymousId"]
    assert anonymous.call == {"anonymousId": {"with `sprig.anonymous: send`"}}
    assert of_platforms["sprig_export", "createdAt"].call["timestamp"] == {"if `updatedAt` is absent"}
    identities = of_platforms["getuserfeedback_event", "properties.identities"]
    assert "" in identities.warnings_without["identities_absent"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_filters_of_a_platform_are_those_that_its_records_meet(
    of_platforms: dict[tuple[str, str], Effect], platform: str
) -> None:
    """None is declared that never applies, and none applies that is not declared."""
    dialect = DIALECTS[platform]
    met: set[str] = set()
    for contract in dialect.contracts:
        for record in read_schema(contract)["examples"]:
            end = Prober(dialect).end(record)
            met |= {end.reason} - {None} if end is not None and end.reason is not None else set()
        for (other, _), effect in of_platforms.items():
            met |= effect.reasons.keys() | effect.reasons_without.keys() if other == contract else set()
    canonical = Prober(DIALECTS["canonical"])
    for record in examples(DIALECTS["canonical"], "survey_event")[dialect.platform]:
        end = canonical.end({**record, "kind": "survey.sent"})
        assert end is not None
        met.add(str(end.reason))
    assert met - set(FILTERS) == set(dialect.filters)


def test_a_mapping_that_is_changed_changes_the_page(pages: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """So no page can stay as it was while the mapping becomes another one."""
    right = DIALECTS["getuserfeedback"]

    def write(event: SurveyEvent, settings: Any) -> Call | Filtered:
        assert right.write is not None
        call = right.write(event, settings)
        if not isinstance(call, Filtered):
            call["properties"]["flow_id"] = call["properties"].pop("survey_id", None)
        return call

    monkeypatch.setitem(DIALECTS, "getuserfeedback", dataclasses.replace(right, write=write))
    changed = render()
    assert {name for name, text in changed.items() if text != pages[name]} == {
        "dialects/getuserfeedback.md",
        "dialects/canonical.md",
    }
    assert "| `properties.survey_id` | `properties.flow_id` |" in changed["dialects/getuserfeedback.md"]
