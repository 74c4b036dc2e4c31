"""Bytes -> one JSON document, strictly: anything but exactly one in UTF-8 is an error that says what it looks like."""

from typing import Final

import orjson

from streamer.core.errors import DecodeError
from streamer.core.model import Json

_BOM: Final = b"\xef\xbb\xbf"
_REGISTRY_PREFIX_BYTES: Final = 5
"""A zero byte and four bytes of schema id, which serializers of Confluent-compatible registries put before the JSON."""

_EMPTY: Final = "the value is empty; expected one JSON document"
_PREFIXED: Final = (
    "the value begins with a zero byte, as values written through a schema registry do; "
    "if they are JSON behind a 5-byte prefix, set strip_registry_prefix: true for this integration"
)
_LONE_SURROGATE: Final = "a string holds half of a surrogate pair"
_CAUSES: Final = {
    "unexpected end of data": "the document is cut off",
    # What orjson says when more lists are opened than a document of this length can ever close.
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
    """
    document = value if value[:1] == b"{" else _unwrap(value, strip_registry_prefix=strip_registry_prefix)
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise DecodeError(_cause(document, error)) from None  # orjson's error carries the document


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
