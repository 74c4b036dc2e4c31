"""The canonical survey event: its parts as typed documents, and `SurveyEvent`, which holds them.

The types say what ``schemas/survey_event.schema.json`` says, and a test compares the two. They cost nothing at run
time: each part is an ordinary dict, built by a dialect or taken from a decoded record. It may also have keys that its
type does not name.
"""

from typing import Literal, NotRequired, TypedDict

from streamer.core.mapping.native import Document
from streamer.core.model import Json

Kind = Literal[
    "survey.sent",
    "survey.viewed",
    "survey.dismissed",
    "answer.submitted",
    "response.submitted",
    "feedback.submitted",
    "product.event",
]
"""What happened."""

TimeOrigin = Literal["native", "broker", "receipt"]
"""Where the time of an event comes from: the platform, Kafka, or the producer that received the record."""

AnswerType = Literal[
    "nps",
    "rating",
    "emoji",
    "single_choice",
    "multi_choice",
    "text",
    "matrix",
    "rank",
    "consent",
    "media",
    "task",
    "maxdiff",
    "conjoint",
    "prompt",
    "unknown",
]
"""Type of a question."""


class Source(TypedDict):
    """Where an event comes from."""

    dialect: str
    native_event: str
    raw_name: NotRequired[str]
    form: NotRequired[str]
    environment: NotRequired[str]
    organization_id: NotRequired[str]
    app_id: NotRequired[str]


class Identity(TypedDict):
    """One identifier of a person."""

    type: str
    value: str | float


class Subject(TypedDict, total=False):
    """The person."""

    user_id: str
    anonymous_id: str
    visitor_id: str
    legacy_visitor_id: int
    email: str
    name: str
    traits: dict[str, Json]
    identities: list[Identity]


class Survey(TypedDict, total=False):
    """The survey."""

    id: str
    name: str
    created_at: str


class Response(TypedDict, total=False):
    """One person's response to a survey."""

    id: str
    complete: bool


class Answer(TypedDict):
    """The answer to one question."""

    question_id: NotRequired[str]
    question: NotRequired[str]
    type: AnswerType
    native_type: NotRequired[str]
    value: Json
    selected_indexes: NotRequired[int | list[int]]
    other_text: NotRequired[str]
    answered_at: NotRequired[str]
    extra: NotRequired[Document]


class Trigger(TypedDict):
    """What made the survey appear."""

    event: str | None


class Page(TypedDict, total=False):
    """The page on which it happened."""

    path: str
    url: str
    referrer: str
    title: str


class Context(TypedDict, total=False):
    """Where it happened."""

    page: Page
    locale: str
    user_agent: str


class EventDocument(TypedDict):
    """A whole event as one JSON document."""

    schema_version: Literal[1]
    event_id: str
    kind: Kind
    source: Source
    occurred_at: str
    occurred_at_origin: TimeOrigin
    subject: Subject
    survey: NotRequired[Survey]
    response: NotRequired[Response]
    answers: NotRequired[list[Answer]]
    trigger: NotRequired[Trigger]
    context: NotRequired[Context]
    references: NotRequired[dict[str, Json]]
    properties: NotRequired[dict[str, Json]]
    updated_at: NotRequired[str]
    extra: NotRequired[Document]


class SurveyEvent:
    """One survey event in canonical form.

    One object per record on the hot path, therefore flat, slotted, positional and not frozen; nested parts are left as
    decoded documents and instants as checked RFC 3339 text (measured: 0.4 us to build, 0.7 us with arguments given by
    name, 5.9 us as a frozen keyword-only dataclass). An absent part is None; ``trigger`` distinguishes absent (None)
    from stated as none (``{"event": None}``).

    ``native`` is the record as its platform sent it. For a canonical record it is the ``extra`` of that record, which
    holds what the native one said beyond the canonical form. Writers look there for the few values that have no place
    in canonical form.
    """

    __slots__ = (
        "answers",
        "context",
        "event_id",
        "kind",
        "native",
        "occurred_at",
        "occurred_at_origin",
        "properties",
        "references",
        "response",
        "source",
        "subject",
        "survey",
        "trigger",
        "updated_at",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the one flat type of the hot path, see the class docstring
        self,
        event_id: str,
        kind: Kind,
        source: Source,
        occurred_at: str,
        occurred_at_origin: TimeOrigin,
        subject: Subject,
        native: Document,
        survey: Survey | None = None,
        response: Response | None = None,
        answers: list[Answer] | None = None,
        trigger: Trigger | None = None,
        context: Context | None = None,
        references: dict[str, Json] | None = None,
        properties: dict[str, Json] | None = None,
        updated_at: str | None = None,
    ) -> None:
        self.event_id = event_id
        self.kind = kind
        self.source = source
        self.occurred_at = occurred_at
        self.occurred_at_origin = occurred_at_origin
        self.subject = subject
        self.native = native
        self.survey = survey
        self.response = response
        self.answers = answers
        self.trigger = trigger
        self.context = context
        self.references = references
        self.properties = properties
        self.updated_at = updated_at
