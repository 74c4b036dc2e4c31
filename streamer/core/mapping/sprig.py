"""Sprig: one answered question a record, in one of three forms; lifecycle webhooks are no part of its Segment stream.

Source of every rule: Sprig's pages "Segment Streams" and "Webhooks", and its operation GET /v1/responses.
"""

from typing import Final

from streamer.core.errors import MappingError
from streamer.core.mapping.identity import derived_id, identifier
from streamer.core.mapping.native import Document, broker_time, check_ranks, without_home
from streamer.core.mapping.sprig_forms import EXPORT, FORMS, STREAM, WEBHOOK, Form
from streamer.core.model import Filtered, FilterReason, MappingSettings, SurveyEvent

CONTRACTS: Final = ("sprig_webhook", "sprig_lifecycle", "sprig_export", "sprig_stream")

_NOT_IN_STREAM: Final = Filtered(FilterReason.NOT_IN_STREAM)
_TEST_EVENT: Final = Filtered(FilterReason.TEST_EVENT)
_DELETED: Final = Filtered(FilterReason.DELETED)
_OTHER_ENVIRONMENT: Final = Filtered(FilterReason.OTHER_ENVIRONMENT)

_TYPES: Final = {
    "NPS": "nps",
    "LIKERT": "rating",
    "MULTIPLECHOICE": "single_choice",
    "MULTIPLESELECT": "multi_choice",
    "OPEN": "text",
    "VALIDATEDTEXT": "text",
    "AIDYNAMICFOLLOWUP": "text",
    "AIDYNAMICSTANDALONE": "text",
    "MATRIX": "matrix",
    "RANKORDER": "rank",
    "CONSENTLEGAL": "consent",
    "VIDEOVOICE": "media",
    "RECORDEDTASK": "task",
    "MAXDIFF": "maxdiff",
    "CONJOINT": "conjoint",
    "TEXTURLPROMPT": "prompt",
}
_END_CARDS: Final = frozenset({"THANKS", "UPLOADING"})
"""Question types that are shown after the questions and take no answer."""


_EXPORT_MARKS: Final = frozenset({"externalUserId", "visitorUuid", "questionText", "visitorSnapshot"})


def contract_of(document: Document, settings: MappingSettings) -> str:
    """Which form a record has: only webhooks name an event type, only the stream a ``responseGroupId``."""
    if "eventType" in document:
        event_type = document["eventType"]
        is_lifecycle = isinstance(event_type, str) and _normal(event_type) not in settings.sprig.answer_event_types
        return "sprig_lifecycle" if is_lifecycle else "sprig_webhook"
    if "responseGroupId" in document:
        return "sprig_stream"
    return "sprig_webhook" if _EXPORT_MARKS.isdisjoint(document) else "sprig_export"


def read(document: Document, contract: str, record_time_ms: int) -> SurveyEvent | Filtered:
    """A record that keeps its contract -> its event; lifecycle webhooks make none."""
    if contract == "sprig_lifecycle":
        return _TEST_EVENT if _normal(document["eventType"]) == "TEST" else _NOT_IN_STREAM
    form = FORMS[contract]
    snapshot = (document.get("visitorSnapshot") or {}) if form is EXPORT else document
    source = _read_source(document, form)
    group = identifier(document, form.group)
    assert group is not None  # the contract asks for it
    answer = _read_answer(document, form)
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
        _extra_of,
        _read_survey(document, form),
        {"id": group},
        [answer],
        {"event": snapshot["triggeringEvent"]} if "triggeringEvent" in snapshot else None,
        _read_context(document) if form is EXPORT else None,
        None,  # references
        None,  # properties
        document.get("updatedAt") if form is EXPORT else None,
    )


def write(event: SurveyEvent, settings: MappingSettings) -> Document | Filtered:
    """The call that Sprig's stream makes of an event, without messageId.

    Raises:
        MappingError: the event, a canonical one, does not hold exactly one answer.
    """
    unsent = _why_not_sent(event, settings)
    if unsent is not None:
        return unsent
    subject = event.subject
    call: Document = {"type": "track", "event": settings.sprig.event_name}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if settings.sprig.send_anonymous and "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    call["timestamp"] = event.occurred_at
    call["context"] = _write_context(event.context or {})
    call["properties"] = _write_properties(event, extended=settings.sprig.extended_properties)
    return call


def _why_not_sent(event: SurveyEvent, settings: MappingSettings) -> Filtered | None:
    if event.kind != "answer.submitted":
        return _NOT_IN_STREAM
    if event.answers is None or len(event.answers) != 1:
        raise MappingError(f"/answers: expected exactly one answer of Sprig's, found {len(event.answers or ())}")
    if event.answers[0].get("native_type", "").upper() in _END_CARDS:
        return _NOT_IN_STREAM
    if event.native.get("deletedAt") is not None:
        return _DELETED
    wanted = settings.sprig.environment
    if wanted is not None and event.source.get("environment", wanted) != wanted:
        return _OTHER_ENVIRONMENT
    return None


