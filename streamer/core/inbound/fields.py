"""The fields of a call, checked: what is there has the type that is expected, and null is as good as absent."""

from collections.abc import Mapping
from typing import Final

from streamer.core.inbound.text import has_control, is_absent
from streamer.core.mapping.expectation import json_type
from streamer.core.model import Json

MAX_CHARACTERS: Final = 255
"""Longest id, and longest name of an event."""

_ID: Final = f"a string of at most {MAX_CHARACTERS} characters without control characters, or an integer of 64 bits"
"""An integer with more bits is decoded as another number."""

Object = Mapping[str, Json]


class FieldFault(Exception):  # noqa: N818 - a fault of the sender, raised and caught in this package
    """A field has another type or form than expected."""

    def __init__(self, pointer: str, expected: str, found: str) -> None:
        """Describe it.

        Args:
            pointer: JSON Pointer of the field within the call.
            expected: in words.
            found: the type, or what is wrong; never the value.
        """
        super().__init__(pointer)
        self.pointer = pointer
        self.expected = expected
        self.found = found


def identifier(document: Object, name: str) -> str | None:
    """An id as text, to the letter; an integer is written in digits. None: it is absent or nothing but blanks.

    Raises:
        FieldFault: it is no id.
    """
    value = document.get(name)
    if isinstance(value, str):
        if is_absent(value):
            return None
        if len(value) > MAX_CHARACTERS:
            raise FieldFault(f"/{name}", _ID, f"a string of {len(value)} characters")
        if has_control(value):
            raise FieldFault(f"/{name}", _ID, "a string with control characters")
        return value
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    raise FieldFault(f"/{name}", _ID, json_type(value))


def is_identifier(text: str) -> bool:
    """Whether a text that can be seen may be the id of somebody in the directory; see `identifier`."""
    return len(text) <= MAX_CHARACTERS and not has_control(text)


def message_id(document: Object) -> str | None:
    """The messageId as text; None: it is absent or nothing but blanks.

    Raises:
        FieldFault: it is neither a string nor an integer.
    """
    value = document.get("messageId")
    if isinstance(value, str):
        return None if is_absent(value) else value
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    raise FieldFault("/messageId", "a string or an integer of 64 bits", json_type(value))


def part(document: Object, name: str, parent: str = "") -> Object:
    """An object of the call; empty if it is absent.

    Raises:
        FieldFault: it is no object.
    """
    value = document.get(name)
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    raise FieldFault(f"{parent}/{name}", "an object", json_type(value))


def event_name(document: Object, name: str) -> str | None:
    """Name of a tracked event, to the letter; None: it is absent or nothing but blanks.

    Raises:
        FieldFault: it is no string, or too long.
    """
    value = document.get(name)
    if value is None:
        return None
    expected = f"a string of at most {MAX_CHARACTERS} characters"
    if not isinstance(value, str):
        raise FieldFault(f"/{name}", expected, json_type(value))
    if len(value) > MAX_CHARACTERS:
        raise FieldFault(f"/{name}", expected, f"a string of {len(value)} characters")
    return None if is_absent(value) else value
