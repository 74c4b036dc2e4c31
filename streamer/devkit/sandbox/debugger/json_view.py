"""JSON as coloured, indented HTML. Pure."""

from typing import Final

import orjson

from streamer.core.model import Json
from streamer.devkit.sandbox.debugger.markup import text

INDENT: Final = "  "


def show_json(value: Json) -> str:
    """The inside of a ``pre``. Its text is JSON again: what cannot be seen in a text is escaped as JSON does it."""
    parts: list[str] = []
    _add(parts, value, "\n")
    return "".join(parts)


def _add(parts: list[str], value: Json, line: str) -> None:
    """Add a value. ``line``: the line break with the indent of the value's own first line."""
    if isinstance(value, dict) and value:
        separator = "{"
        for name, member in value.items():
            parts.append(f'{separator}{line}{INDENT}<span class="key">{_scalar(name)}</span>: ')
            _add(parts, member, line + INDENT)
            separator = ","
        parts.append(line + "}")
    elif isinstance(value, list) and value:
        separator = "["
        for member in value:
            parts.append(separator + line + INDENT)
            _add(parts, member, line + INDENT)
            separator = ","
        parts.append(line + "]")
    else:
        parts.append(f'<span class="{_kind(value)}">{_scalar(value)}</span>')


def _scalar(value: Json) -> str:
    return text(orjson.dumps(value).decode())


def _kind(value: Json) -> str:
    if isinstance(value, str):
        return "string" if " " in value else "string one"  # only sentences are broken into lines
    if value is None or isinstance(value, bool):
        return "word"
    return "number" if isinstance(value, int | float) else "empty"
