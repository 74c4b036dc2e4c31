"""Product Fruits: in-app events, answered surveys and feedback, each in an envelope of its own.

Source of every rule: its pages "Segment.io integration", "Surveys webhooks" and "Feedback webhooks". The platform
publishes no record form for in-app events; their envelope is ours.
"""

from typing import Final

from streamer.core.errors import SchemaError
from streamer.core.mapping.contract import expectation, json_type
from streamer.core.mapping.identity import derived_id, identifier
from streamer.core.mapping.native import Document, Homes, broker_time, without_home
from streamer.core.mapping.product_fruits_answers import read_answer, write_answer
from streamer.core.mapping.product_fruits_names import display_name
from streamer.core.model import Filtered, FilterReason, MappingSettings, SurveyEvent

_CONTRACT_OF_TYPE: Final = {
    "analytics": "product_fruits_analytics",
    "webhook:newsurveyanswer": "product_fruits_survey",
    "webhook:newfeedback": "product_fruits_feedback",
}
CONTRACTS: Final = tuple(_CONTRACT_OF_TYPE.values())

_NOT_IN_STREAM: Final = Filtered(FilterReason.NOT_IN_STREAM)

_SURVEY_NAME: Final = "Survey Answered"
_FEEDBACK_NAME: Final = "Feedback Sent"
"""Names that ids are derived with. The names that are sent are settings; ids must not change with them."""

_ANALYTICS_HOMES: Final = {
    **dict.fromkeys(("type", "projectCode", "rawName", "eventName", "timestamp", "anonymousId"), str),
    **dict.fromkeys(("data", "user", "page"), dict),
}
_USER_KEYS: Final = ("username", "email")
"""What a user has beside traits."""
_WEBHOOK_HOMES: Final = {"type": str, "data": dict, "anonymousId": str}
_AUTHOR_HOMES: Final = {"projectCode": str, "authorUsername": str, "authorEmail": str, "authorName": str}
_SURVEY_HOMES: Final = {**_AUTHOR_HOMES, "surveyId": str, "answers": list}
_FEEDBACK_HOMES: Final = {**_AUTHOR_HOMES, "text": str, "createdAt": str, "authorProps": dict}
_PAGE_HOMES: Final = {"url": str, "path": str, "referrer": str, "title": str}
_FEEDBACK_PROPERTIES: Final = ("category", "screenshotsUrls", "videoDataUrls")


def contract_of(document: Document, _settings: MappingSettings) -> str:
    """Which form a record has, by its ``type``.

    Raises:
        SchemaError: the type is none that is known.
    """
    native_type = document.get("type")
    contract = _CONTRACT_OF_TYPE.get(native_type) if isinstance(native_type, str) else None
    if contract is None:
        found = "another string" if isinstance(native_type, str) else json_type(native_type)
        found = found if "type" in document else "nothing"
        raise SchemaError(f"/type: expected {expectation({'enum': list(_CONTRACT_OF_TYPE)})}, found {found}")
    return contract


