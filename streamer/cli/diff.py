"""``streamer diff``: what a changed configuration would change on real records, before it is deployed."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.cli.options import complete_integrations
from streamer.cli.output import Row as TableRow
from streamer.cli.output import print_rows
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.record_values import STDIN, values_in
from streamer.cli.values import instant, positive
from streamer.core.errors import SettingsError
from streamer.core.mapping.difference import Example, Kind, Row
from streamer.core.mapping.pointer import NOTHING
from streamer.core.model import Json

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.comparing import Comparison, Structure
    from streamer.settings import Settings

EXIT_DIFFERENT: Final = 1
EXIT_USAGE: Final = 2

DEFAULT_MAX_RECORDS: Final = 200_000
"""Half a minute on one core."""

DEFAULT_EXAMPLES: Final = 3
MAX_SHOWN_CHARACTERS: Final = 60
"""Of a longer value, only so many characters are shown in a table."""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "diff",
        help="show what a changed configuration would change on real records",
        description="Map the same records with two configurations, and print what is different for each integration:"
        " calls that are added, dropped (with the reason), renamed, changed field by field, or get another messageId,"
        " each with the number of records and some of them; and integrations whose topics, dialect or destination"
        " change. The records are those of files or, with --last, those of the topics; reading leaves no trace. Write"
        " keys may be missing. Nothing is sent.",
        epilog="Exit codes: 0 nothing is different, 1 something is, or a file cannot be read, 2 wrong usage, 69 the"
        " brokers are not available, 78 faults in one of the configurations, 130 interrupted."
        " Examples: streamer diff streamer.yaml new.yaml --last 5m;"
        " streamer diff streamer.yaml new.yaml events.jsonl --integration sprig",
    )
    add = parser.add_argument
    add("old", metavar="OLD", type=Path, help="configuration as it is; --last reads from its brokers")
    add("new", metavar="NEW", type=Path, help="configuration as it would be")
    add("files", metavar="FILE", nargs="*", help="files with record values, one a line; - is stdin")
    add("--last", metavar="TIME", type=instant, help="records since then: how long ago (5m), or RFC 3339")
    add(
        "--max-records",
        metavar="N",
        type=positive,
        default=DEFAULT_MAX_RECORDS,
        help="with --last, compare at most this many of the newest records (default: %(default)s)",
    )
    complete_integrations(
        add(
            "--integration",
            metavar="NAME",
            action="append",
            default=[],
            help="compare this one only; repeatable. Says whose records files hold, if there are several",
        )
    )
    add("--raw", action="store_true", help="each file is one whole record value, not a line each")
    add(
        "--examples",
        metavar="N",
        type=positive,
        default=DEFAULT_EXAMPLES,
        help="show at most this many records of each change (default: %(default)s)",
    )
    add(
        "-o",
        "--output",
        choices=("table", "json"),
        help="default: a table on a terminal, otherwise one JSON object per line",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, and print what is different."""
    if bool(args.files) == (args.last is not None):
        print("streamer: give either files with records, or --last to read them from the topics", file=sys.stderr)
        return EXIT_USAGE
    old, new = _load(args)
    names = args.integration or list(dict.fromkeys([*old.integrations, *new.integrations]))
    unknown = [name for name in names if name not in {*old.integrations, *new.integrations}]
    if unknown or (args.files and len(names) != 1):
        known = ", ".join(dict.fromkeys([*old.integrations, *new.integrations]))
        text = "say with --integration whose records the files hold"
        if unknown:
            text = f"neither configuration has an integration {unknown[0]}"
        print(f"streamer: {text}; there are {known}", file=sys.stderr)
        return EXIT_USAGE
    from streamer.operations.comparing import Comparison, structure  # noqa: PLC0415 - its libraries load slowly

    comparison = Comparison(old, new, names, args.examples)
    if args.last is not None:
        with quiet_client():
            asyncio.run(_read_topics(comparison, old, args))
    elif not _read_files(comparison, args):
        return EXIT_DIFFERENT
    return _print(list(structure(old, new, names)), comparison, args.output)


def _load(args: argparse.Namespace) -> "list[Settings]":
    """Both configurations.

    Raises:
        SettingsError: one has faults; those of both are listed, with their files.
    """
    from streamer.settings import load_for_mapping  # noqa: PLC0415 - its libraries load slowly

    loaded, faults = [], []
    for path in (args.old, args.new):
        try:
            also = [("kafka",)] if path is args.old and args.last is not None else []
            loaded.append(load_for_mapping(path, also=also))
        except SettingsError as error:
            faults += [f"{path}: {fault.removeprefix(f'{path}: ')}" for fault in error.faults]
    if faults:
        raise SettingsError(faults)
    return loaded


def _read_files(comparison: "Comparison", args: argparse.Namespace) -> bool:
    """Compare the records of all files; whether they could be read."""
    from streamer.operations.comparing import Given  # noqa: PLC0415

    now_ms = time.time_ns() // 1_000_000
    for name in args.files:
        try:
            with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
                for number, value in enumerate(values_in(file, raw=args.raw), start=1):
                    place = ("stdin" if name == STDIN else name) + ("" if args.raw else f":{number}")
                    comparison.look(Given(place, None, value, now_ms))
        except OSError as error:
            print(f"streamer: {name} cannot be read: {error.strerror}", file=sys.stderr)
            return False
    return True


async def _read_topics(comparison: "Comparison", old: "Settings", args: argparse.Namespace) -> None:
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.kafka.topic_reader import TopicReader  # noqa: PLC0415
    from streamer.operations.comparing import newest  # noqa: PLC0415

    topics, bar = comparison.topics, ProgressBar("comparing")
    await preflight(old.kafka)
    async with TopicReader(old.kafka) as reader:
        bounds = await reader.bounds_between(topics, args.last, None)
        for topic in sorted(topics - {topic for topic, _ in bounds}):
            print(f"streamer: the topic {topic} does not exist, so it has no records", file=sys.stderr)
        kept = newest(bounds, args.max_records)
        if kept != bounds:
            there = sum(end - first for first, end in bounds.values())
            text = f"{there:,} records are of that time; the newest {args.max_records:,} are compared (--max-records)"
            print(f"streamer: {text}", file=sys.stderr)
        try:
            await comparison.read(reader, kept, bar.show)
        finally:
            bar.clear()


def _print(structures: "list[Structure]", comparison: "Comparison", output: str | None) -> int:
    """Print all differences, then on stderr how many records there are and what to heed."""
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
    return EXIT_DIFFERENT if structures or rows else 0


def _structure_line(one: "Structure") -> dict[str, Any]:
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


def _print_table(structures: "Iterable[Structure]", rows: Iterable[Row]) -> None:
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


def _warnings(structures: "Iterable[Structure]", rows: Iterable[Row]) -> Iterable[str]:
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
