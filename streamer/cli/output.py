"""How commands print their data: a table for people, one JSON object per line for programs."""

import json
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

Row = dict[str, str | int]
"""Column -> value; all rows of a command have the same columns."""


def print_rows(rows: Sequence[Row], output: str | None) -> None:
    """Print data to stdout.

    Args:
        rows: what to print.
        output: ``table`` or ``json``; None: a table on a terminal, else JSON.
    """
    if (output or ("table" if sys.stdout.isatty() else "json")) == "json":
        for row in rows:
            print(json.dumps(row))
    elif rows:
        _print_table([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)])


def utc(epoch_seconds: float) -> str:
    """A time as RFC 3339, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_table(lines: Collection[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value
