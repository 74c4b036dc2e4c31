"""getuserfeedback.com: one lifecycle step a record, under nearly the names that Segment gets.

The platform's own de-duplication id is kept. Answers and metadata that a producer adds stay in the canonical event: the
platform never sends them to Segment. Source of every rule: its page "Segment as a destination".
"""

from typing import Any, Final

from streamer.core.mapping.identity import identifier
from streamer.core.mapping.native import Document, without_home
from streamer.core.model import Filtered, FilterReason, Json, MappingSettings, SurveyEvent

CONTRACTS: Final = ("getuserfeedback_event",)

_KINDS: Final = {
    "Flow Viewed": "survey.viewed",
    "Flow Dismissed": "survey.dismissed",
    "Response Submitted": "response.submitted",
}
_SENT_KINDS: Final = frozenset(_KINDS.values())
_NOT_IN_STREAM: Final = Filtered(FilterReason.NOT_IN_STREAM)

_RECORD_HOMES: Final = {
    "event": str,
    "userId": str,
    "anonymousId": str,
    "messageId": str,
    "timestamp": str,
    "context": dict,
    "properties": dict,
    "answers": dict,
}
_PROPERTY_HOMES: Final = {
    "app_id": str,
    "organization_id": str,
    "survey_id": str,
    "response_id": str,
    "traits": dict,
    "identities": list,
    "references": dict,
}
_CONTEXT_HOMES: Final = {"page": dict, "locale": str}
_PAGE_HOMES: Final = {"path": str, "referrer": str}
_CONTEXT_KEYS: Final = frozenset(_CONTEXT_HOMES)
_PAGE_KEYS: Final = frozenset(_PAGE_HOMES)


def contract_of(_document: Document, _settings: MappingSettings) -> str:
    """The one form this dialect has."""
    return CONTRACTS[0]


def read(document: Document, _contract: str, _record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event."""
    properties: Document = document["properties"]
    context, context_extra = _read_context(document["context"]) if "context" in document else (None, None)
    survey_id = identifier(properties, "survey_id", "/properties")
    response_id = identifier(properties, "response_id", "/properties")
    return SurveyEvent(
        document["messageId"],
        _KINDS[document["event"]],
        {
            "dialect": "getuserfeedback",
            "native_event": document["event"],
            "organization_id": identifier(properties, "organization_id", "/properties"),
            "app_id": identifier(properties, "app_id", "/properties"),
        },
        document["timestamp"],
        "native",
        _read_subject(document, properties),
        survey={"id": survey_id} if survey_id is not None else None,
        response={"id": response_id} if response_id is not None else None,
        answers=_read_answers(document["answers"]) if "answers" in document else None,
        context=context,
        references=properties.get("references"),
        extra=_read_extra(document, properties, context_extra),
    )


def write(event: SurveyEvent, _settings: MappingSettings) -> Document | Filtered:
    """The call the platform makes of an event, without messageId."""
    if event.kind not in _SENT_KINDS:
        return _NOT_IN_STREAM
    source, subject = event.source, event.subject
    call: Document = {"type": "track", "event": source["native_event"]}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    call["timestamp"] = event.occurred_at
    call["context"] = _write_context(event.context) if event.context else {}
    call["properties"] = _write_properties(event)
    return call


def warnings_of(event: SurveyEvent) -> list[str]:
    """What is always there according to the platform, and is not here; accepted, because its own example lacks it."""
    warnings = []
    if "identities" not in event.subject:
        warnings.append("identities_absent")
    if event.references is None:
        warnings.append("references_absent")
    if event.response is None and event.kind == "response.submitted":
        warnings.append("response_id_absent")
    return warnings


def _read_subject(document: Document, properties: Document) -> Document:
    subject: Document = {}
    user_id = identifier(document, "userId")
    if user_id is not None:
        subject["user_id"] = user_id
    subject["anonymous_id"] = identifier(document, "anonymousId")
    traits = properties.get("traits")
    if traits is not None:
        email = traits.get("email")
        if type(email) is str:
            subject["email"] = email
        subject["traits"] = traits
    if "identities" in properties:
        subject["identities"] = properties["identities"]
    return subject


def _read_answers(answers: Document) -> list[dict[str, Json]]:
    return [{"question_id": question, "type": "unknown", "value": answer} for question, answer in answers.items()]


def _read_context(native: Document) -> tuple[Document, Document]:
    """The canonical context, which is the native one without what the platform does not document; and the rest."""
    page: Document = native.get("page", {})
    extra = without_home(native, _CONTEXT_HOMES)
    if not extra and _PAGE_KEYS.issuperset(page):
        return native, extra
    context = {key: native[key] for key in _CONTEXT_HOMES if key in native}
    page_extra = without_home(page, _PAGE_HOMES)
    if page_extra:
        extra["page"] = page_extra
        context["page"] = {key: page[key] for key in _PAGE_HOMES if key in page}
    return context, extra


def _read_extra(document: Document, properties: Document, context_extra: Document | None) -> Document | None:
    extra = without_home(document, _RECORD_HOMES)
    properties_extra = without_home(properties, _PROPERTY_HOMES)
    if properties_extra:
        extra["properties"] = properties_extra
    if context_extra:
        extra["context"] = context_extra
    return extra or None


def _write_context(context: Document) -> Document:
    """The platform's own context: a canonical event may say more of the page than this platform sends."""
    page: Document = context.get("page", {})
    if _CONTEXT_KEYS.issuperset(context) and _PAGE_KEYS.issuperset(page):
        return context
    written = {key: context[key] for key in _CONTEXT_HOMES if key in context}
    if "page" in written:
        written["page"] = {key: page[key] for key in _PAGE_HOMES if key in page}
    return written


def _write_properties(event: SurveyEvent) -> dict[str, Any]:
    source, subject = event.source, event.subject
    properties: Document = {}
    if event.response is not None and "id" in event.response:
        properties["response_id"] = event.response["id"]
    if event.survey is not None and "id" in event.survey:
        properties["survey_id"] = event.survey["id"]
    for key in ("app_id", "organization_id"):
        if key in source:
            properties[key] = source[key]
    for key in ("traits", "identities"):
        if key in subject:
            properties[key] = subject[key]
    if event.references is not None:
        properties["references"] = event.references
    return properties
