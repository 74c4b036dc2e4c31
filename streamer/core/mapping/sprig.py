"""Sprig: one answered question per record, in one of three forms. Its lifecycle webhooks are not sent to Segment.

Source of every rule: Sprig's pages "Segment Streams" and "Webhooks", and its operation GET /v1/responses.
"""

from dataclasses import dataclass
from typing import Final, Literal

from streamer.core.errors import MappingError
from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.call import Call, CallContext
from streamer.core.mapping.dialect import Dialect, Name
from streamer.core.mapping.event import Context, Source, Subject, Survey, SurveyEvent, TimeOrigin
from streamer.core.mapping.identity import derived_id, identifier
from streamer.core.mapping.native import Document, broker_time, without_home
from streamer.core.mapping.sprig_answers import END_CARDS, read_answer
from streamer.core.mapping.sprig_event_types import (
    LIFECYCLE_EVENT_TYPES,
    contract_of_event_type,
    form_rules,
    is_test,
)
from streamer.core.mapping.sprig_forms import EXPORT, FORMS, STREAM, WEBHOOK, Form
from streamer.core.mapping.sprig_origins import MESSAGE_ID, call_origins, event_origins
from streamer.core.mapping.times import exact
from streamer.core.model import Filtered, FilterReason, Json

_NOT_IN_STREAM: Final = Filtered(FilterReason.NOT_IN_STREAM)
_TEST_EVENT: Final = Filtered(FilterReason.TEST_EVENT)
_DELETED: Final = Filtered(FilterReason.DELETED)
_OTHER_ENVIRONMENT: Final = Filtered(FilterReason.OTHER_ENVIRONMENT)

