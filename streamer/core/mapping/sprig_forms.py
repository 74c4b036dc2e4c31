"""The three forms of Sprig's answers. They say the same under different names, which are listed here."""

from dataclasses import dataclass
from typing import Final

from streamer.core.mapping.native import Homes


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The names of one form, and which of its keys have a place in the canonical event."""

    name: str
    native_event: str | None
    """Native name of the events; None: each record has its own."""
    user_id: str
    group: str
    question: str
    visitor_id: str
    legacy_visitor_id: str
    """Key of the number that visitors had before their ids. Equal to ``visitor_id`` if records have one of the two."""
    homes: Homes


def _text(*keys: str) -> dict[str, type]:
    return dict.fromkeys(keys, str)


_SHARED: Final = {
    **_text(
        "environmentId",
        "surveyId",
        "surveyName",
        "questionId",
        "questionType",
        "partnerAnonymousId",
        "email",
        "createdAt",
    ),
    "response": object,
}
_PUSHED: Final = {
    **_SHARED,
    **_text("userId", "visitorId", "question", "timestamp"),
    "attributes": dict,
    "triggeringEvent": object,
}

WEBHOOK: Final = Form(
    name="webhook",
    native_event=None,
    user_id="userId",
    group="responseGroupUid",
    question="question",
    visitor_id="visitorId",
    legacy_visitor_id="visitorId",
    homes={**_PUSHED, **_text("eventType", "responseGroupUid")},
)
EXPORT: Final = Form(
    name="export",
    native_event="response",
    user_id="externalUserId",
    group="responseGroupUid",
    question="questionText",
    visitor_id="visitorUuid",
    legacy_visitor_id="visitorId",
    homes={
        **_SHARED,
        **_text("externalUserId", "responseGroupUid", "questionText", "visitorUuid", "updatedAt", "url"),
        "visitorId": int,
    },
)
STREAM: Final = Form(
    name="stream",
    native_event="SDK - Submitted - Survey Response",
    user_id="userId",
    group="responseGroupId",
    question="question",
    visitor_id="visitorId",
    legacy_visitor_id="oldVisitorId",
    homes={**_PUSHED, **_text("responseGroupId"), "oldVisitorId": int},
)
FORMS: Final = {"sprig_webhook": WEBHOOK, "sprig_export": EXPORT, "sprig_stream": STREAM}
"""By the name of the contract."""
