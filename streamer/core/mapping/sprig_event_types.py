"""Event types of webhooks of Sprig, which does not publish how it writes them: only letters and digits are compared."""

from collections.abc import Sequence
from typing import Final

from streamer.core.errors import SchemaError
from streamer.core.model import Json

LIFECYCLE_EVENT_TYPES: Final = (
    "STUDY_SENT",
    "STUDY_SEEN",
    "STUDY_SUBMITTED",
    "STUDY_STATUS_CHANGED",
    "THEME_IDENTIFIED",
)
"""Webhooks that the platform documents and that are no part of its stream to Segment."""

_TEST: Final = "TEST"
"""Type of a test delivery, the only one that is published as it is written."""
_BETWEEN: Final = r"[\W_]*"
"""What is not compared: anything but letters and digits."""


def contract_of_event_type(event_type: str, answers: Sequence[str], lifecycle: Sequence[str]) -> str:
    """The contract of a webhook.

    Args:
        event_type: as the record has it.
        answers: the event types of answers.
        lifecycle: the event types of webhooks that are not sent.

    Raises:
        SchemaError: it is none of them, nor a test delivery.
    """
    normal = _normal(event_type)
    if normal in map(_normal, answers) or not event_type:
        return "sprig_webhook"  # whose contract says what is wrong with an empty one
    if normal == _TEST or normal in map(_normal, lifecycle):
        return "sprig_lifecycle"
    raise SchemaError(
        "/eventType: expected one that sprig.answer_event_types or sprig.lifecycle_event_types names, found none of"
        " them; if its records carry answers, add it to sprig.answer_event_types"
    )


def is_test(event_type: str) -> bool:
    """Whether a webhook is a test delivery."""
    return _normal(event_type) == _TEST


def form_rules(answers: Sequence[str], lifecycle: Sequence[str]) -> dict[str, dict[str, Json]]:
    """What decides between the forms of records, as rules of JSON Schema; the arguments are those of the contract."""
    without_type: dict[str, Json] = {"not": {"required": ["eventType"]}}
    return {
        "sprig_webhook": {"properties": {"eventType": {"pattern": _pattern(answers)}}},
        "sprig_lifecycle": {"properties": {"eventType": {"pattern": _pattern([*lifecycle, _TEST])}}},
        "sprig_export": {**without_type, "properties": {"responseGroupId": False}},
        "sprig_stream": {**without_type, "required": ["responseGroupId"]},
    }


def _pattern(event_types: Sequence[str]) -> str:
    words = ("".join(f"[{letter}{letter.lower()}]{_BETWEEN}" for letter in _normal(one)) for one in event_types)
    return f"^{_BETWEEN}({'|'.join(words)})$"


def _normal(event_type: str) -> str:
    return "".join(filter(str.isalnum, event_type)).upper()
