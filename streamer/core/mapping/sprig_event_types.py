"""Event types of webhooks of Sprig, which does not publish how it writes them: only letters and digits are compared."""

from collections.abc import Sequence
from typing import Final

from streamer.core.errors import SchemaError

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


def pattern_of_answers(answers: Sequence[str]) -> str:
    """What the event types of answers match, as a regular expression of JSON Schema."""
    return _pattern(answers)


def pattern_of_lifecycle(lifecycle: Sequence[str]) -> str:
    """The same for webhooks that are not sent, test deliveries included."""
    return _pattern([*lifecycle, _TEST])


def _pattern(event_types: Sequence[str]) -> str:
    words = ("".join(f"[{letter}{letter.lower()}]{_BETWEEN}" for letter in _normal(one)) for one in event_types)
    return f"^{_BETWEEN}({'|'.join(words)})$"


def _normal(event_type: str) -> str:
    return "".join(filter(str.isalnum, event_type)).upper()
