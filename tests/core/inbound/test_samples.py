"""The 27 sample bodies, as far as the rules go: each alone, applied to a fresh copy of ``users-before.json``."""

import json
from collections import Counter
from pathlib import Path

import orjson
import pytest

from streamer.core.inbound import moments
from streamer.core.inbound.call import Action, Call, CallOutcome, Ignored, IgnoredReason, Traits
from streamer.core.inbound.rules import OWN_EVENTS
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory

SAMPLES = Path(__file__).parents[2] / "samples" / "inbound"
NAMES = sorted(path.name.removesuffix(".body.json") for path in SAMPLES.glob("*.body.json"))
ACTIONS = {"identify": Action.IDENTIFY_USER, "track": Action.TRACK_EVENT, "alias": Action.UPDATE_USER_ID}


def read(call: dict[str, Json]) -> Call | Ignored:
    """A call of the samples: only as much of the reading rules as they need."""
    message_id = call.get("messageId") or json.dumps(call)
    kind = call["type"]
    if kind in {"page", "screen", "group"}:
        return Ignored(message_id, kind, IgnoredReason.NOT_AN_ACTION)
    if call.get("event") in OWN_EVENTS:
        return Ignored(message_id, kind, IgnoredReason.OWN_EVENT)
    own = dict(call.get("traits") or {})
    address = own.pop("email", None) or call.get("context", {}).get("traits", {}).get("email")
    action = Action.DELETE_USER if kind == "delete" else ACTIONS[kind]
    return Call(
        action=Action.SIGN_OUT_USER if call.get("event") == "Signed Out" else action,
        message_id=message_id,
        at=moments.read(call["timestamp"]),
        user_id=call.get("userId"),
        anonymous_id=call.get("anonymousId"),
        previous_id=call.get("previousId"),
        traits=Traits(email=address.strip() if address else None, attributes=dict(flat(own))),
        event=call.get("event"),
        properties=call.get("properties") or {},
        received=moments.read(call["timestamp"]),
        webhook="production",
    )


def flat(traits: dict[str, Json], path: str = "") -> list[tuple[str, Json]]:
    pairs: list[tuple[str, Json]] = []
    for name, value in traits.items():
        pairs += flat(value, f"{path}{name}.") if isinstance(value, dict) else [(path + name, value)]
    return pairs


@pytest.mark.parametrize("is_one_slice", [True, False], ids=["in one slice", "one by one"])
@pytest.mark.parametrize("name", NAMES)
def test_sample(name: str, is_one_slice: bool) -> None:
    body = json.loads((SAMPLES / f"{name}.body.json").read_bytes())
    expected = json.loads((SAMPLES / f"{name}.expect.json").read_bytes())
    directory = MemoryDirectory.of(*json.loads((SAMPLES / "users-before.json").read_bytes()))
    calls = [read(call) for call in (body if isinstance(body, list) else [body])]
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
