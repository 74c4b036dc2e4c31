"""JSON of any depth: is a text one document, and where do its elements end? For what a recursive parser cannot read.

The outline of a text is the text with its strings taken out. It is searched and replaced as a whole, so that eight
million brackets take about a second, and make no eight million lists.
"""

import operator
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final

# Stand-ins for parts of a document, each one character.
_STRING: Final = '"'
_SCALAR: Final = "0"
_FIRST_KEY: Final = "("  # the start of an object, with its first key
_NEXT_KEY: Final = ";"  # a comma, with the key after it

_BAD_ESCAPE: Final = re.compile(r"\\(?![/bfnrt]|u[0-9A-Fa-f]{4})")
_CONTROL: Final = re.compile("[\x00-\x1f]")
_NUMBER_OR_LITERAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_BLANKS: Final = str.maketrans("", "", " \t\n\r")
_VALUES: Final = str.maketrans("", "", _STRING + _SCALAR)
_STRANGE: Final = re.compile(r'[^(;\[,}\]"0]')
_NO_VALUE: Final = re.compile(r"[(;\[,](?:[;,}\]]|\Z)")
"""A value must follow what opens or separates."""
_TWO_VALUES: Final = re.compile(r'[}\]"0][(\["0]')
"""Nothing begins directly after a value."""
_INNERMOST: Final = re.compile(r"\[,*\]|\(;*\}")
_CLOSES: Final = {"]": "[", "}": "("}
_SEPARATES: Final = {",": "[", ";": "("}

_STEPS: Final = tuple({ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}.get(byte, 0) for byte in range(256))
"""Byte of an outline -> how many levels further in the next one is."""
_FIRST: Final = re.compile(rb"[^ \t\n\r,]")
_SCALAR_END: Final = re.compile(rb"[ \t\n\r,\]]")


class Outline:
    """The outline of a text, which need not be JSON."""

    def __init__(self, text: str) -> None:
        # Escapes come in pairs from the left, so that after this each quote begins or ends a string. A backslash
        # outside of strings leaves a blot there, which no rule below allows.
        self._plain = text.replace("\\\\", "//").replace('\\"', "//")
        parts = self._plain.split('"')
        self._strings = parts[1::2]
        self._outline = _STRING.join(parts[::2]).encode("ascii", "replace")  # one byte a character
        self._is_closed = len(parts) % 2 == 1

    def is_document(self) -> bool:
        """Whether the text is exactly one object or list of JSON."""
        if not self._is_closed or _BAD_ESCAPE.search(self._plain) or _CONTROL.search("".join(self._strings)):
            return False
        outline = self._outline.decode("ascii")
        if any(mark in outline for mark in (_FIRST_KEY, _NEXT_KEY)) or outline.count("[") != outline.count("]"):
            return False
        outline = _NUMBER_OR_LITERAL.sub(_SCALAR, outline).translate(_BLANKS)
        outline = outline.replace('{":', _FIRST_KEY).replace(',":', _NEXT_KEY)
        if outline in {"{}", "[]"}:
            return True
        outline = outline.replace("{}", _SCALAR).replace("[]", _SCALAR)
        if outline[:1] not in {_FIRST_KEY, "["} or any(
            fault.search(outline) for fault in (_STRANGE, _NO_VALUE, _TWO_VALUES)
        ):
            return False
        return _is_balanced(outline.translate(_VALUES))

    def end(self) -> int | None:
        """Index behind the value that the text begins with, whatever follows it; None: it has no end."""
        try:
            start, end = next(self._spans(0))
        except (StopIteration, ValueError):
            return None
        return end if start == 0 else None

    def elements(self) -> Iterator[tuple[int, int]]:
        """Start and end of each element of the list that the text is; it must be a document."""
        return self._spans(1)

    def _spans(self, position: int) -> Iterator[tuple[int, int]]:
        """Start and end, in the text, of the values from a position of the outline on, up to the end of their list."""
        view = memoryview(self._outline)
        lengths = map(len, self._strings)
        shift = 0  # how much longer the text before the position is than its outline
        while (first := _FIRST.search(self._outline, position)) is not None and first.group() != b"]":
            start = first.start()
            if first.group() in {b"[", b"{"}:
                depths = accumulate(map(_STEPS.__getitem__, view[start:]))
                end = start + operator.indexOf(depths, 0) + 1
            else:
                behind = _SCALAR_END.search(self._outline, start)
                end = behind.start() if behind is not None else len(self._outline)
            strings = self._outline.count(b'"', start, end)
            text_start = start + shift
            shift += sum(islice(lengths, strings)) + strings
            yield text_start, end + shift
            position = end


def _is_balanced(outline: str) -> bool:
    """Whether each bracket closes one of its kind, with the separators of this kind in between."""
    length = 2 * len(outline)
    while outline and 2 * len(outline) <= length:  # as long as half of it goes, all of this takes linear time
        length = len(outline)
        outline = _INNERMOST.sub("", outline)
    open_parts: list[str] = []
    for mark in outline:
        if mark in _CLOSES:
            if not open_parts or open_parts.pop() != _CLOSES[mark]:
                return False
        elif mark in _SEPARATES:
            if not open_parts or open_parts[-1] != _SEPARATES[mark]:
                return False
        else:
            open_parts.append(mark)
    return not open_parts
