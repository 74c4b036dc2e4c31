"""Survey events of every dialect by number, each `EVENT_BYTES` long: composed, with no real person or id in them."""

import random
from collections.abc import Callable
from typing import Any, Final

import orjson

EVENT_BYTES: Final = 1_000

USERS: Final = 100_000

TEXTS: Final = 997
"""Different texts that fill the events up. Far more than one batch holds, so that none compresses better by repeats."""

_SYLLABLES: Final = [consonant + vowel for consonant in "bcdfghklmnprstvw" for vowel in "aeiou"]

_STAMP: Final = b"evt_0000000000000_"

Document = dict[str, Any]


def getuserfeedback(number: int, text: str) -> Document:
    """One lifecycle step of getuserfeedback.com."""
    user = f"user_{number % USERS:06}"
    return {
        "event": "Response Submitted",
        "userId": user,
        "anonymousId": f"anon_{number % USERS:06}",
        "messageId": f"evt_0000000000000_{number:010}",
        "timestamp": "2026-05-13T10:14:00.000Z",
        "context": {"page": {"path": "/checkout", "referrer": "https://www.example.com/"}, "locale": "en-US"},
        "properties": {
            "app_id": "app_01HZX4T7Q2",
            "organization_id": "org_01HZX4SV9M",
            "response_id": f"resp_{number:010}",
            "survey_id": "srv_nps01",
            "traits": {"email": f"{user}@example.com", "plan": "pro", "note": text},
            "identities": [{"type": "userId", "value": user}],
            "references": {"flow_version_id": "flv_31"},
        },
    }


def sprig(number: int, text: str) -> Document:
    """One answer to one question of a Sprig survey."""
    return {
        "environmentId": "env_prod_7f3c",
        "eventType": "ANSWER_SUBMITTED",
        "timestamp": "2026-03-02T09:15:27.418Z",
        "createdAt": "2026-03-02T09:15:27.301Z",
        "surveyId": 30405,
        "surveyName": "Quarterly relationship survey",
        "question": "How likely are you to recommend us to a friend or colleague?",
        "questionType": "NPS",
        "response": 9,
        "responseGroupUid": _guid(number),
        "visitorId": _guid(number % USERS),
        "userId": f"user_{number % USERS:06}",
        "email": f"user_{number % USERS:06}@example.com",
        "attributes": {"plan": "Enterprise", "role": "admin", "seats": 240, "isBeta": True, "note": text},
        "triggeringEvent": "Report Exported",
    }


def product_fruits(number: int, text: str) -> Document:
    """One analytics event of Product Fruits."""
    user = f"user_{number % USERS:06}"
    return {
        "type": "analytics",
        "projectCode": "pf-northwind-prod",
        "rawName": "announcements_popup_opened",
        "eventName": "Announcements Popup Opened",
        "data": {"id": _guid(number)},
        "timestamp": "2026-03-02T10:00:00.000Z",
        "user": {
            "username": user,
            "email": f"{user}@example.com",
            "role": "admin",
            "signUpAt": "2024-03-01T09:00:00Z",
            "props": {"plan": "Enterprise", "seats": 240, "tags": ["beta", "eu"], "note": text},
        },
        "page": {"url": "https://app.example.com/boards/7", "path": "/boards/7", "title": "Boards"},
    }


def product_fruits_survey(number: int, text: str) -> Document:
    """One survey of Product Fruits, answered."""
    user = f"user_{number:010}"
    return {
        "type": "webhook:newsurveyanswer",
        "receivedAt": "2026-03-02T11:00:00.310Z",
        "data": {
            "projectCode": "pf-northwind-prod",
            "surveyId": "b360dab3-c9d3-578c-a800-dc8c034ca2f3",
            "authorName": "Test Respondent",
            "authorEmail": f"{user}@example.com",
            "authorUsername": user,
            "answers": [
                {"questionId": "ae85fb97-0e09-552b-903f-71a9e9456c1b", "questionType": "nps", "answer": 9},
                {"questionId": "0fd82532-d105-5bb4-9ae5-afd11d503f5d", "questionType": "txt", "answer": text},
            ],
        },
    }


def canonical(number: int, text: str) -> Document:
    """An event in canonical form, to be written as getuserfeedback.com would."""
    user = f"user_{number % USERS:06}"
    return {
        "schema_version": 1,
        "event_id": f"evt_0000000000000_{number:010}",
        "kind": "response.submitted",
        "source": {
            "dialect": "getuserfeedback",
            "native_event": "Response Submitted",
            "organization_id": "org_01HZX4SV9M",
            "app_id": "app_01HZX4T7Q2",
        },
        "occurred_at": "2026-05-13T10:20:00.500Z",
        "occurred_at_origin": "native",
        "subject": {
            "user_id": user,
            "anonymous_id": f"anon_{number % USERS:06}",
            "email": f"{user}@example.com",
            "traits": {"email": f"{user}@example.com", "note": text},
            "identities": [{"type": "userId", "value": user}],
        },
        "survey": {"id": "srv_csat02"},
        "response": {"id": f"resp_{number:010}"},
        "answers": [{"question_id": "question_1", "type": "unknown", "value": 8}],
        "context": {"page": {"path": "/settings/billing", "referrer": "/settings"}, "locale": "en-AU"},
        "references": {"flow_version_id": "flv_32"},
    }


FORMS: Final[dict[str, Callable[[int, str], Document]]] = {
    "getuserfeedback": getuserfeedback,
    "sprig": sprig,
    "product_fruits": product_fruits,
    "product_fruits_survey": product_fruits_survey,
    "canonical": canonical,
}
"""Forms of records, by name."""


class EventMaker:
    """Makes the record values of one form; those of two numbers differ in their messageId."""

    def __init__(self, form: str) -> None:
        self._document = FORMS[form]
        length = EVENT_BYTES - len(orjson.dumps(self._document(0, "")))
        draw = random.Random(form)
        self._texts = [_text(draw, length) for _ in range(TEXTS)]

    def __call__(self, number: int) -> bytes:
        """The event with this number, from 0."""
        return orjson.dumps(self._document(number, self._texts[number % TEXTS]))


def stamped(event: bytes, epoch_ms: int) -> bytes:
    """A getuserfeedback.com event whose messageId says when it was produced."""
    return event.replace(_STAMP, b"evt_%013d_" % epoch_ms, 1)


def _guid(number: int) -> str:
    return f"79b56cf4-7596-58e5-8f02-{number:012x}"


def _text(draw: random.Random, length: int) -> str:
    """So many characters of made-up words, which compress about as what people write does."""
    words = ""
    while len(words) < length:
        words += "".join(draw.choices(_SYLLABLES, k=draw.randint(1, 3))) + " "
    return words[:length]
