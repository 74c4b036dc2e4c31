"""Sample events of every dialect, made from a number. They hold no real person, company or id."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import orjson

from streamer.core.model import Json, Outcome

BEGIN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NAMESPACE: Final = uuid.UUID("5d0b6f2e-2f6d-4a59-9c5a-7c1f4a3f0b11")

INTEGRATIONS: Final = ("sprig", "product_fruits", "getuserfeedback")

DUPLICATE_EVERY: Final = 10
DISABLED_EVERY: Final = 25
MALFORMED_EVERY: Final = 40
"""Of the events of one platform, every 10th is sent twice, every 25th is of a disabled kind, every 40th is broken."""

BROKEN: Final = b'{"event": "cut off in the mid'

DISABLED_EVENTS: Final[dict[str, list[str]]] = {
    "sprig": [],
    "product_fruits": ["Tour Skipped"],
    "getuserfeedback": ["Flow Viewed"],
}
"""Event names that the demo's configuration disables. For Sprig, a study that was only seen takes their place."""


class SampleEvent(NamedTuple):
    """One record to produce, and its expected outcome."""

    integration: str
    key: bytes
    value: bytes
    outcome: Outcome


def sample_events(number: int) -> Iterator[SampleEvent]:
    """Make ``number`` records, the platforms in turn; duplicates count as records of their own."""
    made = 0
    index = 0
    while made < number:
        integration = INTEGRATIONS[index % len(INTEGRATIONS)]
        for event in _events_of(integration, index // len(INTEGRATIONS))[: number - made]:
            yield event
            made += 1
        index += 1


def steady_events(number: int, *, first: int) -> Iterator[SampleEvent]:
    """Make ``number`` records that must all be delivered; indices from ``first`` on, so that no messageId repeats."""
    index = first
    made = 0
    while made < number:
        event = _events_of(INTEGRATIONS[index % len(INTEGRATIONS)], index)[0]
        if event.outcome is Outcome.DELIVERED:
            yield event
            made += 1
        index += 1


def _events_of(integration: str, index: int) -> list[SampleEvent]:
    user = f"usr_{index % 500:05}"
    key = user.encode()
    if index % MALFORMED_EVERY == MALFORMED_EVERY - 1:
        return [SampleEvent(integration, key, BROKEN, Outcome.DEAD_LETTERED)]
    is_disabled = index % DISABLED_EVERY == DISABLED_EVERY - 1
    document = _MAKERS[integration](index, user, is_disabled=is_disabled)
    outcome = Outcome.FILTERED if is_disabled else Outcome.DELIVERED
    event = SampleEvent(integration, key, orjson.dumps(document), outcome)
    if not is_disabled and index % DUPLICATE_EVERY == 0:
        return [event, event._replace(outcome=Outcome.DUPLICATE)]
    return [event]


def _instant(index: int) -> str:
    return (BEGIN + timedelta(seconds=index)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _guid(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))


def _sprig(index: int, user: str, *, is_disabled: bool) -> Json:
    return {
        "environmentId": "env_demo",
        "eventType": "STUDY_SEEN" if is_disabled else "ANSWER_SUBMITTED",
        "timestamp": _instant(index),
        "createdAt": _instant(index),
        "surveyId": 30405,
        "surveyName": "Quarterly relationship survey",
        "question": "How likely are you to recommend us to a friend or colleague?",
        "questionType": "NPS",
        "response": index % 11,
        "responseGroupUid": _guid("response group", index),
        "visitorId": _guid("visitor", user),
        "userId": user,
        "attributes": {"plan": "Enterprise", "seats": 240},
        "triggeringEvent": "Report Exported",
    }


def _product_fruits(index: int, user: str, *, is_disabled: bool) -> Json:
    name = "tour_skipped" if is_disabled else "announcements_popup_opened"
    return {
        "type": "analytics",
        "projectCode": "pf-demo",
        "rawName": name,
        "eventName": "Tour Skipped" if is_disabled else "Announcements Popup Opened",
        "data": {"id": _guid("popup", index)},
        "timestamp": _instant(index),
        "user": {"username": user},
        "page": {"url": "https://app.example.com/boards/7", "path": "/boards/7", "title": "Boards"},
    }


def _getuserfeedback(index: int, user: str, *, is_disabled: bool) -> Json:
    return {
        "event": "Flow Viewed" if is_disabled else "Response Submitted",
        "userId": user,
        "anonymousId": f"anon_{index % 500}",
        "messageId": f"evt_demo_{index:08}",
        "timestamp": _instant(index),
        "context": {"page": {"path": "/checkout"}, "locale": "en-US"},
        "properties": {
            "app_id": "app_demo",
            "organization_id": "org_demo",
            "survey_id": "srv_demo",
            "response_id": f"resp_{index}",
            "identities": [{"type": "userId", "value": user}],
            "references": {"flow_version_id": "flv_1"},
        },
    }


_MAKERS: Final = {"sprig": _sprig, "product_fruits": _product_fruits, "getuserfeedback": _getuserfeedback}
