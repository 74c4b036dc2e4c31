"""How commands print their data: a table for people, one JSON object per line for programs."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

Row = dict[str, str | int | None]
"""Column -> value; all rows of a command have the same columns. None: not known, or there is none."""


def print_rows(rows: Sequence[Row], output: str | None) -> None:
    """Print data to stdout.

    Args:
        rows: what to print.
        output: ``table`` or ``json``; None: a table on a terminal, else JSON.
    """
    if is_json(output):
        for row in rows:
            print(json.dumps(row))
    else:
        for line in table_lines(rows):
            print(line)


def harmless(text: str) -> str:
    """A text without characters that move the cursor or change colours; line breaks and tabs are kept."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii") for one in text
    )


def is_json(output: str | None) -> bool:
    """Whether a command prints JSON; the argument is as for `print_rows`."""
    return (output or ("table" if sys.stdout.isatty() else "json")) == "json"


def table_lines(rows: Sequence[Row]) -> list[str]:
    """A table for people: a line with the names of the columns, and one for each row; nothing without rows."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def utc(epoch_seconds: float) -> str:
    """A time as RFC 3339, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(value: str | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else harmless(value).replace("\n", "\\n").replace("\t", "\\t")
