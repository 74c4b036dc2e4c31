"""Every sample event -> exactly the calls beside it; every invalid one -> a dead letter that helps its producer."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.core.errors import RecordError
from streamer.core.mapping.mapper import Mapper
from streamer.core.model import (
    MAX_CALL_BYTES,
    DeadLetterReason,
    Filtered,
    FilterReason,
    MappingSettings,
    TrackCall,
)

SAMPLES = Path(__file__).parents[2] / "samples"
DIALECTS = ("sprig", "product_fruits", "getuserfeedback")
VALID = sorted(path for name in DIALECTS for path in (SAMPLES / name).glob("*.json") if path.name.count(".") == 1)
INVALID = sorted(path for name in DIALECTS for path in (SAMPLES / name / "invalid").glob("*.json"))
OVERSIZE = SAMPLES / "sprig/07-open-text-oversize.json"
BROKER_TIME_MS = 1_767_225_600_000

FILTERED = {
    "sprig/12-anonymous-visitor": FilterReason.NO_IDENTITY,
    "sprig/17-study-seen-lifecycle": FilterReason.NOT_IN_STREAM,
    "sprig/18-study-submitted-lifecycle": FilterReason.NOT_IN_STREAM,
    "sprig/20-export-row-empty-user-id": FilterReason.NO_IDENTITY,
    "sprig/22-test-delivery": FilterReason.TEST_EVENT,
    "product_fruits/14-custom-event-not-forwarded": FilterReason.NOT_IN_STREAM,
    "product_fruits/15-survey-author-username-absent": FilterReason.NO_IDENTITY,
    "getuserfeedback/06-disabled-event": FilterReason.EVENT_DISABLED,
}

DETAILS: dict[str, str] = json.loads(Path(__file__).with_name("refusals.json").read_text())
"""What each invalid sample's producer is told, up to the name of the schema."""


def name_of(path: Path) -> str:
    return str(path.relative_to(SAMPLES).with_suffix("")).replace("/invalid", "")


def mapper_for(path: Path) -> Mapper:
    beside = path.with_suffix(".settings.json")
    chosen = json.loads(beside.read_text()) if beside.exists() else {}
    return Mapper(
        MappingSettings(
            dialect=path.relative_to(SAMPLES).parts[0],
            rename=chosen.get("rename", {}),
            disabled=frozenset(chosen.get("disabled", ())),
        )
    )


def scalars_in(value: Any) -> Iterator[str]:
    """Every scalar of a document as text, without true, false and null."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from scalars_in(part)
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        yield str(value)


def keys_in(value: Any) -> Iterator[str]:
    """Every key of a document; some values of samples are also names of the contract."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from keys_in(part)


@pytest.mark.parametrize("path", [path for path in VALID if path != OVERSIZE], ids=name_of)
def test_valid_sample_makes_exactly_its_calls(path: Path) -> None:
    expected = json.loads(path.with_suffix(".segment.json").read_text())
    end = mapper_for(path).map(path.read_bytes(), BROKER_TIME_MS)
    if isinstance(end, TrackCall):
        assert [json.loads(end.body)] == expected
        assert end.message_id == expected[0]["messageId"]
    else:
        assert expected == []
        assert end == Filtered(FILTERED[name_of(path)])


def test_oversize_sample_is_its_call_with_the_answer_cut() -> None:
    [uncut] = json.loads(OVERSIZE.with_suffix(".segment.json").read_text())
    call = mapper_for(OVERSIZE).map(OVERSIZE.read_bytes(), BROKER_TIME_MS)
    assert isinstance(call, TrackCall)
    assert MAX_CALL_BYTES - 10 < len(call.body) <= MAX_CALL_BYTES
    sent = json.loads(call.body)
    answer = uncut["properties"]["response"]
    cut = sent["properties"].pop("response")
    assert answer.startswith(cut)
    assert sent["properties"].pop("responseTruncated") is True
    assert sent["properties"].pop("responseOriginalBytes") == len(answer.encode())
    del uncut["properties"]["response"]
    assert sent == uncut


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_invalid_sample_is_refused_with_place_and_cause_and_no_value(path: Path) -> None:
    with pytest.raises(RecordError) as refused:
        mapper_for(path).map(path.read_bytes(), BROKER_TIME_MS)
    detail = refused.value.detail
    assert re.sub(r" \(\w+\.schema\.json\)$", "", detail) == DETAILS[name_of(path)]
    if refused.value.reason is DeadLetterReason.DECODE_ERROR:
        assert "Northwind" not in detail
        return
    document = json.loads(path.read_text())
    for value in set(scalars_in(document)) - set(keys_in(document)):
        assert not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", detail), value


def test_a_redelivered_event_gets_the_message_id_it_had() -> None:
    """The same answer again is the same id; an edited answer is a new one and goes again."""

    def message_id(name: str) -> str:
        path = SAMPLES / f"{name}.json"
        call = mapper_for(path).map(path.read_bytes(), BROKER_TIME_MS)
        assert isinstance(call, TrackCall)
        return call.message_id

    assert message_id("getuserfeedback/03-response-submitted") == message_id("getuserfeedback/11-redelivery-of-03")
    edited = next(path.stem for path in (SAMPLES / "sprig").glob("19-*.json") if path.name.count(".") == 1)
    assert message_id("sprig/01-nps") != message_id(f"sprig/{edited}")
