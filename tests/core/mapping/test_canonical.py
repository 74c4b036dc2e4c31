"""The canonical form: what every dialect is read into, and a dialect of its own."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping.contract import Contract
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.event import EventDocument
from streamer.core.mapping.mapper import Mapper
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall

SAMPLES = Path(__file__).parents[2] / "samples"
PLATFORMS = [name for name, dialect in DIALECTS.items() if dialect.write is not None]
PAIRS = {
    "getuserfeedback-02-dismissed": "getuserfeedback/02-flow-dismissed-anonymous",
    "getuserfeedback-04-response": "getuserfeedback/04-response-with-answers",
    "product_fruits-01-product-event": "product_fruits/01-announcement-popup-opened",
    "product_fruits-07-survey": "product_fruits/07-survey-nps-and-text",
    "sprig-01-nps": "sprig/01-nps",
    "sprig-08-matrix-export-row": "sprig/08-matrix-export-row",
    "sprig-12-anonymous-visitor": "sprig/12-anonymous-visitor",
}
VALID = sorted(path for name in PLATFORMS for path in (SAMPLES / name).glob("*.json") if path.name.count(".") == 1)


def document_of(dialect: str, value: bytes) -> EventDocument | Filtered:
    """The canonical document of a record."""
    mapper = Mapper(MappingSettings(dialect=dialect))
    event = mapper.read(value, 0)
    return event if isinstance(event, Filtered) else mapper.to_document(event)


def map_with(dialect: str, value: bytes) -> TrackCall | Filtered:
    return Mapper(MappingSettings(dialect=dialect)).map(value, 0)


def test_every_canonical_sample_has_its_native_one() -> None:
    assert sorted(PAIRS) == sorted(path.stem for path in (SAMPLES / "canonical").glob("*.json"))


@pytest.mark.parametrize(("name", "native"), PAIRS.items(), ids=PAIRS)
def test_native_sample_reads_as_its_canonical_sample(name: str, native: str) -> None:
    path = SAMPLES / f"{native}.json"
    expected = json.loads((SAMPLES / "canonical" / f"{name}.json").read_text())
    assert document_of(path.parent.name, path.read_bytes()) == expected


@pytest.mark.parametrize("name", PAIRS)
def test_canonical_sample_survives_reading_and_rendering(name: str) -> None:
    value = (SAMPLES / "canonical" / f"{name}.json").read_bytes()
    assert document_of("canonical", value) == json.loads(value)


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_canonical_form_of_a_native_record_keeps_the_contract_and_makes_the_same_call(path: Path) -> None:
    """Whoever puts canonical events on a topic gets byte for byte the calls that the native records would have made."""
    document = document_of(path.parent.name, path.read_bytes())
    if isinstance(document, Filtered):
        return
    rendered = orjson.dumps(document)
    assert Contract("survey_event").is_kept_by(orjson.loads(rendered))
    from_native = map_with(path.parent.name, path.read_bytes())
    from_canonical = map_with("canonical", rendered)
    if isinstance(from_native, TrackCall):
        assert isinstance(from_canonical, TrackCall)
        assert from_canonical.body == from_native.body
    else:
        assert from_canonical == from_native


def canonical_event(**changes: Any) -> bytes:
    """The canonical NPS sample with some parts replaced."""
    document = json.loads((SAMPLES / "canonical/sprig-01-nps.json").read_text())
    return orjson.dumps({**document, **changes})


def test_unknown_keys_are_kept_in_extra() -> None:
    document = document_of("canonical", canonical_event(tenant="t-1", extra={"id": 1}))
    assert not isinstance(document, Filtered)
    assert document["extra"] == {"tenant": "t-1", "id": 1}


@pytest.mark.parametrize("answers", [[], [{"type": "text", "value": "a"}, {"type": "text", "value": "b"}]])
def test_a_sprig_event_without_exactly_one_answer_is_refused(answers: list[dict[str, str]]) -> None:
    """Sprig's stream has one call an answer; to send one of two would lose the other without a word."""
    with pytest.raises(MappingError, match="expected exactly one answer"):
        map_with("canonical", canonical_event(answers=answers))


def test_a_rank_used_twice_is_refused() -> None:
    with pytest.raises(MappingError, match=r"^/answers/0/value: expected each rank at most once"):
        map_with("canonical", canonical_event(answers=[{"type": "rank", "value": {"a": 1, "b": 1}}]))


@pytest.mark.parametrize("dialect", PLATFORMS)
def test_a_kind_that_the_platform_does_not_send_is_not_in_stream(dialect: str) -> None:
    source = {"dialect": dialect, "native_event": "STUDY_SENT"}
    value = canonical_event(kind="survey.sent", source=source)
    assert map_with("canonical", value) == Filtered(FilterReason.NOT_IN_STREAM)


def test_an_event_without_person_is_valid_and_has_no_identity() -> None:
    assert map_with("canonical", canonical_event(subject={})) == Filtered(FilterReason.NO_IDENTITY)


def test_another_version_of_the_form_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"^/schema_version: expected 1, found another integer"):
        map_with("canonical", canonical_event(schema_version=2))


def test_a_getuserfeedback_call_has_only_what_that_platform_sends_of_a_context() -> None:
    document = json.loads((SAMPLES / "canonical/getuserfeedback-02-dismissed.json").read_text())
    document["context"] = {"page": {"path": "/a", "title": "A"}, "locale": "de-DE", "user_agent": "Browser"}
    call = map_with("canonical", orjson.dumps(document))
    assert isinstance(call, TrackCall)
    assert json.loads(call.body)["context"] == {"page": {"path": "/a"}, "locale": "de-DE"}


def test_whatever_extra_holds_in_the_place_of_native_data_a_feedback_makes_its_call() -> None:
    """The contract leaves ``extra`` free; only what Product Fruits' own record has there is looked at."""
    source = {"dialect": "product_fruits", "native_event": "webhook:newfeedback", "app_id": "a"}
    feedback = {"kind": "feedback.submitted", "source": source, "answers": [{"type": "text", "value": "Nice"}]}
    call = map_with("canonical", canonical_event(**feedback, extra={"data": 5}))
    assert isinstance(call, TrackCall)
    assert json.loads(call.body)["properties"] == {"text": "Nice"}
