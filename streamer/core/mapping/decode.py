"""Bytes -> one JSON document in UTF-8. Anything else is an error that says what the bytes look like."""

from typing import Final

import orjson

from streamer.core.errors import DecodeError, MappingError, TooLargeError
from streamer.core.model import Json

MAX_NESTED_LISTS: Final = 64
"""Most lists inside one another. With 210 of them, orjson (3.12 and 3.13) wrote past the end of its buffer when it
closed them, so that a record of 4 KB could end the process."""

MAX_VALUES: Final = 50_000
"""Most values of a record; a call of 32 KB has room for 16,000. This bounds how long one record can block the event
loop: a million lists fit in 2 MB, and took half a second."""

_BOM: Final = b"\xef\xbb\xbf"
_REGISTRY_PREFIX_BYTES: Final = 5
"""A zero byte and four bytes of schema id, which serializers of Confluent-compatible registries put before the JSON."""

_CLOSING_BRACKET: Final = ord("]")
_EMPTY: Final = "the value is empty; expected one JSON document"
_PREFIXED: Final = (
    "the value begins with a zero byte, as values written through a schema registry do; "
    "if they are JSON behind a 5-byte prefix, set strip_registry_prefix: true for this integration"
)
_LONE_SURROGATE: Final = "a string holds half of a surrogate pair"
_CAUSES: Final = {
    "unexpected end of data": "the document is cut off",
    # orjson's error if more lists are opened than a document of this length can close.
    "failed to allocate memory": "the document is cut off",
    "unexpected content after document": "there is more than one document in the value",
    "number is infinity when parsed as double": "a number is too large for a 64-bit float",
    "depth limit exceeded": "the document is nested more than 1,024 levels deep",
    "no low surrogate in string": _LONE_SURROGATE,
    "invalid low surrogate in string": _LONE_SURROGATE,
    "invalid high surrogate in string": _LONE_SURROGATE,
}


def decode(value: bytes, *, strip_registry_prefix: bool = False) -> Json:
    """The one JSON document that ``value`` is.

    Of repeated keys the last one wins. Integers over 64 bits become floats, as in any reader of IEEE 754 numbers.

    Raises:
        DecodeError: it is not exactly one document. The text never quotes it.
        TooLargeError: it holds more than `MAX_VALUES` values.
        MappingError: more than `MAX_NESTED_LISTS` lists are inside one another.
    """
    document = value if value[:1] == b"{" else _unwrap(value, strip_registry_prefix=strip_registry_prefix)
    if len(document) > MAX_VALUES:
        _check_values(document)
    try:
        decoded = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise DecodeError(_cause(document, error)) from None  # orjson's error carries the document
    if _CLOSING_BRACKET in document:  # takes 0.02 us, and a call of a method 0.1 us
        first = document.find(b"]")
        # Between two places near to one another there cannot be many more.
        if (
            len(document) - first > MAX_NESTED_LISTS
            and document.rfind(b"]") - first >= MAX_NESTED_LISTS
            and document.count(b"]", first) > MAX_NESTED_LISTS
        ):
            _check_lists(decoded)
    return decoded


def _check_values(document: bytes) -> None:
    """Raise `TooLargeError` if there may be more than `MAX_VALUES` values: a comma or a closing bracket for each."""
    if document.count(b",") + document.count(b"]") + document.count(b"}") > MAX_VALUES:
        raise TooLargeError(f"the record has more than {MAX_VALUES} commas and closing brackets: too many values")


def _check_lists(document: Json) -> None:
    """Raise `MappingError` if there are more than `MAX_NESTED_LISTS` lists inside one another."""
    open_parts = [(document, 0)]
    while open_parts:
        part, lists = open_parts.pop()
        if type(part) is list:
            lists += 1
            if lists > MAX_NESTED_LISTS:
                raise MappingError(f"nested too deeply: expected at most {MAX_NESTED_LISTS} lists inside one another")
            open_parts.extend([(child, lists) for child in part])
        elif type(part) is dict:
            open_parts.extend([(child, lists) for child in part.values()])


def _unwrap(value: bytes, *, strip_registry_prefix: bool) -> bytes:
    """``value`` without registry prefix and byte order mark."""
    if value[:1] == b"\x00" and (strip_registry_prefix or not _is_utf16(value)):
        if not strip_registry_prefix:
            raise DecodeError(_PREFIXED)
        if len(value) < _REGISTRY_PREFIX_BYTES:
            raise DecodeError("the value is shorter than the 5-byte prefix of a schema registry")
        value = value[_REGISTRY_PREFIX_BYTES:]
    value = value.removeprefix(_BOM)
    if not value:
        raise DecodeError(_EMPTY)
    return value


def _cause(document: bytes, error: orjson.JSONDecodeError) -> str:
    if document[:2] == b"\x1f\x8b":
        return "the value is compressed with gzip; use the producer's compression.type instead, which Kafka undoes"
    if _is_utf16(document):
        return "the value looks like UTF-16; expected JSON in UTF-8"
    try:
        document.decode()
    except UnicodeDecodeError as fault:
        return f"not UTF-8 at byte {fault.start}"
    cause = _CAUSES.get(error.msg, error.msg)
    return f"not JSON: {cause} (line {error.lineno}, column {error.colno})"


def _is_utf16(value: bytes) -> bool:
    """Whether the first character is one byte of a 16-bit unit: a byte order mark, or every other byte zero."""
    head = value[:4]
    return head[:2] in {b"\xff\xfe", b"\xfe\xff"} or (
        len(head) == 4 and (head[1] == head[3] == 0 != head[0] or head[0] == head[2] == 0 != head[1])  # noqa: PLR2004
    )