def _normal(event_type: str) -> str:
    """An event type for comparison: Sprig publishes no literals, so case and blanks do not count."""
    return event_type.upper().replace(" ", "_")


def _read_source(document: Document, form: Form) -> Document:
    native_event = form.native_event or document["eventType"]
    source: Document = {"dialect": "sprig", "form": form.name, "native_event": native_event}
    environment = identifier(document, "environmentId")
    if environment is not None:
        source["environment"] = environment
    return source


def _read_time(document: Document, form: Form, record_time_ms: int) -> tuple[str, str]:
    """When it happened, and who says so. A stream record's ``createdAt`` is the study's, maybe months old."""
    time = (document.get("updatedAt") or document["createdAt"]) if form is EXPORT else document.get("timestamp")
    return (time, "native") if time is not None else (broker_time(record_time_ms), "broker")


def _read_subject(document: Document, snapshot: Document, form: Form) -> Document:
    subject: Document = {}
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
        traits = snapshot.get("attribtues")  # as the export misspells it
    if traits is not None:
        subject["traits"] = traits
    return subject


def _read_visitor(document: Document, form: Form, subject: Document) -> None:
    """The visitor's id, and the number that visitors had before. A webhook gives either under one name."""
    visitor_id = identifier(document, form.visitor_id)
    legacy_id = document.get(form.legacy_visitor_id)
    if form is WEBHOOK:
        visitor_id, legacy_id = (visitor_id, None) if isinstance(legacy_id, str) else (None, legacy_id)
    if visitor_id is not None:
        subject["visitor_id"] = visitor_id
    if legacy_id is not None:
        subject["legacy_visitor_id"] = legacy_id


def _read_survey(document: Document, form: Form) -> Document:
    survey: Document = {"id": identifier(document, "surveyId")}
    name = document.get("surveyName")
    if name is not None:
        survey["name"] = name
    created_at = document.get("createdAt")
    if created_at is not None and form is STREAM:
        survey["created_at"] = created_at
    return survey


def _read_answer(document: Document, form: Form) -> Document:
    native_type: str = document["questionType"]
    value = document["response"]
    answer: Document = {
        "question": document[form.question],
        "type": _TYPES.get(native_type.upper(), "unknown"),
        "native_type": native_type,
        "value": value,
    }
    question_id = identifier(document, "questionId")
    if question_id is not None:
        answer["question_id"] = question_id
    selected_indexes = document.get("selectedIndexes")
    if selected_indexes is not None:
        answer["selected_indexes"] = selected_indexes
    created_at = document.get("createdAt")
    if created_at is not None and form is not STREAM:
        answer["answered_at"] = created_at
    if answer["type"] == "rank":
        check_ranks(value, "/response")
    return answer


def _read_context(document: Document) -> Document | None:
    context: Document = {}
    url = document.get("url")
    if url is not None:
        context["page"] = {"url": url}
    meta = document.get("meta") or {}
    for key, native_key in (("locale", "language"), ("user_agent", "userAgent")):
        if meta.get(native_key) is not None:
            context[key] = meta[native_key]
    return context or None


def _extra_of(event: SurveyEvent) -> Document:
    document, form = event.native, FORMS[f"sprig_{event.source['form']}"]
    extra = without_home(document, form.homes)
    if extra.get("selectedIndexes") is not None:
        del extra["selectedIndexes"]
    for key in (form.user_id, "partnerAnonymousId", form.visitor_id, "environmentId", "questionId"):
        if document.get(key) == "":
            extra[key] = ""
    return extra


def _write_context(context: Document) -> Document:
    written: Document = {"integration": {"name": "sprig", "version": "1.0.0"}}
    if "page" in context:
        written["page"] = context["page"]
    for key, native_key in (("locale", "locale"), ("user_agent", "userAgent")):
        if key in context:
            written[native_key] = context[key]
    return written


def _write_properties(event: SurveyEvent, *, extended: bool) -> Document:
    assert event.answers is not None
    answer, survey = event.answers[0], event.survey or {}
    properties: Document = {}
    if "name" in survey:
        properties["surveyName"] = survey["name"]
    if "id" in survey:
        properties["surveyId"] = survey["id"]
    created_at = survey.get("created_at") or answer.get("answered_at")
    if created_at is not None:
        properties["createdAt"] = created_at
    if "question" in answer:
        properties["question"] = answer["question"]
    if "native_type" in answer:
        properties["questionType"] = answer["native_type"]
    _write_respondent(event, properties)
    properties["response"] = answer["value"]
    if event.trigger is not None:
        properties["triggeringEvent"] = event.trigger["event"]
    if extended:
        for key, native_key in (("question_id", "questionId"), ("selected_indexes", "selectedIndexes")):
            if key in answer:
                properties[native_key] = answer[key]
    return properties


def _write_respondent(event: SurveyEvent, properties: Document) -> None:
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