def read(document: Document, contract: str, record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event."""
    if contract == "product_fruits_analytics":
        return _read_analytics(document, record_time_ms)
    if contract == "product_fruits_survey":
        return _read_survey(document, record_time_ms)
    return _read_feedback(document, record_time_ms)


def write(event: SurveyEvent, settings: MappingSettings) -> Document | Filtered:
    """The call that the platform's browser integration would make of an event, without messageId."""
    names = settings.product_fruits
    if event.kind == "product.event":
        if _is_kept_from_integrations(event.native):
            return _NOT_IN_STREAM
        name = names.event_names.get(event.source.get("raw_name", ""), event.source["native_event"])
        properties = event.properties or {}
    elif event.kind == "response.submitted":
        name, properties = names.survey_event_name, _survey_properties(event.survey or {}, event.answers or [])
    elif event.kind == "feedback.submitted":
        name, properties = names.feedback_event_name, _feedback_properties(event.answers or [], event.native)
    else:
        return _NOT_IN_STREAM
    return _write_call(event, name, properties, traits=names.traits)


def _write_call(event: SurveyEvent, name: str, properties: Document, *, traits: bool) -> Document:
    subject = event.subject
    call: Document = {"type": "track", "event": name}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    context: Document = {"integration": {"name": "product-fruits", "version": "1.0.0"}}
    if event.context is not None and "page" in event.context:
        context["page"] = event.context["page"]
    if traits:
        named = {key: subject[key] for key in ("email", "name") if key in subject}
        context["traits"] = {**subject.get("traits", {}), **named}
    call["timestamp"] = event.occurred_at
    call["context"] = context
    call["properties"] = properties
    return call


def _is_kept_from_integrations(native: Document) -> bool:
    """A customer's own event reaches integrations only where the customer says so."""
    forwarded = native.get("forwardToIntegrations")
    return forwarded is False or (native.get("custom") is True and forwarded is not True)


def _survey_properties(survey: Document, answers: list[Document]) -> Document:
    properties: Document = {"id": survey["id"]} if "id" in survey else {}
    properties["answers"] = [write_answer(answer) for answer in answers]
    return properties


def _feedback_properties(answers: list[Document], native: Document) -> Document:
    properties: Document = {"text": answers[0]["value"]} if answers else {}
    data = native.get("data")
    if type(data) is dict:  # what a canonical event has there may be anything
        properties.update((key, data[key]) for key in _FEEDBACK_PROPERTIES if key in data)
    return properties


def _read_analytics(document: Document, record_time_ms: int) -> SurveyEvent:
    user: Document = document.get("user") or {}
    source: Document = {"dialect": "product_fruits", "form": "analytics", **_read_names(document)}
    source["app_id"] = identifier(document, "projectCode")
    subject = _read_subject(document, user, "username", "email", "/user")
    traits = user.copy()
    for key in _USER_KEYS:
        traits.pop(key, None)
    if traits:
        subject["traits"] = traits
    page, data, native_time = _read_page(document), document.get("data"), document.get("timestamp")
    return SurveyEvent(
        _derive_id(source, source["native_event"], subject, data or {}, native_time),
        "product.event",
        source,
        native_time or broker_time(record_time_ms),
        "native" if native_time else "broker",
        subject,
        document,
        _extra_of_analytics,
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
    survey = {"id": data["surveyId"]}
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
        _extra_of_survey,
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
    answers: list[Document] = [{"type": "text", "value": data["text"]}]
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
        _extra_of_feedback,
        None,  # survey
        None,  # response
        answers,
        None,  # trigger
        {"page": {"url": url}} if url is not None else None,
    )


def _derive_id(
    source: Document, name: str, subject: Document, properties: Document, native_time: str | None = None
) -> str:
    person = subject.get("user_id") or subject.get("anonymous_id") or ""
    return derived_id("pf_", "product_fruits", source["app_id"], name, person, content=properties, time=native_time)


def _read_names(document: Document) -> dict[str, str]:
    raw_name: str | None = document.get("rawName")
    event_name: str | None = document.get("eventName")
    if event_name is None or not event_name.strip():
        assert raw_name is not None  # the contract asks for one of the two
        event_name = display_name(raw_name)
    return {"native_event": event_name} if raw_name is None else {"native_event": event_name, "raw_name": raw_name}


def _read_subject(document: Document, person: Document, id_key: str, email_key: str, parent: str) -> Document:
    subject: Document = {}
    user_id = identifier(person, id_key, parent)
    if user_id is not None:
        subject["user_id"] = user_id
    anonymous_id = identifier(document, "anonymousId")
    if anonymous_id is not None:
        subject["anonymous_id"] = anonymous_id
    if person.get(email_key) is not None:
        subject["email"] = person[email_key]
    return subject


def _read_author(document: Document, data: Document) -> Document:
    subject = _read_subject(document, data, "authorUsername", "authorEmail", "/data")
    if data.get("authorName") is not None:
        subject["name"] = data["authorName"]
    return subject


def _read_page(document: Document) -> Document | None:
    """The canonical page: the native one without what has no place there; itself if that is nothing."""
    page: Document | None = document.get("page")
    extra = without_home(page, _PAGE_HOMES) if page else None
    return {key: value for key, value in page.items() if key not in extra} if page and extra else page


def _read_webhook_source(document: Document, data: Document) -> Document:
    return {
        "dialect": "product_fruits",
        "form": "webhook",
        "native_event": document["type"],
        "app_id": identifier(data, "projectCode", "/data"),
    }


def _read_webhook_time(document: Document, native_time: str | None, record_time_ms: int) -> tuple[str, str]:
    """When it happened, and who says so: the platform, else whoever took the webhook in, else the broker."""
    if native_time is not None:
        return native_time, "native"
    received_at = document.get("receivedAt")
    return (received_at, "receipt") if received_at is not None else (broker_time(record_time_ms), "broker")


def _extra_of_analytics(event: SurveyEvent) -> Document:
    document = event.native
    extra = without_home(document, _ANALYTICS_HOMES)
    page_extra = without_home(document.get("page") or {}, _PAGE_HOMES)
    if page_extra:
        extra["page"] = page_extra
    user: Document = document.get("user") or {}
    user_extra = {key: user[key] for key in _USER_KEYS if key in user and type(user[key]) is not str}
    if user_extra:
        extra["user"] = user_extra
    if document.get("eventName") not in {None, event.source["native_event"]}:
        extra["eventName"] = document["eventName"]
    return extra


def _extra_of_survey(event: SurveyEvent) -> Document:
    return _extra_of_webhook(event, _SURVEY_HOMES)


def _extra_of_feedback(event: SurveyEvent) -> Document:
    return _extra_of_webhook(event, _FEEDBACK_HOMES)


def _extra_of_webhook(event: SurveyEvent, homes: Homes) -> Document:
    document = event.native
    extra = without_home(document, _WEBHOOK_HOMES)
    if event.occurred_at_origin == "receipt":
        del extra["receivedAt"]
    data_extra = without_home(document["data"], homes)
    if data_extra:
        extra["data"] = data_extra
    return extra
