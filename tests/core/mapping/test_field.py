"""Records as they were seen in the field: each ends as the case beside it says."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.model import MappingSettings, TrackCall

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "samples/field/cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def end_of(dialect: str, value: Any) -> dict[str, Any]:
    """How a record ends, in the words of the cases."""
    try:
        end = Mapper(MappingSettings(dialect=dialect)).map(orjson.dumps(value), 0)
    except RecordError as error:
        return {"outcome": "dead_lettered", "reason": error.reason, "detail": error.detail}
    if not isinstance(end, TrackCall):
        return {"outcome": "filtered", "reason": end.reason}
    call = json.loads(end.body)
    return {
        "outcome": "delivered",
        "timestamp": call["timestamp"],
        "response": call["properties"].get("response"),
    }


def test_there_are_all_of_them() -> None:
    assert len(CASES) == len({case["case"] for case in CASES}) >= 17


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_record_from_the_field_ends_as_it_must(case: dict[str, Any]) -> None:
    expected = dict(case["expect"])
    named = expected.pop("detail_names", "")
    end = end_of(case["dialect"], case["value"])
    assert {key: end.get(key) for key in expected} == expected, (case["why"], end)
    assert named in end.get("detail", "")
