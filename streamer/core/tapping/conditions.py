"""``FIELD=GLOB``: which calls a tap shows.

A field is one that each line shows, or a path into the call: ``properties.surveyId``. The only special character of a
glob is ``*``, which stands for any text. Most fields of the line are known without decoding the call. For the others,
the bytes of the call are searched for a literal part of the glob first, because that costs a tenth.
"""

import fnmatch
import re
from collections.abc import Iterator
from typing import Final

import orjson

from streamer.core.model import Json
from streamer.core.tapping.lines import BATCH_FIELDS, RECORD_FIELDS

CALL_FIELDS: Final = frozenset({"event", "type"})
"""Fields of the call that every line shows."""

MAX_CHARACTERS: Final = 500
"""Longest condition."""


class Condition:
    """One condition: a field, and the values that it may have."""

    __slots__ = ("_literal", "_matches", "field")

    def __init__(self, text: str) -> None:
        """Read ``FIELD=GLOB``.

        Raises:
            ValueError: it has another form.
        """
        field, separator, glob = text.partition("=")
        if not (separator and field) or len(text) > MAX_CHARACTERS:
            raise ValueError(f"expected FIELD=GLOB, such as event=Survey*, in at most {MAX_CHARACTERS} characters")
        self.field = field
        # fnmatch's expressions do not go back, so no glob takes long. Its other special characters are for files.
        self._matches = re.compile(fnmatch.translate(re.sub(r"[\[?]", r"[\g<0>]", glob))).match
        try:
            self._literal = orjson.dumps(max(glob.split("*"), key=len))[1:-1]
        except orjson.JSONEncodeError:
            raise ValueError("it is not valid Unicode") from None

    @property
    def needs_call(self) -> bool:
        """Whether the call has to be decoded."""
        return self.field not in BATCH_FIELDS and self.field not in RECORD_FIELDS

    @property
    def reveals_values(self) -> bool:
        """Whether what matches tells something about a value that a redacted line hides."""
        return self.needs_call and self.field not in CALL_FIELDS

    def may_match(self, body: bytes) -> bool:
        """Whether a serialised call can match; False is sure."""
        return self._literal in body

    def matches(self, value: Json) -> bool:
        """Whether a value of the field is one of those: a text, or of other JSON what it looks like."""
        if isinstance(value, str):
            return self._matches(value) is not None
        return any(self._matches(text) is not None for text in _texts(value))

    def matches_in(self, document: Json) -> bool:
        """Whether the field has such a value in a decoded call."""
        return self.matches(_find(document, self.field))


_ABSENT: Final = object()


def _find(document: Json, path: str) -> Json:
    """The value at a path, whose last name may have full stops itself."""
    while isinstance(document, dict):
        if path in document:
            return document[path]
        name, _, path = path.partition(".")
        document = document.get(name, _ABSENT)
    return _ABSENT


def _texts(value: Json) -> Iterator[str]:
    """What a glob is compared with: a text, a number or the like as JSON has it, or each of a list of such."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            if not isinstance(each, list):
                yield from _texts(each)
    elif value is not _ABSENT and not isinstance(value, dict):
        yield orjson.dumps(value).decode()
