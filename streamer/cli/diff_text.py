"""How ``streamer diff`` prints differences. A module of its own, because what it needs of the mapping loads slowly."""

import sys
from collections.abc import Iterable
from typing import Any, Final

import orjson

from streamer.cli.output import Row as TableRow
from streamer.cli.output import print_rows
from streamer.core.mapping.difference import Example, Kind, Row
from streamer.core.mapping.pointer import NOTHING
from streamer.core.model import Json
from streamer.operations.comparing import Comparison, Structure

MAX_SHOWN_CHARACTERS: Final = 60
"""Of a longer value, only so many characters are shown in a table."""


def print_differences(structures: list[Structure], comparison: Comparison, output: str | None) -> bool:
    """Print all differences, then on stderr how many records there are and what to heed; whether there are any.

    Args:
        structures: what else is different than calls.
        comparison: of all records.
        output: ``table`` or ``json``; None: a table on a terminal, else JSON.
    """
    rows = comparison.tally.rows
    if (output or ("table" if sys.stdout.isatty() else "json")) == "json":
        for line in (*map(_structure_line, structures), *map(_line, rows)):
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    else:
        _print_table(structures, rows)
    for text in _warnings(structures, rows):
        print(f"streamer: warning: {text}", file=sys.stderr)
    compared, different = comparison.tally.compared, comparison.tally.different
    print(f"streamer: {compared:,} records compared, {different:,} of them different", file=sys.stderr)
    return bool(structures or rows)


def _structure_line(one: Structure) -> dict[str, Any]:
    return {"integration": one.integration, "change": one.change, "what": one.what, "records": None, "examples": []}


def _line(row: Row) -> dict[str, Any]:
    return {
        "integration": row.integration,
        "change": row.kind,
        "what": row.what,
        "records": row.records,
        "examples": [_example(example) for example in row.examples],
    }


def _example(example: Example) -> dict[str, Json]:
    """A record with a change; a value that is not there has no key."""
    values = {"old": example.old, "new": example.new}
    there = {name: value for name, value in values.items() if value is not NOTHING}
    return {"place": example.place, "message_id": example.message_id, **there}


def _print_table(structures: Iterable[Structure], rows: Iterable[Row]) -> None:
    """A line for each example; the lines after the first one of a change leave out what they share with it."""
    empty = {"records": "", "place": "", "messageId": "", "old": "", "new": ""}
    lines: list[TableRow] = [
        {"integration": one.integration, "change": one.change, "what": one.what, **empty} for one in structures
    ]
    for row in rows:
        for place, example in enumerate(row.examples):
            head = (row.integration, row.kind.value, row.what, row.records) if place == 0 else ("", "", "", "")
            values = (example.place, example.message_id or "", _shown(example.old), _shown(example.new))
            columns = ("integration", "change", "what", "records", "place", "messageId", "old", "new")
            lines.append(dict(zip(columns, (*head, *values), strict=True)))
    print_rows(lines, "table")


def _shown(value: Json) -> str:
    text = "-" if value is NOTHING else value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."


def _warnings(structures: Iterable[Structure], rows: Iterable[Row]) -> Iterable[str]:
    for row in rows:
        if row.kind is Kind.ID_CHANGED:
            events = f"{row.records:,} event{'s' * (row.records > 1)} of {row.integration}"
            yield (
                f"messageIds change: {events}. Neither Segment nor the receipts recognise a copy of an event that was"
                " sent before: what is read or redriven again is sent twice"
            )
    for one in structures:
        if one.change == "group_changed":
            yield f"{one.integration} gets another consumer group: it begins anew, where integrations.*.start says"
