"""What the demo prints: its story on stdout, and on stderr that it works on something that takes a while."""

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streamer.core.model import Json

COLUMNS: Final = 100
"""Width of a line."""

INDENT: Final = 8
MIN_CELL: Final = 10
"""Columns of a number with its space: up to 99,999,999."""


def say(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def show(text: str = "") -> None:
    """Print a line of the story, in several lines if it is too long."""
    print("\n".join(wrapped(text)), flush=True)


def show_line(text: str) -> None:
    """Print a line as it is, such as a command to copy."""
    print(text, flush=True)


def show_title(number: int, title: str) -> None:
    """Begin an act."""
    print(f"\n{number}. {title}", flush=True)


def show_moment(seconds: float, text: str) -> None:
    """Print what happened so many seconds after an act began."""
    print("\n".join(wrapped(f"{seconds:5.1f} s {text}", indent=INDENT)), flush=True)


def show_document(label: str, document: Json) -> None:
    """Print a JSON document under a label, on as few lines as it needs."""
    print(f"{label}\n" + "\n".join(folded(document)), flush=True)


def show_table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, int]]) -> None:
    """Print an account: a line for each row, a column for each term."""
    widths = {column: max(len(column) + 2, MIN_CELL) for column in columns}
    print(f"{title:<16}" + "".join(f"{column:>{width}}" for column, width in widths.items()))
    for name, row in rows.items():
        print(f"{name:<16}" + "".join(f"{row[column]:>{width},}" for column, width in widths.items()), flush=True)


def show_checks(checks: Iterable[tuple[str, bool]]) -> bool:
    """Print each check; True if all of them passed."""
    passed = True
    for text, holds in checks:
        print(f"{'ok  ' if holds else 'FAIL'}  {text}", flush=True)
        passed = passed and holds
    return passed


def wrapped(text: str, *, indent: int = 0) -> list[str]:
    """The lines of a text; those after the first begin ``indent`` columns further right. Long words stay whole."""
    return textwrap.wrap(
        text, COLUMNS, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def folded(document: Json) -> list[str]:
    """A JSON document in lines of at most `COLUMNS`, broken between its members; a longer member has its own line."""
    lines = [" " * INDENT]
    for piece in _pieces(document):
        if len(lines[-1]) + len(piece.rstrip()) > COLUMNS and lines[-1].strip():
            lines.append(" " * INDENT + " ")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(value: Json) -> Iterable[str]:
    """A document as text, in pieces that belong on one line."""
    if isinstance(value, dict) and value:
        members = [[f"{json.dumps(key)}: ", *_pieces(member)] for key, member in value.items()]
        yield from _joined(members, "{", "}")
    elif isinstance(value, list) and value:
        yield from _joined([list(_pieces(member)) for member in value], "[", "]")
    else:
        yield json.dumps(value, ensure_ascii=False)


def _joined(members: list[list[str]], opening: str, closing: str) -> Iterable[str]:
    """The pieces of an object or a list. Brackets, keys and commas stay with what they belong to."""
    for place, (first, *rest) in enumerate(members):
        pieces = [first, *rest]
        if first.endswith(": "):
            pieces = [first + rest[0], *rest[1:]]
        if place == 0:
            pieces[0] = opening + pieces[0]
        pieces[-1] += closing if place == len(members) - 1 else ", "
        yield from pieces
