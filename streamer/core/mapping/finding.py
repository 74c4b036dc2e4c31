"""What is wrong with a value that its schema refuses, in words that quote nothing of it."""

import re
from typing import Any, Final

from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.expectation import choices_of, json_type, types_of
from streamer.core.model import Json

_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
_ZONE: Final = r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})"
_TIMES: Final = (
    (re.compile(r"[0-9]+"), "only digits"),
    (re.compile(_DATE), "a date without a time"),
    (re.compile(f"{_DATE}[Tt ]{_CLOCK}"), "a time without a zone"),
    (re.compile(f"{_DATE} {_CLOCK}{_ZONE}"), "a time with a blank instead of its T"),
    (re.compile(rf"{_DATE}[Tt][0-9:.]+{_ZONE}"), "a time that does not exist"),
)
"""What time-like texts look like that are no RFC 3339 times."""

_NO_FORMAT: Final = {"date-time": "a string that is no time", "uuid": "a string that is no UUID"}

_MAX_CHARACTERS: Final = 64
"""A longer text is not looked at closely, for it may have two million. No time or UUID is as long."""


def finding(rule: dict[str, Any], value: Json, keyword: str) -> str:
    """What a record has instead of what a schema expects.

    Args:
        rule: the part of the schema that ``value`` does not keep.
        value: of the record.
        keyword: which keyword of ``rule`` refuses it.
    """
    kind = json_type(value)
    if keyword == "type":
        is_encoded = isinstance(value, str) and not {"object", "array"}.isdisjoint(types_of(rule)) and is_json(value)
        return "JSON text in a string" if is_encoded else kind
    choices = choices_of(rule)
    if isinstance(value, str):
        return _finding_in_string(rule, value) if not choices or str in map(type, choices) else kind
    if kind in {"integer", "number"} and not choices:
        return f"a smaller {kind}" if keyword == "minimum" else f"a larger {kind}"
    return f"another {kind}" if kind in {*types_of(rule), *map(json_type, choices)} else kind


def is_json(text: str) -> bool:
    """Whether a text looks like an object or a list of JSON that was encoded once more."""
    return text.lstrip()[:1] in {"{", "["} and text.rstrip()[-1:] in {"}", "]"}


def _finding_in_string(rule: dict[str, Any], text: str) -> str:
    if not text:
        return "an empty string"
    if is_blank(text):
        return "a blank string"
    choices = [choice for choice in choices_of(rule) if isinstance(choice, str)]
    is_short = len(text) <= _MAX_CHARACTERS
    if choices:
        is_spelled = is_short and _letters(text) in map(_letters, choices)
        return "one of them in another spelling" if is_spelled else "none of them"
    if len(text) > rule.get("maxLength", len(text)) or ("format" in rule and not is_short):
        return f"a string of {len(text)} characters"
    if rule.get("format") == "date-time":
        return next((words for form, words in _TIMES if form.fullmatch(text)), _NO_FORMAT["date-time"])
    return _NO_FORMAT.get(rule.get("format", ""), "another string")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
