"""The three forms in which Sprig's answers come, which say the same under different names."""

from dataclasses import dataclass
from typing import Final

from streamer.core.mapping.native import Homes


@dataclass(frozen=True, slots=True)
class Form:
    """The names that one form has for what all three say."""

    name: str
    user_id: str
    group: str
    question: str
    visitor_id: str
    homes: Homes


_COMMON_HOMES: Final = dict.fromkeys(
    (
        "environmentId",
        "surveyId",
        "surveyName",
        "questionId",
        "questionType",
        "partnerAnonymousId",
        "email",
        "createdAt",
    ),
    str,
)
_PUSHED_HOMES: Final = {**_COMMON_HOMES, "timestamp": str, "attributes": dict, "triggeringEvent": str}

WEBHOOK: Final = Form(
    "webhook",
    "userId",
    "responseGroupUid",
    "question",
    "visitorId",
    {
        **_PUSHED_HOMES,
        **dict.fromkeys(("eventType", "userId", "responseGroupUid", "question", "visitorId"), str),
    },
)
EXPORT: Final = Form(
    "export",
    "externalUserId",
    "responseGroupUid",
    "questionText",
    "visitorUuid",
    {
        **_COMMON_HOMES,
        **dict.fromkeys(("externalUserId", "responseGroupUid", "questionText", "visitorUuid", "updatedAt", "url"), str),
        "visitorId": int,
    },
)
STREAM: Final = Form(
    "stream",
    "userId",
    "responseGroupId",
    "question",
    "visitorId",
    {
        **_PUSHED_HOMES,
        **dict.fromkeys(("userId", "responseGroupId", "question", "visitorId"), str),
        "oldVisitorId": int,
    },
)
FORMS: Final = {"sprig_webhook": WEBHOOK, "sprig_export": EXPORT, "sprig_stream": STREAM}
