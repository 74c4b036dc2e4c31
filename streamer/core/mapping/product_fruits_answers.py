"""Answers of a Product Fruits survey, from the platform's form and back into it."""

from typing import Final

from streamer.core.mapping.event import Answer, AnswerType
from streamer.core.mapping.identity import identifier
from streamer.core.mapping.native import Document, without_home
from streamer.core.model import Json

_TYPES: Final[dict[str, AnswerType]] = {
    "nps": "nps",
    "scale": "rating",
    "emo": "emoji",
    "rbtn": "single_choice",
    "chk": "multi_choice",
    "txt": "text",
    "ltxt": "text",
    "stat": "prompt",
}
_HOMES: Final = {"questionId": str, "questionType": str, "other": str, "answer": object}


def read_answer(native: Document) -> Answer:
    """An answer that keeps the survey's contract -> its canonical form. An item without ``answer`` has the value null.

    Any item may lack it, whatever its type says or does not say: the platform's own example has such a one.
    """
    native_type = native.get("questionType")
    question_id = identifier(native, "questionId", "/data/answers/*")
    assert question_id is not None  # the contract asks for it
    answer: Answer = {
        "question_id": question_id,
        "type": _TYPES.get(native_type or "", "unknown"),
        "value": native.get("answer"),
    }
    if native_type is not None:
        answer["native_type"] = native_type
    if native.get("other") is not None:
        answer["other_text"] = native["other"]
    extra = without_home(native, _HOMES)
    if answer["type"] == "prompt" and "answer" in native:
        extra["answer"] = None  # a message takes no answer; this keeps null apart from no answer at all
    if extra:
        answer["extra"] = extra
    return answer


def write_answer(answer: Answer) -> dict[str, Json]:
    """The platform's form of an answer."""
    written: dict[str, Json] = {}
    if "question_id" in answer:
        written["questionId"] = answer["question_id"]
    if "native_type" in answer:
        written["questionType"] = answer["native_type"]
    if answer["type"] != "prompt" or "answer" in answer.get("extra", {}):
        written["answer"] = answer["value"]
    if "other_text" in answer:
        written["other"] = answer["other_text"]
    return written
