"""A call -> its JSON, once. A call over Segment's limit of 32 KB an event is cut.

Only string values inside ``properties`` are cut, the longest first: all texts over some common length are cut to it, so
that a short answer beside a long one stays whole. Ids, times and names are below `MIN_CUT_BYTES` and never touched.

NUL characters are removed, because databases behind Segment cannot store them. That is done here and not earlier, so
that ids derive from the text as it was written; a messageId keeps its own, for it must stay what it is.
"""

from typing import Final

import orjson

from streamer.core.errors import MappingError, TooLargeError
from streamer.core.mapping.call import Call
from streamer.core.model import MAX_CALL_BYTES, Json

MIN_CUT_BYTES: Final = 64
"""No text is cut to less than this many bytes of JSON; a call that would need it is too large."""

MAX_CUT_VALUES: Final = MAX_CALL_BYTES // 2
"""Most values in the properties of a call that is cut. With more, it is too large however short its texts are: each
value takes at least one byte, and one to the next. This also bounds the time that a cut takes, to 15 ms."""

_MARKS: Final = ("responseTruncated", "responseOriginalBytes")

_NUL: Final = "\x00"
_ESCAPED_NUL: Final = b"\\u0000"
_BACKSLASH: Final = ord("\\")


def canonical_json(value: Json) -> bytes:
    """JSON with keys sorted by code point, no blanks, and no needless escapes. Ids are derived from it."""
    return _dumps(value, orjson.OPT_SORT_KEYS)


def encode_call(call: Call) -> bytes:
    """The JSON of a call, at most `MAX_CALL_BYTES` long.

    Raises:
        TooLargeError: it is longer, and cutting the texts in its properties does not help.
        MappingError: it is nested too deeply.
    """
    body = _dumps(call)
    # To look for one byte takes 0.02 us, for a text 0.4 us, and most calls have no backslash.
    if _BACKSLASH in body and _ESCAPED_NUL in body:
        call = _without_nul(call)
        body = _dumps(call)
    if len(body) > MAX_CALL_BYTES:
        return _encode_cut(call, len(body))
    # A copy, for 0.5 us: the bytes that orjson returns keep a buffer of 4 KiB and more, and thousands of calls wait.
    return b"".join((body, b""))


def _without_nul(call: Call) -> Call:
    """A copy of the call in which no text and no key has a NUL; its messageId stays as it is."""
    cleaned: Call = _stripped_of_nul(call)
    if "messageId" in call:
        cleaned["messageId"] = call["messageId"]
    return cleaned


def _stripped_of_nul(value: Json) -> Json:
    if isinstance(value, str):
        return value.replace(_NUL, "")
    if isinstance(value, list):
        return [_stripped_of_nul(part) for part in value]
    if isinstance(value, dict):
        return {key.replace(_NUL, ""): _stripped_of_nul(part) for key, part in value.items()}
    return value


def _encode_cut(call: Call, size: int) -> bytes:
    # The marks take the place of properties of their names, so that cutting those would save nothing.
    properties = {key: value for key, value in call["properties"].items() if key not in _MARKS}
    texts = _texts(properties)
    sizes = {text: _json_bytes(text) for text in texts}
    limit = -1
    if texts:
        excess = len(_dumps(_with_marks(call, properties, original_bytes=size))) - MAX_CALL_BYTES
        limit = _common_limit(sorted(map(sizes.__getitem__, texts), reverse=True), excess)
    if limit < MIN_CUT_BYTES:
        raise TooLargeError(
            f"the call has {size} bytes, over Segment's limit of {MAX_CALL_BYTES}, and its texts are too short to cut"
        )
    long_texts = {text for text in sizes if sizes[text] > limit}
    original_bytes = sum(len(text.encode()) for text in texts if text in long_texts)
    cut = _replace(properties, {text: _prefix(text, limit) for text in long_texts})
    return _dumps(_with_marks(call, cut, original_bytes))


def _with_marks(call: Call, properties: dict[str, Json], original_bytes: int) -> Call:
    """The call with properties that say they were cut, and how many UTF-8 bytes the cut texts had before."""
    marks: dict[str, Json] = dict(zip(_MARKS, (True, original_bytes), strict=True))
    return {**call, "properties": {**properties, **marks}}


def _common_limit(sizes: list[int], excess: int) -> int:
    """The length to cut the longest texts to, so that together they lose at least ``excess`` bytes.

    Args:
        sizes: lengths of all texts, the longest first.
        excess: bytes to save, at least 1.
    """
    taken = 0
    for count, size in enumerate(sizes, start=1):
        taken += size
        following = sizes[count] if count < len(sizes) else 0
        limit = (taken - excess) // count
        if limit >= following:
            return limit
    return -1


def _prefix(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes at most ``limit`` bytes inside a JSON string."""
    low, high = 0, min(limit, len(text))  # a character takes at least one byte
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _json_bytes(text[:middle]) <= limit else (low, middle - 1)
    return text[:low]


def _texts(value: Json) -> list[str]:
    """Every string value inside ``value``; keys are not values. None if there are over `MAX_CUT_VALUES` values."""
    texts: list[str] = []
    open_parts = [value]
    values = 0
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, list | dict):
            values += len(part)
            if values > MAX_CUT_VALUES:
                return []
            open_parts.extend(part if isinstance(part, list) else part.values())
    return texts


def _replace(value: Json, texts: dict[str, str]) -> Json:
    """A copy of ``value`` in which string values are replaced as ``texts`` says."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, list):
        return [_replace(part, texts) for part in value]
    if isinstance(value, dict):
        return {key: _replace(part, texts) for key, part in value.items()}
    return value


def _json_bytes(text: str) -> int:
    """Length of ``text`` inside a JSON string: escapes count, the quotes around it do not."""
    return len(orjson.dumps(text)) - 2


def _dumps(value: Json, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError as error:  # decoded JSON cannot fail otherwise
        raise MappingError("nested too deeply: expected at most 250 levels of objects and arrays") from error
