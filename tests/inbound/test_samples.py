"""The sample bodies through the whole service: signed body, HTTP, Kafka, directory, topics, on both databases."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.inbound.way_back import Course, Step, WayBack, following

pytestmark = pytest.mark.kafka

SAMPLES = Path(__file__).parents[1] / "samples" / "inbound"
USERS_BEFORE = json.loads((SAMPLES / "users-before.json").read_bytes())
SIGNATURES: dict[str, str] = json.loads((SAMPLES / "signatures.json").read_bytes())["signatures"]
NAMES = sorted(path.name.removesuffix(".body.json") for path in SAMPLES.glob("*.body.json"))
BATCH = "27-batch-of-three"


def body_of(name: str) -> bytes:
    return (SAMPLES / f"{name}.body.json").read_bytes()


def signature_of(name: str) -> dict[str, str]:
    return {"X-Signature": SIGNATURES[f"{name}.body.json"]}


def expectation_of(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((SAMPLES / f"{name}.expect.json").read_bytes())
    return expected


@pytest.fixture(params=["way_back", "way_back_on_postgresql"], ids=["sqlite", "postgresql"])
def on_either(request: pytest.FixtureRequest) -> WayBack:
    way_back: WayBack = request.getfixturevalue(request.param)
    return way_back


async def test_samples(on_either: WayBack, subtests: pytest.Subtests) -> None:
    """One service for all of them, while its directory is replaced again and again: it remembers nothing itself."""
    assert len(NAMES) == 27
    async with following(on_either) as course:
        for name in NAMES:
            with subtests.test(name):
                await course.begin(USERS_BEFORE)
                compare(await course.step(body_of(name), signature_of(name)), expectation_of(name))
        for check in (
            a_foreign_signature,
            an_upper_case_signature,
            a_blank_too_many,
            no_signature,
            a_changed_element,
            twice,
        ):
            with subtests.test(check.__name__):
                await course.begin(USERS_BEFORE)
                await check(course)


def compare(step: Step, expected: dict[str, Any]) -> None:
    """A sample's expectation; its README says how."""
    assert step.status == expected["http"]
    assert step.answer == {"accepted": sum(outcomes(expected["counts"]).values())}
    assert exact(step.users) == exact(expected["users_after"])

    published = {(record.key or b"").decode(): orjson.loads(record.value or b"null") for record in step.profiles}
    for value in filter(None, published.values()):
        assert type(value.pop("revision")) is int
        assert value.pop("updatedAt").endswith("Z")
    assert exact(published) == exact({profile["key"]: profile["value"] for profile in expected["profiles"]})

    events = step.events()
    for trigger in expected["triggers"]:
        if trigger["timestamp"] is None:
            [same] = [event for event in events if event["messageId"] == trigger["messageId"]]
            trigger["timestamp"] = same["timestamp"]
    assert sorted(map(exact, events)) == sorted(map(exact, expected["triggers"]))

    remarks = {f"remark {remark}": count for remark, count in expected["counts"]["remarks"].items()}
    assert step.counts == outcomes(expected["counts"]) | remarks
    letters = [(dict(record.headers)["streamer.reason"].decode(), record.value) for record in step.dead_letters]
    assert sorted(letters) == sorted(
        (letter["streamer.reason"], letter["value"].encode()) for letter in expected["dead_letters"]
    )


def outcomes(counts: dict[str, Any]) -> dict[str, int]:
    """The counts of a sample by the names that `Step` has for them."""
    found = {"applied": counts["applied"], "duplicate": counts["duplicate"]}
    for outcome in ("ignored", "dead_lettered"):
        found |= {f"{outcome} {reason}": count for reason, count in counts[outcome].items()}
    return {name: count for name, count in found.items() if count}


def exact(document: Any) -> str:
    """So that true and 1 differ, and the order of keys does not matter."""
    return json.dumps(document, sort_keys=True)


def assert_without_effect(step: Step, status: int) -> None:
    assert step.status == status
    assert exact(step.users) == exact(expectation_of("24-track-own-event-echo")["users_after"])
    assert (step.profiles, step.triggers, step.dead_letters, step.counts) == ([], [], [], {})


async def a_foreign_signature(course: Course) -> None:
    assert_without_effect(await course.step(body_of(NAMES[0]), signature_of(NAMES[1])), 401)


async def an_upper_case_signature(course: Course) -> None:
    upper = {"X-Signature": signature_of(NAMES[0])["X-Signature"].upper()}
    compare(await course.step(body_of(NAMES[0]), upper), expectation_of(NAMES[0]))


async def a_blank_too_many(course: Course) -> None:
    assert_without_effect(await course.step(body_of(NAMES[0]) + b" ", signature_of(NAMES[0])), 401)


async def no_signature(course: Course) -> None:
    assert_without_effect(await course.step(body_of(NAMES[0]), {}), 401)


async def a_changed_element(course: Course) -> None:
    """It passes, by the design of the signature, which covers the first element only; its trigger says so."""
    body = body_of(BATCH)
    changed = body.replace(b"Pricing Viewed", b"Prices Changed")
    assert changed != body
    step = await course.step(changed, signature_of(BATCH))
    assert (step.status, step.counts) == (200, {"applied": 3.0})
    assert [event["event"] for event in step.events()] == ["Prices Changed"]
    assert [dict(record.headers)["streamer.authenticated"] for record in step.triggers] == [b"false"]


async def twice(course: Course) -> None:
    """The second time is without effect: the messageId is known."""
    first = await course.step(body_of(BATCH), signature_of(BATCH))
    again = await course.step(body_of(BATCH), signature_of(BATCH))
    compare(first, expectation_of(BATCH))
    assert (again.status, again.answer, again.counts) == (200, {"accepted": 3}, {"duplicate": 3.0})
    assert (again.users, again.profiles, again.triggers, again.dead_letters) == (first.users, [], [], [])
