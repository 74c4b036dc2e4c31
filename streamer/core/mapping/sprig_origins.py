"""From where the fields of Sprig's events and calls come. The rules are in `sprig.py` and `sprig_answers.py`."""

from collections.abc import Sequence
from typing import Any, Final

from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.origin import ANONYMOUS, BROKER_TIME, CONSTANT, ID_RULE, USER, Origin, origin
from streamer.core.mapping.sprig_forms import EXPORT, FORMS, STREAM, Form

MESSAGE_ID: Final = (
    "`spr_` and 40 hexadecimal digits of a SHA-256 over the environment, the response group, the question"
    " and the answer. A re-delivery gets the same id. An edited answer gets a new one, and is sent again."
)
"""How messageIds are made. A text for producers, in Markdown."""

_OF_CALL: Final = (
    origin("/event", "The setting says how the event is called.", settings=("sprig.event_name",)),
    origin("/userId", USER, "/subject/user_id"),
    origin("/anonymousId", ANONYMOUS, "/subject/anonymous_id", settings=("sprig.anonymous",)),
    origin("/context/integration", CONSTANT),
    origin("/context/page", "The page on which it happened.", "/context/page"),
    origin("/context/locale", "The language of the person.", "/context/locale"),
    origin("/context/userAgent", "The browser of the person.", "/context/user_agent"),
    origin("/properties/surveyName", "The name of the survey.", "/survey/name"),
    origin("/properties/surveyId", "The id of the survey.", "/survey/id"),
    origin(
        "/properties/createdAt",
        "When the survey was created or, if the record does not say so, when the answer was given; in UTC with"
        " milliseconds.",
        ("/survey/created_at", "/answers/0/answered_at"),
    ),
    origin("/properties/question", "The question.", "/answers/0/question"),
    origin("/properties/questionType", "The platform's type of the question.", "/answers/0/native_type"),
    origin("/properties/visitorId", "The id of the visitor.", "/subject/visitor_id"),
    origin("/properties/oldVisitorId", "The number that visitors had before ids.", "/subject/legacy_visitor_id"),
    origin("/properties/responseGroupId", "The id of the response.", "/response/id"),
    origin("/properties/email", "The e-mail address of the person.", "/subject/email"),
    origin("/properties/attributes", "What is known of the person.", "/subject/traits"),
    origin("/properties/response", "The answer.", "/answers/0/value"),
    origin("/properties/triggeringEvent", "The event that made the survey appear.", "/trigger/event"),
    origin(
        "/properties/questionId",
        "The id of the question.",
        "/answers/0/question_id",
        settings=("sprig.extended_properties",),
    ),
    origin(
        "/properties/selectedIndexes",
        "The places of the selected options.",
        "/answers/0/selected_indexes",
        settings=("sprig.extended_properties",),
    ),
)


def call_origins(_event: SurveyEvent, _settings: Any) -> Sequence[Origin]:
    """Of the fields of the call, out of its event."""
    return _OF_CALL


def event_origins(event: SurveyEvent) -> Sequence[Origin]:
    """Of the fields of an event, out of its record, whose form has names of its own."""
    form = FORMS[f"sprig_{event.source['form']}"]
    return (*_of_form(form), *_of_time(event, form))


def _of_form(form: Form) -> Sequence[Origin]:
    snapshot = "/visitorSnapshot" if form is EXPORT else ""
    group, question = f"/{form.group}", f"/{form.question}"
    return (
        origin("/event_id", MESSAGE_ID, "/environmentId", group, ("/questionId", question), "/response"),
        origin("/subject/user_id", ID_RULE, f"/{form.user_id}"),
        origin("/subject/anonymous_id", ID_RULE, "/partnerAnonymousId"),
        origin("/subject/visitor_id", ID_RULE, f"/{form.visitor_id}"),
        origin("/subject/legacy_visitor_id", "", f"/{form.legacy_visitor_id}"),
        origin("/subject/email", "", "/email"),
        origin("/subject/traits", "", (f"{snapshot}/attributes", f"{snapshot}/attribtues")),
        origin("/survey/id", ID_RULE, "/surveyId"),
        origin("/survey/name", "", "/surveyName"),
        origin("/response/id", ID_RULE, group),
        origin("/answers/0/question", "", question),
        origin("/answers/0/question_id", ID_RULE, "/questionId"),
        origin("/answers/0/native_type", "", "/questionType"),
        origin("/answers/0/value", "", "/response"),
        origin("/answers/0/selected_indexes", "", "/selectedIndexes"),
        origin("/survey/created_at" if form is STREAM else "/answers/0/answered_at", "", "/createdAt"),
        origin("/trigger/event", "", f"{snapshot}/triggeringEvent"),
        origin("/context/page", "", "/url"),
        origin("/context/locale", "", "/meta/language"),
        origin("/context/user_agent", "", "/meta/userAgent"),
    )


def _of_time(event: SurveyEvent, form: Form) -> Sequence[Origin]:
    if event.occurred_at_origin == "broker":
        return (origin("/occurred_at", BROKER_TIME),)
    if form is EXPORT:
        text = "When the response was changed or, if that is not said, created."
        return (origin("/occurred_at", text, ("/updatedAt", "/createdAt")),)
    return (origin("/occurred_at", "The platform's time of the event.", "/timestamp"),)
