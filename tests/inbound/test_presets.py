"""What presets and other settings change, through the whole service: calls that the defaults treat otherwise."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.inbound.test_samples import USERS_BEFORE, body_of, exact, signature_of
from tests.inbound.way_back import SECRET, Course, Step, WayBack, following, sign

pytestmark = pytest.mark.kafka

ANN = "usr_48151"
ANNS_EMAIL = "respondent.1@example.com"
BEN = "usr_62342"


async def send(course: Course, *calls: dict[str, Any]) -> Step:
    """Send calls in one request, to the directory of the samples."""
    await course.begin(USERS_BEFORE)
    body = orjson.dumps([{"messageId": f"m-{number}", **call} for number, call in enumerate(calls)])
    return await course.step(body, {"X-Signature": sign(body)})


def users_of(step: Step) -> dict[str, Any]:
    return {user["username"]: user for user in step.users}


async def test_sprig_never_matches_by_email_and_screens_groups_and_nulls_may_count(way_back: WayBack) -> None:
    async with following(
        way_back, preset="sprig", environment="staging", screen="event", group="attributes", null_traits="remove"
    ) as course:
        step = await send(course, {"type": "identify", "userId": "new", "traits": {"email": ANNS_EMAIL, "plan": "Pro"}})
        assert users_of(step)["new"]["email"] == users_of(step)[ANN]["email"] == ANNS_EMAIL
        assert users_of(step)[ANN]["attributes"] == {"plan": "Professional"}
        [profile] = step.profiles
        assert (profile.key, orjson.loads(profile.value)["environment"]) == (b"new", "staging")

        step = await send(course, {"type": "identify", "traits": {"email": ANNS_EMAIL}})
        assert step.counts == {"ignored unmatched": 1.0}

        step = await send(course, {"type": "screen", "userId": BEN, "name": "Board", "properties": {"n": 1}})
        [event] = step.events()
        assert (event["event"], event["username"], event["environment"]) == ("Board", BEN, "staging")

        step = await send(
            course,
            {"type": "group", "userId": BEN, "groupId": "g", "traits": {"name": "Example", "email": "c@example.com"}},
            {"type": "group", "userId": "unknown", "groupId": "g"},
        )
        assert users_of(step)[BEN]["attributes"] == {
            "group.id": "g",
            "group.name": "Example",
            "group.email": "c@example.com",
            "plan": "Free",
        }
        assert users_of(step)[BEN]["email"] is None
        assert step.counts == {"applied": 1.0, "ignored unknown_user": 1.0}

        step = await send(course, {"type": "identify", "userId": BEN, "traits": {"plan": None}})
        assert users_of(step)[BEN]["attributes"] == {}


async def test_product_fruits_leaves_anonymous_triggers_out_and_triggers_may_be_chosen(way_back: WayBack) -> None:
    names = ["Report Exported", "Pricing Viewed"]
    async with following(way_back, preset="product_fruits", triggers={"events": names, "max_age": "1h"}) as course:
        track = {"type": "track", "userId": BEN, "event": "Report Exported"}
        old = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
        step = await send(
            course,
            {"type": "track", "anonymousId": "nobody's", "event": "Report Exported"},
            {**track, "timestamp": old},
            {**track, "event": "report exported"},
            {**track, "event": "Pricing Viewed"},
        )
        assert step.counts == {"applied": 4.0}
        assert [(event["event"], event["username"]) for event in step.events()] == [("Pricing Viewed", BEN)]


async def test_getuserfeedback_asks_for_the_user_id_first(way_back: WayBack) -> None:
    async with following(way_back, preset="getuserfeedback", loop_guard={"events": ["Ours"]}) as course:
        step = await send(course, {"type": "identify", "userId": BEN, "traits": {"email": ANNS_EMAIL, "plan": "Pro"}})
        assert users_of(step)[BEN]["attributes"] == {"plan": "Pro"}
        assert users_of(step)[ANN]["attributes"] == {"plan": "Professional"}
        step = await send(
            course,
            {"type": "track", "userId": BEN, "event": "Ours"},
            {"type": "track", "userId": BEN, "event": "Survey Answered"},
        )
        assert step.counts == {"ignored own_event": 1.0, "applied": 1.0}
        assert [event["event"] for event in step.events()] == ["Survey Answered"]


async def test_what_no_signature_covers_may_be_set_aside(way_back: WayBack) -> None:
    """Segment signs the first call of a batch only. A bearer token covers them all."""
    webhook = {"secrets": [SECRET], "unauthenticated": "dead_letter"}
    async with following(way_back, webhooks={"production": webhook}) as course:
        await course.begin(USERS_BEFORE)
        body = body_of("27-batch-of-three")
        step = await course.step(body, signature_of("27-batch-of-three"))
        assert step.counts == {"applied": 1.0, "dead_lettered unauthenticated": 2.0}
        assert step.triggers == []
        assert [dict(letter.headers)["streamer.reason"] for letter in step.dead_letters] == [b"unauthenticated"] * 2
        assert sorted(exact(json.loads(letter.value)) for letter in step.dead_letters) == sorted(
            map(exact, json.loads(body)[1:])
        )
        assert all(letter.value in body for letter in step.dead_letters)
    with_token = webhook | {"bearer_token": "t0ken"}
    async with following(way_back, webhooks={"production": with_token}) as course:
        await course.begin(USERS_BEFORE)
        step = await course.step(body, {**signature_of("27-batch-of-three"), "Authorization": "Bearer t0ken"})
        assert step.counts == {"applied": 3.0}
        assert [dict(trigger.headers)["streamer.authenticated"] for trigger in step.triggers] == [b"true"]
