"""Bytes of records on a terminal: as JSON, as text, or as a hex dump; bounded, and harmless to the terminal."""

import json
from collections.abc import Iterator
from typing import Final

from streamer.cli.output import harmless
from streamer.core.dead_letters.bytes_as_text import readable_json

MAX_TEXT_CHARACTERS: Final = 20_000
"""Most characters of a value that are printed."""

MAX_DUMPED_BYTES: Final = 1_024
"""Most bytes of a hex dump."""

_BYTES_A_LINE: Final = 16
_PRINTABLE: Final = range(0x20, 0x7F)


def value_text(value: bytes) -> tuple[str, str]:
    """What the bytes are (``JSON``, ``text`` or ``no text``), and how they are printed."""
    document = readable_json(value)
    if document is not None:
        return "JSON", _bounded(json.dumps(document, ensure_ascii=False, indent=2))
    try:
        return "text", _bounded(value.decode())
    except UnicodeDecodeError:
        return "no text", "\n".join(_dump(value))


def one_line(value: bytes | None) -> str:
    """A key or a header in one line."""
    if value is None:
        return "(none)"
    try:
        return harmless(value.decode()).replace("\n", "\\n").replace("\t", "\\t")
    except UnicodeDecodeError:
        return value.hex(" ")


def _bounded(text: str) -> str:
    more = len(text) - MAX_TEXT_CHARACTERS
    tail = f"\n... and {more:,} more characters; --raw writes all bytes" if more > 0 else ""
    return harmless(text[:MAX_TEXT_CHARACTERS]) + tail


def _dump(value: bytes) -> Iterator[str]:
    for begin in range(0, min(len(value), MAX_DUMPED_BYTES), _BYTES_A_LINE):
        line = value[begin : begin + _BYTES_A_LINE]
        characters = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in line)
        yield f"{begin:08x}  {line.hex(' '):<{_BYTES_A_LINE * 3 - 1}}  {characters}"
    if len(value) > MAX_DUMPED_BYTES:
        yield f"... and {len(value) - MAX_DUMPED_BYTES:,} more bytes; --raw writes all of them"
