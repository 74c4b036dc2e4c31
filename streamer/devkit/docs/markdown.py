"""Pieces of Markdown."""

from collections.abc import Iterable, Sequence
from typing import Final

MADE: Final = "<!-- Made from the code by `make docs`. Do not edit. -->"
"""First line of every page."""


def code(text: str) -> str:
    """``text`` as code."""
    return f"`{text}`"


def codes(texts: Iterable[str]) -> str:
    """Several texts as code, with commas between them."""
    return ", ".join(map(code, texts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a ``|`` in a cell is escaped."""
    return "\n".join([_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)])


def page(*blocks: str) -> str:
    """A page of blocks with an empty line between them."""
    return "\n\n".join([MADE, *blocks]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
