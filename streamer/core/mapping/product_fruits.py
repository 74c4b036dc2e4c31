"""Product Fruits: in-app events, survey answers and feedback, each in a form of its own.

Source of every rule: its pages "Segment.io integration", "Surveys webhooks" and "Feedback webhooks". The platform
publishes no record form for in-app events; their envelope is ours.
"""

from dataclasses import dataclass, field
from typing import Final

from streamer.core.errors import SchemaError
from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.call import Call, CallContext
from streamer.core.mapping.dialect import Dialect, Name
from streamer.core.mapping.event import Answer, Source, Subject, Survey, SurveyEvent, TimeOrigin
from streamer.core.mapping.expectation import expectation
from streamer.core.mapping.finding import finding
from streamer.core.mapping.identity import derived_id, identifier
from streamer.core.mapping.native import Document, broker_time
from streamer.core.mapping.product_fruits_answers import read_answer, write_answer
from streamer.core.mapping.product_fruits_extra import USER_KEYS, extra_of, known_page
from streamer.core.mapping.product_fruits_names import display_name
from streamer.core.mapping.product_fruits_origins import MESSAGE_ID, call_origins, event_origins
from streamer.core.model import Filtered, FilterReason, Json

_CONTRACT_OF_TYPE: Final = {
    "analytics": "product_fruits_analytics",
    "webhook:newsurveyanswer": "product_fruits_survey",
    "webhook:newfeedback": "product_fruits_feedback",
}
_NOT_IN_STREAM: Final = Filtered(FilterReason.NOT_IN_STREAM)

_SURVEY_NAME: Final = "Survey Answered"
_FEEDBACK_NAME: Final = "Feedback Sent"
"""Names from which ids are derived. The names in calls are settings, and ids must not change with them."""

_FEEDBACK_PROPERTIES: Final = ("category", "screenshotsUrls", "videoDataUrls")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductFruitsSettings:
    """Choices of the dialect ``product_fruits``."""

    event_names: dict[Name, Name] = field(default_factory=dict)
    """Raw name of an event of Product Fruits, and the event name to send. Replaces entries of the packaged table."""
    survey_event_name: Name = "Survey Answered"
    """Event name of the calls for survey answers."""
    feedback_event_name: Name = "Feedback Sent"
    """Event name of the calls for feedback."""
    traits: bool = False
    """Whether e-mail address, name and user properties are sent as ``context.traits``."""


def contract_of(document: Document, _settings: ProductFruitsSettings) -> str:
    """Which form a record has: its ``type`` says so.

    Raises:
        SchemaError: the type is none that is known.
    """
    native_type = document.get("type")
    contract = _CONTRACT_OF_TYPE.get(native_type) if isinstance(native_type, str) else None
    if contract is None:
        rule = {"enum": list(_CONTRACT_OF_TYPE)}
        found = finding(rule, native_type, "enum") if "type" in document else "nothing"
        raise SchemaError(f"/type: expected {expectation(rule)}, found {found}")
    return contract


