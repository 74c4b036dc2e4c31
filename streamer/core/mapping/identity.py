"""Ids as strings, which Segment wants, and ids for events to which the platform gives none."""

import hashlib
from typing import Final

from streamer.core.errors import MappingError
from streamer.core.mapping.blank import is_blank
from streamer.core.mapping.encode import canonical_json
from streamer.core.mapping.native import Document
from streamer.core.model import Json

MAX_EXACT_FLOAT: Final = 2**53
"""From here on, a float stands for more than one integer."""

_DIGEST_CHARACTERS: Final = 40


def identifier(native: Document, key: str, parent: str = "") -> str | None:
    """The id at ``key`` as a string; None when it is absent, null, empty, or when nothing of it is to be seen.

    Args:
        native: an object in which the id, if there, is a string, a number without fraction, or null.
        key: name of the id.
        parent: JSON Pointer of ``native`` in the record, for the error.

    Raises:
        MappingError: the number is so large that decoding has changed it.
    """
    value = native.get(key)
    if type(value) is str:
        # `is_blank` begins with this comparison; a call of it for each id would take 0.3 us a record.
        return value if "!" <= value < "\x7f" or not is_blank(value) else None
    if value is None:
        return None
    if type(value) is float and abs(value) >= MAX_EXACT_FLOAT:
        raise MappingError(f"{parent}/{key}: expected an id, found a number too large to be exact; send it as a string")
    return str(int(value))


def derived_id(prefix: str, *parts: str, content: Json, time: str | None = None) -> str:
    """An id that is the same each time the same event is delivered: ``prefix`` and 40 hex digits of a SHA-256.

    Args:
        prefix: tells the dialects' ids apart, with its underscore.
        parts: what tells this event from others of its platform, "" for what is absent.
        content: the answer or the properties, digested as canonical JSON.
        time: the platform's own time of the event as written; never a time at which somebody took it in.

    Raises:
        MappingError: ``content`` is nested too deeply.
    """
    digested = [part.encode() for part in parts]
    digested.append(canonical_json(content))
    if time is not None:
        digested.append(time.encode())
    return prefix + hashlib.sha256(b"\x1f".join(digested)).hexdigest()[:_DIGEST_CHARACTERS]
