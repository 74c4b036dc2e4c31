"""The 27 sample bodies, as far as the rules go: each alone, applied to a fresh copy of ``users-before.json``."""

import json
from collections import Counter
from pathlib import Path

import orjson
import pytest

from streamer.core.inbound.body import split
from streamer.core.inbound.call import CallOutcome
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory

SAMPLES = Path(__file__).parents[2] / "samples" / "inbound"
NAMES = sorted(path.name.removesuffix(".body.json") for path in SAMPLES.glob("*.body.json"))
RULES = Rules()


@pytest.mark.parametrize("is_one_slice", [True, False], ids=["in one slice", "one by one"])
@pytest.mark.parametrize("name", NAMES)
def test_sample(name: str, is_one_slice: bool) -> None:
    expected = json.loads((SAMPLES / f"{name}.expect.json").read_bytes())
    directory = MemoryDirectory.of(*json.loads((SAMPLES / "users-before.json").read_bytes()))
    values = split((SAMPLES / f"{name}.body.json").read_bytes(), 10)
    assert isinstance(values, list)
    calls = [read(value, [], 1_800_000_000_000, RULES) for value in values]
    applied = directory.apply(*calls) if is_one_slice else directory.apply_each(*calls)

    assert exact(directory.export()) == exact(expected["users_after"])
    outcomes = Counter(result.outcome for result in applied)
    assert outcomes[CallOutcome.APPLIED] == expected["counts"]["applied"]
    assert Counter(result.reason for result in applied if result.reason) == expected["counts"]["ignored"]
    assert Counter(remark for result in applied for remark in result.remarks) == expected["counts"]["remarks"]
    assert exact(directory.triggers()) == exact(expected["triggers"])
    published = {record.key: record.value and orjson.loads(record.value) for record in directory.profiles()}
    for value in filter(None, published.values()):
        assert value.pop("revision") >= 1
        assert value.pop("updatedAt").startswith("2026-06-01T08:")
    assert exact(published) == exact({profile["key"]: profile["value"] for profile in expected["profiles"]})


def exact(document: Json) -> str:
    """So that true and 1 differ, and the order of keys does not matter."""
    return json.dumps(document, sort_keys=True)


def test_all_samples_are_there() -> None:
    assert len(NAMES) == 27
