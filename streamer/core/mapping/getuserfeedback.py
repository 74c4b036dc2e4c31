"""getuserfeedback.com: one lifecycle step per record, with nearly the same names as in its call.

The platform's own de-duplication id is kept. Answers and metadata that a producer adds stay in the canonical event: the
platform never sends them to Segment. Source of every rule: its page "Segment as a destination".
"""

from typing import Final

from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.call import Call
from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.event import Answer, Context, Kind, Subject, SurveyEvent
from streamer.core.mapping.getuserfeedback_origins import call_origins, event_origins
from streamer.core.mapping.identity import identifier
from streamer.core.mapping.native import Document, without_home
from streamer.core.model import Filtered, FilterReason, Json

_CONTRACT: Final = "getuserfeedback_event"
_KINDS: Final[dict[str, Kind]] = {
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


def contract_of(_document: Document, _settings: None) -> str:
    """The one form this dialect has."""
    return _CONTRACT


def read(document: Document, _contract: str, _record_time_ms: int) -> SurveyEvent:
    """A record that keeps its contract -> its event.

    Ids are nearly always strings, and that is checked here: six calls of `identifier` would take 0.3 us of 2 us.
    """
    properties: Document = document["properties"]
    organization_id, app_id = properties["organization_id"], properties["app_id"]
    survey_id, response_id = properties.get("survey_id"), properties.get("response_id")
    if type(organization_id) is not str:
        organization_id = identifier(properties, "organization_id", "/properties")
    if type(app_id) is not str:
        app_id = identifier(properties, "app_id", "/properties")
    if type(survey_id) is not str:
        survey_id = identifier(properties, "survey_id", "/properties")
    if type(response_id) is not str:
        response_id = identifier(properties, "response_id", "/properties")
    native_event = document["event"]
    return SurveyEvent(
        document["messageId"],
        _KINDS[native_event],
        {
            "dialect": "getuserfeedback",
            "native_event": native_event,
            "organization_id": organization_id,
            "app_id": app_id,
        },
        document["timestamp"],
        "native",
        _read_subject(document, properties),
        document,
        {"id": survey_id} if survey_id is not None else None,
        {"id": response_id} if response_id is not None else None,
        _read_answers(document["answers"]) if "answers" in document else None,
        None,  # trigger
        _known_of_context(document["context"]) if "context" in document else None,
        properties.get("references"),
    )


def write(event: SurveyEvent, _settings: None) -> Call | Filtered:
    """The call that the platform makes of an event, without messageId."""
    if event.kind not in _SENT_KINDS:
        return _NOT_IN_STREAM
    subject = event.subject
    call: Call = {"type": "track", "event": event.source["native_event"]}
    if "user_id" in subject:
        call["userId"] = subject["user_id"]
    if "anonymous_id" in subject:
        call["anonymousId"] = subject["anonymous_id"]
    call["timestamp"] = event.occurred_at
    context: Json = event.context or {}  # path, referrer and locale have the same names in a call
    if context is not event.native.get("context"):  # `read` has checked the record's own; again takes 0.3 us
        context = _known_of_context(context)
    call["context"] = context
    call["properties"] = _write_properties(event)
    return call


def warnings_of(event: SurveyEvent) -> list[str]:
    """What is missing although the platform says it is always there. Accepted: its own example lacks it too."""
    warnings = []
    if "identities" not in event.subject:
        warnings.append("identities_absent")
    if event.references is None:
        warnings.append("references_absent")
    if event.response is None and event.kind == "response.submitted":
        warnings.append("response_id_absent")
    return warnings


def _read_subject(document: Document, properties: Document) -> Subject:
    user_id, anonymous_id = document.get("userId"), document["anonymousId"]
    if type(user_id) is not str:
        user_id = identifier(document, "userId")
    if type(anonymous_id) is not str:
        anonymous_id = identifier(document, "anonymousId")
    subject: Subject
    subject = {"anonymous_id": anonymous_id} if user_id is None else {"user_id": user_id, "anonymous_id": anonymous_id}
    traits = properties.get("traits")
    if traits is not None:
        email = traits.get("email")
        if type(email) is str:
            subject["email"] = email
        subject["traits"] = traits
    if "identities" in properties:
        subject["identities"] = properties["identities"]
    return subject


def _read_answers(answers: Document) -> list[Answer]:
    return [_read_answer(question, value) for question, value in answers.items()]


def _read_answer(question: str, value: Json) -> Answer:
    answer: Answer = {"type": "unknown", "value": value}
    if not is_blank(question):
        answer["question_id"] = question
    return answer


def _known_of_context(context: Context) -> Context:
    """A context, native or canonical, with only the documented keys. The same object if it has no other."""
    page: Json = context.get("page", {})
    if _CONTEXT_KEYS.issuperset(context) and _PAGE_KEYS.issuperset(page):
        return context
    known: Context = {}
    if "page" in context:
        known_page: Json = {key: page[key] for key in _PAGE_HOMES if key in page}
        known["page"] = known_page
    if "locale" in context:
        known["locale"] = context["locale"]
    return known


def extra_of(event: SurveyEvent) -> Document:
    """Keys that the platform does not document, nulls, metadata, and ids that were numbers."""
    document = event.native
    extra = without_home(document, _RECORD_HOMES)
    properties_extra = without_home(document["properties"], _PROPERTY_HOMES)
    if properties_extra:
        extra["properties"] = properties_extra
    context: Document = document.get("context", {})
    context_extra = without_home(context, _CONTEXT_HOMES)
    page_extra = without_home(context.get("page", {}), _PAGE_HOMES)
    if page_extra:
        context_extra["page"] = page_extra
    if context_extra:
        extra["context"] = context_extra
    return extra


def _write_properties(event: SurveyEvent) -> dict[str, Json]:
    source, subject, survey, response = event.source, event.subject, event.survey, event.response
    properties: dict[str, Json] = {}
    if response is not None and "id" in response:
        properties["response_id"] = response["id"]
    if survey is not None and "id" in survey:
        properties["survey_id"] = survey["id"]
    if "app_id" in source:
        properties["app_id"] = source["app_id"]
    if "organization_id" in source:
        properties["organization_id"] = source["organization_id"]
    if "traits" in subject:
        properties["traits"] = subject["traits"]
    if "identities" in subject:
        properties["identities"] = subject["identities"]
    if event.references is not None:
        properties["references"] = event.references
    return properties


DIALECT: Final[Dialect[None]] = Dialect(
    name="getuserfeedback",
    platform="getuserfeedback.com",
    contracts=(_CONTRACT,),
    contract_of=contract_of,
    read=read,
    extra_of=extra_of,
    write=write,
    event_names=lambda _settings: _KINDS,
    warnings_of=warnings_of,
    message_id_key="messageId",
    event_origins=event_origins,
    call_origins=call_origins,
    message_id="The platform's own `messageId`, unchanged.",
    filters={
        FilterReason.NOT_IN_STREAM: "a canonical event has a `kind` that the platform does not send to Segment",
    },
)
