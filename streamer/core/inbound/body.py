"""The body of a webhook's request -> the exact bytes of each call in it.

The body is not taken apart and written again: numbers, escapes and blanks inside a call stay as the sender wrote them,
for the signature and for whoever reads the record. Only the syntax is checked here. What is wrong with one call alone
(half of a surrogate pair, a number without end, more levels than anybody reads) never refuses the others.
"""

import enum
import json
import re
from itertools import islice
from typing import Final, NoReturn

from streamer.core.inbound.outline import Outline

BLANKS: Final = " \t\n\r"
"""White space of JSON."""

_BOM: Final = b"\xef\xbb\xbf"

_MAX_PARTS: Final = 200_000
"""Bodies with more lists and objects are not read with the parser, which would make a list or dictionary of each."""


class BodyFault(enum.Enum):
    """Why a body is refused, in words for the sender that quote nothing of it."""

    EMPTY = "The body is empty; send one JSON object, or a list of them."
    NOT_UTF8 = "The body is not UTF-8."
    NOT_JSON = "The body is not one JSON document."
    NOT_A_CALL = "The body is neither a JSON object nor a list."
    TOO_MANY_CALLS = "The body has too many calls; send smaller batches."
    """The only one that is about size: all others are bad requests."""


def split(body: bytes, max_calls: int) -> list[bytes] | BodyFault:
    """The calls of a body: the body without blanks and byte order mark around it, or each element of its list.

    Args:
        body: after decompression.
        max_calls: most elements of a list.
    """
    try:
        text = body.removeprefix(_BOM).decode().strip(BLANKS)
    except UnicodeDecodeError:
        return BodyFault.NOT_UTF8
    if not text:
        return BodyFault.EMPTY
    spans = _spans(text, max_calls)
    if isinstance(spans, BodyFault):
        return spans
    if len(spans) > max_calls:
        return BodyFault.TOO_MANY_CALLS
    return [text[start:end].encode() for start, end in spans]


def end_of_value(text: str, start: int) -> int | None:
    """Index behind the JSON value that begins exactly at ``start``, whatever follows it; None: none does."""
    if not _has_many_parts(text):
        try:
            _, end = _scan(text, start)
        except ValueError:
            return None
        except RecursionError:
            pass
        else:
            return end
    length = Outline(text[start:]).end()
    return None if length is None else start + length


def _spans(text: str, max_calls: int) -> list[tuple[int, int]] | BodyFault:
    """Start and end of each call; of a list with too many, at least one more than ``max_calls``."""
    if not _has_many_parts(text):
        try:
            return _spans_by_parser(text, max_calls)
        except ValueError:
            return BodyFault.NOT_JSON
        except RecursionError:
            pass
    if text[0] not in "[{":
        return BodyFault.NOT_JSON
    outline = Outline(text)
    if not outline.is_document():
        return BodyFault.NOT_JSON
    return list(islice(outline.elements(), max_calls + 1)) if text[0] == "[" else [(0, len(text))]


def _spans_by_parser(text: str, max_calls: int) -> list[tuple[int, int]] | BodyFault:
    """See `_spans`.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is too deep for the parser.
    """
    if text[0] != "[":
        if _scan(text, 0)[1] != len(text):
            return BodyFault.NOT_JSON
        return [(0, len(text))] if text[0] == "{" else BodyFault.NOT_A_CALL
    spans: list[tuple[int, int]] = []
    position = _skip_blanks(text, 1)
    if text[position : position + 1] == "]":
        return spans if position + 1 == len(text) else BodyFault.NOT_JSON
    while True:
        _, end = _scan(text, position)
        spans.append((position, end))
        end = _skip_blanks(text, end)
        mark = text[end : end + 1]
        if mark == "]":
            return spans if end + 1 == len(text) else BodyFault.NOT_JSON
        if mark != ",":
            return BodyFault.NOT_JSON
        if len(spans) > max_calls:  # only the syntax of the rest matters, and is seen faster in one go
            return spans if _scan(text, 0)[1] == len(text) else BodyFault.NOT_JSON
        position = _skip_blanks(text, end + 1)


def _has_many_parts(text: str) -> bool:
    return text.count("[") + text.count("{") > _MAX_PARTS


def _skip_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    return position if blanks is None else blanks.end()


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_BLANKS: Final = re.compile(f"[{BLANKS}]+")

_scan: Final = json.JSONDecoder(
    parse_constant=_refuse,
    # The value of a number does not matter, and that of one with a million digits would take long.
    parse_float=len,
    parse_int=len,
).raw_decode
"""The value that begins at an index of a text, and the index behind it. The standard library reads it in C."""
