"""A platform that streamer has never heard of, added as `CONTRIBUTING.md` says: module, schema, registration, sample.

Nothing else may have to change for it. If this test has to name another module, the promise is broken.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import SchemaError
from streamer.core.mapping import Mapper, contract
from streamer.core.mapping.call import Call
from streamer.core.mapping.dialect import Dialect, Name
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.native import Document
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall
from streamer.settings.model import IntegrationSettings, with_settings_of

# The module of the platform.


@dataclass(frozen=True, slots=True, kw_only=True)
class PollsterSettings:
    """Choices of the dialect ``pollster``."""

    event_name: Name = "Poll Answered"
    """Name of the event in the call."""


def contract_of(_document: Document, _settings: PollsterSettings) -> str:
    return "pollster_vote"


def read(document: Document, _contract: str, _record_time_ms: int) -> SurveyEvent | Filtered:
    if document.get("preview"):
        return Filtered(FilterReason.TEST_EVENT)
    return SurveyEvent(
        document["id"],
        "answer.submitted",
        {"dialect": "pollster", "native_event": "vote"},
        document["at"],
        "native",
        {"user_id": document["voter"]},
        document,
        answers=[{"type": "single_choice", "value": document["vote"]}],
    )


def extra_of(event: SurveyEvent) -> Document:
    return {key: value for key, value in event.native.items() if key not in {"id", "at", "voter", "vote", "preview"}}


def write(event: SurveyEvent, settings: PollsterSettings) -> Call | Filtered:
    assert event.answers is not None
    return {
        "type": "track",
        "event": settings.event_name,
        "userId": event.subject["user_id"],
        "timestamp": event.occurred_at,
        "context": {},
        "properties": {"vote": event.answers[0]["value"]},
    }


def warnings_of(event: SurveyEvent) -> list[str]:
    return [] if "station" in event.native else ["station_absent"]


POLLSTER = Dialect(
    name="pollster",
    platform="Pollster",
    contracts=("pollster_vote",),
    contract_of=contract_of,
    read=read,
    extra_of=extra_of,
    write=write,
    warnings_of=warnings_of,
    settings=PollsterSettings,
    message_id="The vote's own `id`, unchanged.",
    filters={FilterReason.TEST_EVENT: "the vote is a preview"},
)

# Its schema, and a sample.

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "at", "voter", "vote"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "at": {"type": "string", "format": "date-time"},
        "voter": {"type": "string", "minLength": 1},
        "vote": {"type": "string"},
        "preview": {"type": "boolean"},
    },
}
SAMPLE = {"id": "v-1", "at": "2026-03-02T09:15:27Z", "voter": "usr_1", "vote": "yes"}


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one registration, and the schema where schemas are."""
    monkeypatch.setitem(DIALECTS, "pollster", POLLSTER)
    (tmp_path / "pollster_vote.schema.json").write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(contract, "SCHEMAS", tmp_path)


def sent(mapper: Mapper, **changes: Any) -> dict[str, Any]:
    call = mapper.map(orjson.dumps({**SAMPLE, **changes}), -1)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    return body


@pytest.mark.usefixtures("_registered")
class TestARegisteredPlatform:
    def test_is_mapped_with_everything_that_all_platforms_have(self) -> None:
        mapper = Mapper(MappingSettings(dialect="pollster", rename={"Poll Answered": "voted"}, message_id_suffix=".eu"))
        assert sent(mapper) == {
            "type": "track",
            "event": "voted",
            "userId": "usr_1",
            "timestamp": "2026-03-02T09:15:27.000Z",
            "context": {},
            "properties": {"vote": "yes"},
            "messageId": "v-1.eu",
        }
        assert mapper.map(orjson.dumps({**SAMPLE, "preview": True}), -1) == Filtered(FilterReason.TEST_EVENT)
        assert mapper.warnings == {"station_absent": 1}
        with pytest.raises(SchemaError, match=r"^/vote: expected a string, found nothing \(pollster_vote"):
            mapper.map(b'{"id": "v-1", "at": "2026-03-02T09:15:27Z", "voter": "usr_1"}', -1)

    def test_has_a_canonical_form(self) -> None:
        mapper = Mapper(MappingSettings(dialect="pollster"))
        event = mapper.read(orjson.dumps({**SAMPLE, "station": 7}), -1)
        assert isinstance(event, SurveyEvent)
        assert mapper.to_document(event) == {
            "schema_version": 1,
            "event_id": "v-1",
            "kind": "answer.submitted",
            "source": {"dialect": "pollster", "native_event": "vote"},
            "occurred_at": "2026-03-02T09:15:27.000Z",
            "occurred_at_origin": "native",
            "subject": {"user_id": "usr_1"},
            "answers": [{"type": "single_choice", "value": "yes"}],
            "extra": {"station": 7},
        }

    def test_has_its_settings_in_the_configuration(self) -> None:
        section = with_settings_of(DIALECTS)(IntegrationSettings)
        given = {"dialect": "pollster", "topics": ["t"], "destination": "d", "group_id": "g"}
        chosen = section.model_validate({**given, "pollster": {"event_name": "Voted"}})
        settings = PollsterSettings(event_name="Voted")
        assert getattr(chosen, "pollster") == settings  # noqa: B009 - a type checker does not know the platform
        mapper = Mapper(MappingSettings(dialect="pollster", dialect_settings={"pollster": settings}))
        assert sent(mapper)["event"] == "Voted"
        with pytest.raises(ValueError, match=r"(?s)pollster\.event_name.*at least 1 character"):
            section.model_validate({**given, "pollster": {"event_name": ""}})