_EXPORT_MARKS: Final = frozenset({"externalUserId", "visitorUuid", "questionText", "visitorSnapshot"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SprigSettings:
    """Choices of the dialect ``sprig``."""

    environment: str | None = None
    """Environment id of Sprig. Records that name another one are filtered as ``other_environment``; records that name
    none are sent."""
    event_name: Name = "SDK - Submitted - Survey Response"
    """Event name of the calls."""
    anonymous: Literal["skip", "send"] = "skip"
    """Visitors without a user id. ``skip``: they are filtered as ``no_identity``. ``send``: they are sent under the
    partner's anonymous id."""
    extended_properties: bool = False
    """Whether calls also carry the properties ``questionId`` and ``selectedIndexes``."""
    answer_event_types: tuple[Name, ...] = ("ANSWER_SUBMITTED",)
    """Event types of webhook records that carry an answer. Only letters and digits are compared, without case."""
    lifecycle_event_types: tuple[Name, ...] = LIFECYCLE_EVENT_TYPES
    """Event types of webhook records that are filtered as ``not_in_stream``, compared in the same way. A record with an
    event type in neither list is dead-lettered, for an answer under a new name must not vanish in silence."""


def contract_of(document: Document, settings: SprigSettings) -> str:
    """Which form a record has. Only webhooks have an event type, and only the stream a ``responseGroupId``.

    Raises:
        SchemaError: the event type is none that is known.
    """
    if "eventType" in document:
        event_type = document["eventType"]
        if event_type in settings.answer_event_types or not isinstance(event_type, str):
            return "sprig_webhook"
        return contract_of_event_type(event_type, settings.answer_event_types, settings.lifecycle_event_types)
    if "responseGroupId" in document:
        return "sprig_stream"
    return "sprig_webhook" if _EXPORT_MARKS.isdisjoint(document) else "sprig_export"


def read(document: Document, contract: str, record_time_ms: int) -> SurveyEvent | Filtered:
    """A record that keeps its contract -> its event; lifecycle webhooks make none."""
    if contract == "sprig_lifecycle":
        return _TEST_EVENT if is_test(document["eventType"]) else _NOT_IN_STREAM
    form = FORMS[contract]
    snapshot = (document.get("visitorSnapshot") or {}) if form is EXPORT else document
    source = _read_source(document, form)
    group = identifier(document, form.group)
    assert group is not None  # the contract asks for it
    answer = read_answer(document, form)
    question = answer.get("question_id") or answer["question"]
    occurred_at, origin = _read_time(document, form, record_time_ms)
    return SurveyEvent(
        derived_id("spr_", "sprig", source.get("environment", ""), group, question, content=answer["value"]),
        "answer.submitted",
        source,
        occurred_at,
        origin,
        _read_subject(document, snapshot, form),
        document,
        _read_survey(document, form),
        {"id": group},
        [answer],
        {"event": snapshot["triggeringEvent"]} if "triggeringEvent" in snapshot else None,
        _read_context(document) if form is EXPORT else None,
        None,  # references
        None,  # properties
        document.get("updatedAt") if form is EXPORT else None,
    )


def write(event: SurveyEvent, settings: SprigSettings) -> Call | Filtered:
    """The call that Sprig's stream makes of an event, without messageId.

    Raises:
        MappingError: the event, a canonical one, does not hold exactly one answer.
    """
    unsent = _why_not_sent(event, settings)
    if unsent is not None:
        return unsent
    subject = event.subject
    call: Call = {"type": "track", "event": settings.event_name}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if settings.anonymous == "send" and "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    call["timestamp"] = event.occurred_at
    call["context"] = _write_context(event.context or {})
    call["properties"] = _write_properties(event, extended=settings.extended_properties)
    return call


def _why_not_sent(event: SurveyEvent, settings: SprigSettings) -> Filtered | None:
    if event.kind != "answer.submitted":
        return _NOT_IN_STREAM
    if event.answers is None or len(event.answers) != 1:
        raise MappingError(f"/answers: expected exactly one answer, found {len(event.answers or ())}")
    if event.answers[0].get("native_type", "").upper() in END_CARDS:
        return _NOT_IN_STREAM
    if event.native.get("deletedAt") is not None:
        return _DELETED
    wanted = settings.environment
    if wanted is not None and event.source.get("environment", wanted) != wanted:
        return _OTHER_ENVIRONMENT
    return None


def _read_source(document: Document, form: Form) -> Source:
    native_event = form.native_event or document["eventType"]
    source: Source = {"dialect": "sprig", "form": form.name, "native_event": native_event}
    environment = identifier(document, "environmentId")
    if environment is not None:
        source["environment"] = environment
    return source


def _read_time(document: Document, form: Form, record_time_ms: int) -> tuple[str, TimeOrigin]:
    """When it happened, and by whose clock. ``createdAt`` of a stream record is when the study was created."""
    time = (document.get("updatedAt") or document["createdAt"]) if form is EXPORT else document.get("timestamp")
    return (time, "native") if time is not None else (broker_time(record_time_ms), "broker")


def _read_subject(document: Document, snapshot: Document, form: Form) -> Subject:
    subject: Subject = {}
    user_id = identifier(document, form.user_id)
    if user_id is not None:
        subject["user_id"] = user_id
    anonymous_id = identifier(document, "partnerAnonymousId")
    if anonymous_id is not None:
        subject["anonymous_id"] = anonymous_id
    _read_visitor(document, form, subject)
    email = document.get("email")
    if email is not None:
        subject["email"] = email
    traits = snapshot.get("attributes")
    if traits is None:
        traits = snapshot.get("attribtues")  # the export's spelling
    if traits is not None:
        subject["traits"] = traits
    return subject


def _read_visitor(document: Document, form: Form, subject: Subject) -> None:
    """The visitor's id, and the number that visitors had before. A webhook has one of them, under the same name."""
    visitor_id = identifier(document, form.visitor_id)
    legacy_id = document.get(form.legacy_visitor_id)
    if form is WEBHOOK:
        visitor_id, legacy_id = (visitor_id, None) if isinstance(legacy_id, str) else (None, legacy_id)
    if visitor_id is not None:
        subject["visitor_id"] = visitor_id
    if legacy_id is not None:
        subject["legacy_visitor_id"] = legacy_id


def _read_survey(document: Document, form: Form) -> Survey:
    survey_id = identifier(document, "surveyId")
    assert survey_id is not None  # the contract asks for it
    survey: Survey = {"id": survey_id}
    name = document.get("surveyName")
    if name is not None:
        survey["name"] = name
    created_at = document.get("createdAt")
    if created_at is not None and form is STREAM:
        survey["created_at"] = created_at
    return survey


def _read_context(document: Document) -> Context | None:
    context: Context = {}
    url = document.get("url")
    if url is not None:
        context["page"] = {"url": url}
    meta = document.get("meta") or {}
    if meta.get("language") is not None:
        context["locale"] = meta["language"]
    if meta.get("userAgent") is not None:
        context["user_agent"] = meta["userAgent"]
    return context or None


def extra_of(event: SurveyEvent) -> Document:
    """Keys that the canonical form does not know, nulls, empty ids, and ids that were numbers."""
    document, form = event.native, FORMS[f"sprig_{event.source['form']}"]
    extra = without_home(document, form.homes)
    if extra.get("selectedIndexes") is not None:
        del extra["selectedIndexes"]
    for key in (form.user_id, "partnerAnonymousId", form.visitor_id, "environmentId", "questionId"):
        value = document.get(key)
        if isinstance(value, str) and is_blank(value):
            extra[key] = value
    return extra


def _write_context(context: Context) -> CallContext:
    written: CallContext = {"integration": {"name": "sprig", "version": "1.0.0"}}
    if "page" in context:
        written["page"] = context["page"]
    if "locale" in context:
        written["locale"] = context["locale"]
    if "user_agent" in context:
        written["userAgent"] = context["user_agent"]
    return written


def _write_properties(event: SurveyEvent, *, extended: bool) -> dict[str, Json]:
    assert event.answers is not None
    answer = event.answers[0]
    survey: Survey = event.survey or {}
    properties: dict[str, Json] = {}
    if "name" in survey:
        properties["surveyName"] = survey["name"]
    if "id" in survey:
        properties["surveyId"] = survey["id"]
    created_at = survey.get("created_at") or answer.get("answered_at")
    if created_at is not None:
        properties["createdAt"] = exact(created_at)
    if "question" in answer:
        properties["question"] = answer["question"]
    if "native_type" in answer:
        properties["questionType"] = answer["native_type"]
    _write_respondent(event, properties)
    properties["response"] = answer["value"]
    if event.trigger is not None:
        properties["triggeringEvent"] = event.trigger["event"]
    if extended:
        if "question_id" in answer:
            properties["questionId"] = answer["question_id"]
        if "selected_indexes" in answer:
            properties["selectedIndexes"] = answer["selected_indexes"]
    return properties


def _write_respondent(event: SurveyEvent, properties: dict[str, Json]) -> None:
    subject = event.subject
    if "visitor_id" in subject:
        properties["visitorId"] = subject["visitor_id"]
    if "legacy_visitor_id" in subject:
        properties["oldVisitorId"] = subject["legacy_visitor_id"]
    if event.response is not None and "id" in event.response:
        properties["responseGroupId"] = event.response["id"]
    if "email" in subject:
        properties["email"] = subject["email"]
    if "traits" in subject:
        properties["attributes"] = subject["traits"]


DIALECT: Final[Dialect[SprigSettings]] = Dialect(
    name="sprig",
    platform="Sprig",
    contracts=("sprig_webhook", "sprig_lifecycle", "sprig_export", "sprig_stream"),
    contract_of=contract_of,
    form_rules=lambda settings: form_rules(settings.answer_event_types, settings.lifecycle_event_types),
    read=read,
    extra_of=extra_of,
    write=write,
    event_names=lambda settings: {settings.event_name},
    settings=SprigSettings,
    message_id=MESSAGE_ID,
    event_origins=event_origins,
    call_origins=call_origins,
    filters={
        FilterReason.NOT_IN_STREAM: "the event is not an answer, or its question is an end card, which takes no answer",
        FilterReason.TEST_EVENT: "the record is a test delivery of Sprig's webhook",
        FilterReason.DELETED: "the response was deleted before it was sent",
        FilterReason.OTHER_ENVIRONMENT: "the record names an environment, and it is not the one in `sprig.environment`",
    },
)