def read(document: Document, contract: str, record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event."""
    if contract == "product_fruits_analytics":
        return _read_analytics(document, record_time_ms)
    if contract == "product_fruits_survey":
        return _read_survey(document, record_time_ms)
    return _read_feedback(document, record_time_ms)


def write(event: SurveyEvent, settings: ProductFruitsSettings) -> Call | Filtered:
    """The call that the platform's browser integration would make of an event, without messageId."""
    if event.kind == "product.event":
        if _is_kept_from_integrations(event.native):
            return _NOT_IN_STREAM
        name = event.source["native_event"]
        if settings.event_names:
            name = settings.event_names.get(event.source.get("raw_name", ""), name)
        properties = event.properties or {}
    elif event.kind == "response.submitted":
        name, properties = settings.survey_event_name, _survey_properties(event.survey or {}, event.answers or [])
    elif event.kind == "feedback.submitted":
        name, properties = settings.feedback_event_name, _feedback_properties(event.answers or [], event.native)
    else:
        return _NOT_IN_STREAM
    return _write_call(event, name, properties, traits=settings.traits)


def _write_call(event: SurveyEvent, name: str, properties: dict[str, Json], *, traits: bool) -> Call:
    subject = event.subject
    call: Call = {"type": "track", "event": name}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    context: CallContext = {"integration": {"name": "product-fruits", "version": "1.0.0"}}
    if event.context is not None and "page" in event.context:
        context["page"] = event.context["page"]
    if traits:
        context["traits"] = _write_traits(subject)
    call["timestamp"] = event.occurred_at
    call["context"] = context
    call["properties"] = properties
    return call


def _write_traits(subject: Subject) -> dict[str, Json]:
    traits = dict(subject.get("traits", {}))
    if "email" in subject:
        traits["email"] = subject["email"]
    if "name" in subject:
        traits["name"] = subject["name"]
    return traits


def _is_kept_from_integrations(native: Document) -> bool:
    """Whether the platform keeps an event from integrations. A customer's own event is forwarded only on request."""
    forwarded = native.get("forwardToIntegrations")
    return forwarded is False or (native.get("custom") is True and forwarded is not True)


def _survey_properties(survey: Survey, answers: list[Answer]) -> dict[str, Json]:
    properties: dict[str, Json] = {"id": survey["id"]} if "id" in survey else {}
    properties["answers"] = [write_answer(answer) for answer in answers]
    return properties


def _feedback_properties(answers: list[Answer], native: Document) -> dict[str, Json]:
    properties: dict[str, Json] = {"text": answers[0]["value"]} if answers else {}
    data = native.get("data")
    if type(data) is dict:  # in a canonical event it can have any type
        properties.update((key, data[key]) for key in _FEEDBACK_PROPERTIES if key in data)
    return properties


def _read_analytics(document: Document, record_time_ms: int) -> SurveyEvent:
    user: Document = document.get("user") or {}
    source = _read_analytics_source(document)
    subject = _read_subject(document, user, "username", "email", "/user")
    traits = user.copy()
    for key in USER_KEYS:
        traits.pop(key, None)
    if traits:
        subject["traits"] = traits
    page, data, native_time = known_page(document.get("page")), document.get("data"), document.get("timestamp")
    return SurveyEvent(
        _derive_id(source, source["native_event"], subject, data or {}, native_time),
        "product.event",
        source,
        native_time or broker_time(record_time_ms),
        "native" if native_time else "broker",
        subject,
        document,
        None,  # survey
        None,  # response
        None,  # answers
        None,  # trigger
        {"page": page} if page is not None else None,
        None,  # references
        data,
    )


def _read_survey(document: Document, record_time_ms: int) -> SurveyEvent:
    data: Document = document["data"]
    source = _read_webhook_source(document, data)
    subject = _read_author(document, data)
    survey: Survey = {"id": data["surveyId"]}
    answers = [read_answer(answer) for answer in data["answers"]]
    occurred_at, origin = _read_webhook_time(document, None, record_time_ms)
    return SurveyEvent(
        _derive_id(source, _SURVEY_NAME, subject, _survey_properties(survey, answers)),
        "response.submitted",
        source,
        occurred_at,
        origin,
        subject,
        document,
        survey,
        None,  # response
        answers,
    )


def _read_feedback(document: Document, record_time_ms: int) -> SurveyEvent:
    data: Document = document["data"]
    source = _read_webhook_source(document, data)
    subject = _read_author(document, data)
    if data.get("authorProps") is not None:
        subject["traits"] = data["authorProps"]
    answers: list[Answer] = [{"type": "text", "value": data["text"]}]
    native_time = data.get("createdAt")
    occurred_at, origin = _read_webhook_time(document, native_time, record_time_ms)
    url = (data.get("environmentInfo") or {}).get("currentUrl")
    return SurveyEvent(
        _derive_id(source, _FEEDBACK_NAME, subject, _feedback_properties(answers, document), native_time),
        "feedback.submitted",
        source,
        occurred_at,
        origin,
        subject,
        document,
        None,  # survey
        None,  # response
        answers,
        None,  # trigger
        {"page": {"url": url}} if url is not None else None,
    )


def _derive_id(
    source: Source, name: str, subject: Subject, properties: dict[str, Json], native_time: str | None = None
) -> str:
    person = subject.get("user_id") or subject.get("anonymous_id") or ""
    return derived_id("pf_", "product_fruits", source["app_id"], name, person, content=properties, time=native_time)


def _read_analytics_source(document: Document) -> Source:
    raw_name: str | None = document.get("rawName")
    event_name: str | None = document.get("eventName")
    if event_name is None or is_blank(event_name):
        assert raw_name is not None  # the contract asks for one of the two
        event_name = display_name(raw_name)
    source: Source = {"dialect": "product_fruits", "form": "analytics", "native_event": event_name}
    if raw_name is not None:
        source["raw_name"] = raw_name
    source["app_id"] = _read_app_id(document)
    return source


def _read_app_id(native: Document, parent: str = "") -> str:
    app_id = identifier(native, "projectCode", parent)
    assert app_id is not None  # the contract asks for it
    return app_id


def _read_subject(document: Document, person: Document, id_key: str, email_key: str, parent: str) -> Subject:
    subject: Subject = {}
    user_id = identifier(person, id_key, parent)
    if user_id is not None:
        subject["user_id"] = user_id
    anonymous_id = identifier(document, "anonymousId")
    if anonymous_id is not None:
        subject["anonymous_id"] = anonymous_id
    if person.get(email_key) is not None:
        subject["email"] = person[email_key]
    return subject


def _read_author(document: Document, data: Document) -> Subject:
    subject = _read_subject(document, data, "authorUsername", "authorEmail", "/data")
    if data.get("authorName") is not None:
        subject["name"] = data["authorName"]
    return subject


def _read_webhook_source(document: Document, data: Document) -> Source:
    return {
        "dialect": "product_fruits",
        "form": "webhook",
        "native_event": document["type"],
        "app_id": _read_app_id(data, "/data"),
    }


def _read_webhook_time(document: Document, native_time: str | None, record_time_ms: int) -> tuple[str, TimeOrigin]:
    """When it happened: by the platform, else by the producer that received the webhook, else by the broker."""
    if native_time is not None:
        return native_time, "native"
    received_at = document.get("receivedAt")
    return (received_at, "receipt") if received_at is not None else (broker_time(record_time_ms), "broker")


DIALECT: Final[Dialect[ProductFruitsSettings]] = Dialect(
    name="product_fruits",
    platform="Product Fruits",
    contracts=tuple(_CONTRACT_OF_TYPE.values()),
    contract_of=contract_of,
    read=read,
    extra_of=extra_of,
    write=write,
    settings=ProductFruitsSettings,
    message_id=MESSAGE_ID,
    event_origins=event_origins,
    call_origins=call_origins,
    filters={
        FilterReason.NOT_IN_STREAM: "`forwardToIntegrations` is false, or a customer's own event (`custom`) lacks it,"
        " or a canonical event has a `kind` that the platform does not send to Segment",
    },
)
