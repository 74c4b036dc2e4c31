"""From where the fields of Product Fruits' events and calls come. The rules are in `product_fruits.py`."""

from collections.abc import Sequence
from typing import Any, Final

from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.origin import ANONYMOUS, BROKER_TIME, CONSTANT, ID_RULE, USER, Origin, origin

MESSAGE_ID: Final = (
    "`pf_` and 40 hexadecimal digits of a SHA-256 over the workspace, the name of the event, the person, the"
    " properties and the platform's own time of the event. A re-delivery gets the same id. A survey has no time of its"
    " own, so the same answers of the same person get the same id whenever they are given."
)
"""How messageIds are made. A text for producers, in Markdown."""

_NAME: Final = ("/eventName", "/rawName")
_NAME_RULE: Final = "Without a name, the words of the raw name are capitalised, or a table has it."
_TRAITS: Final = ("product_fruits.traits",)

_OF_ANALYTICS: Final = (
    origin("/event_id", MESSAGE_ID, "/projectCode", _NAME, ("/user/username", "/anonymousId"), "/data", "/timestamp"),
    origin("/source/native_event", _NAME_RULE, _NAME),
    origin("/source/raw_name", "", "/rawName"),
    origin("/subject/user_id", ID_RULE, "/user/username"),
    origin("/subject/email", "", "/user/email"),
    origin("/subject/traits", "", "/user"),
    origin("/context/page", "", "/page"),
    origin("/properties", "", "/data"),
)
_OF_AUTHOR: Final = (
    origin("/subject/user_id", ID_RULE, "/data/authorUsername"),
    origin("/subject/email", "", "/data/authorEmail"),
    origin("/subject/name", "", "/data/authorName"),
)
_AUTHOR: Final = ("/data/authorUsername", "/anonymousId")
_OF_SURVEY: Final = (
    *_OF_AUTHOR,
    origin("/event_id", MESSAGE_ID, "/data/projectCode", _AUTHOR, "/data/surveyId", "/data/answers"),
    origin("/survey/id", "", "/data/surveyId"),
    origin("/answers", "", "/data/answers"),
    origin("/answers/*/question_id", ID_RULE, "/data/answers/*/questionId"),
    origin("/answers/*/native_type", "", "/data/answers/*/questionType"),
    origin("/answers/*/value", "", "/data/answers/*/answer"),
    origin("/answers/*/other_text", "", "/data/answers/*/other"),
)
_FEEDBACK: Final = ("category", "screenshotsUrls", "videoDataUrls")
_OF_FEEDBACK: Final = (
    *_OF_AUTHOR,
    origin(
        "/event_id",
        MESSAGE_ID,
        "/data/projectCode",
        _AUTHOR,
        "/data/text",
        *(f"/data/{name}" for name in _FEEDBACK),
        "/data/createdAt",
    ),
    origin("/subject/traits", "", "/data/authorProps"),
    origin("/answers/0/value", "", "/data/text"),
    origin("/context/page", "", "/data/environmentInfo/currentUrl"),
)
_OF_ANY: Final = (
    origin("/subject/anonymous_id", ID_RULE, "/anonymousId"),
    origin("/extra", "", ""),
)
_OF_KIND: Final = {
    "product.event": _OF_ANALYTICS,
    "response.submitted": _OF_SURVEY,
    "feedback.submitted": _OF_FEEDBACK,
}

_OF_CALL: Final = (
    origin("/userId", USER, "/subject/user_id"),
    origin("/anonymousId", ANONYMOUS, "/subject/anonymous_id"),
    origin("/context/integration", CONSTANT),
    origin("/context/page", "The page on which it happened.", "/context/page"),
    origin("/context/traits", "What is known of the person.", "/subject/traits", settings=_TRAITS),
    origin(
        "/context/traits/email",
        "The e-mail address of the person.",
        ("/subject/email", "/subject/traits/email"),
        settings=_TRAITS,
    ),
    origin(
        "/context/traits/name", "The name of the person.", ("/subject/name", "/subject/traits/name"), settings=_TRAITS
    ),
)
_PROPERTIES: Final = {
    "product.event": (origin("/properties", "The data of the event.", "/properties"),),
    "response.submitted": (
        origin("/properties", "The properties; the record has none."),
        origin("/properties/id", "The id of the survey.", "/survey/id"),
        origin("/properties/answers", "The answers, in the platform's form.", "/answers"),
        origin("/properties/answers/*/questionId", "The id of the question.", "/answers/*/question_id"),
        origin("/properties/answers/*/questionType", "The type of the question.", "/answers/*/native_type"),
        origin("/properties/answers/*/answer", "The answer; null if there is none.", "/answers/*/value"),
        origin("/properties/answers/*/other", "The text beside the options.", "/answers/*/other_text"),
    ),
    "feedback.submitted": (
        origin("/properties", "The properties; the record has none."),
        origin("/properties/text", "The text of the feedback.", "/answers/0/value"),
        *(origin(f"/properties/{name}", "A part of the feedback.", f"/extra/data/{name}") for name in _FEEDBACK),
    ),
}


def event_origins(event: SurveyEvent) -> Sequence[Origin]:
    """Of the fields of an event, out of its record, whose form its kind tells."""
    return (*_OF_ANY, *_OF_KIND[event.kind], _of_time(event))


def _of_time(event: SurveyEvent) -> Origin:
    if event.occurred_at_origin == "broker":
        return origin("/occurred_at", BROKER_TIME)
    if event.occurred_at_origin == "receipt":
        return origin("/occurred_at", "When the producer received the webhook.", "/receivedAt")
    is_feedback = event.kind == "feedback.submitted"
    return origin(
        "/occurred_at", "The platform's time of the event.", "/data/createdAt" if is_feedback else "/timestamp"
    )


def call_origins(event: SurveyEvent, settings: Any) -> Sequence[Origin]:
    """Of the fields of the call, out of its event."""
    return (_name(event, settings), *_OF_CALL, *_PROPERTIES.get(event.kind, ()))


def _name(event: SurveyEvent, settings: Any) -> Origin:
    if event.kind == "response.submitted":
        return origin("/event", "The setting says how it is called.", settings=("product_fruits.survey_event_name",))
    if event.kind == "feedback.submitted":
        return origin("/event", "The setting says how it is called.", settings=("product_fruits.feedback_event_name",))
    if event.source.get("raw_name") in settings.event_names:
        rule = "The setting has a name for this raw name."
        return origin("/event", rule, "/source/raw_name", settings=("product_fruits.event_names",))
    return origin("/event", "The name of the event.", "/source/native_event")
