"""Answers of Sprig, from the platform's form into the canonical one."""

from typing import Final

from streamer.core.mapping.event import Answer, AnswerType
from streamer.core.mapping.identity import identifier
from streamer.core.mapping.native import Document, check_ranks
from streamer.core.mapping.sprig_forms import STREAM, Form

_TYPES: Final[dict[str, AnswerType]] = {
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
END_CARDS: Final = frozenset({"THANKS", "UPLOADING"})
"""Question types that are shown after the questions and take no answer."""


def read_answer(document: Document, form: Form) -> Answer:
    """The one answer of a record that keeps its contract.

    Raises:
        MappingError: a rank is used twice.
    """
    native_type: str = document["questionType"]
    value = document["response"]
    answer: Answer = {
        "question": document[form.question],
        "type": _TYPES.get(native_type) or _TYPES.get(native_type.upper(), "unknown"),
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
