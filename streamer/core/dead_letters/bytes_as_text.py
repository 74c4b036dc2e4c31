"""Bytes of records as JSON values that people can read and correct, and back."""

import base64
import json
from typing import Any, Final

from streamer.core.model import Json

JSON_FORM: Final = "json"
TEXT_FORM: Final = "text"
BASE64_FORM: Final = "base64"

Fields = dict[str, Any]


def as_fields(name: str, value: bytes | None) -> Fields:
    """A value as one field of a JSON document.

    ``name_json`` if it is an object or a list of JSON that can be written again, else ``name_text`` if it is UTF-8,
    else ``name_base64``; ``name_text: null`` if there is none.
    """
    if value is None:
        return {f"{name}_{TEXT_FORM}": None}
    document = readable_json(value)
    if document is not None:
        return {f"{name}_{JSON_FORM}": document}
    try:
        return {f"{name}_{TEXT_FORM}": value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_{BASE64_FORM}": base64.b64encode(value).decode()}


def readable_json(value: bytes) -> dict[str, Json] | list[Json] | None:
    """The object or list that a value is; None: it is none, or cannot be written again so that it says the same."""
    try:
        document = json.loads(value.decode(), object_pairs_hook=_distinct, parse_constant=_refuse)
        if not isinstance(document, dict | list):
            return None
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # UnicodeError is a ValueError
        return None
    return document


def from_fields(name: str, fields: Fields, original: bytes | None) -> bytes | None:
    """The value that a document of `as_fields` has, perhaps after a correction.

    Args:
        name: as for `as_fields`.
        fields: the document.
        original: the bytes before the correction; they are what is returned if the document means the same, since
            blanks and the notation of numbers are lost in it.

    Raises:
        ValueError: the document has none of the fields, several of them, or one that cannot be read.
    """
    forms = [form for form in (JSON_FORM, TEXT_FORM, BASE64_FORM) if f"{name}_{form}" in fields]
    if len(forms) != 1:
        names = ", ".join(f"{name}_{form}" for form in (JSON_FORM, TEXT_FORM, BASE64_FORM))
        raise ValueError(f"expected exactly one of {names}, found {len(forms)}")
    [form] = forms
    given = fields[f"{name}_{form}"]
    if _text(as_fields(name, original)) == _text({f"{name}_{form}": given}):
        return original
    if form == JSON_FORM:
        return _compact(name, given)
    if given is None:
        return None
    if not isinstance(given, str):
        raise ValueError(f"{name}_{form}: expected a string")  # noqa: TRY004 - one kind of error for what is in a file
    try:
        return given.encode() if form == TEXT_FORM else base64.b64decode(given, validate=True)
    except ValueError:
        raise ValueError(f"{name}_{form}: cannot be written as bytes") from None  # its error may quote the value


def _compact(name: str, document: Json) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise ValueError(f"{name}_{JSON_FORM}: has a number or a string that JSON in UTF-8 cannot hold") from None


def _text(fields: Fields) -> str:
    """Fields as text, for comparing them: in Python, ``True == 1 == 1.0``."""
    return json.dumps(fields, sort_keys=True)


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key occurs twice")
    return document


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")
