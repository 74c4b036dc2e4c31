"""``streamer diff``: what a changed configuration would change on real records, before it is deployed."""

import argparse
import asyncio
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_output, complete_integrations
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.record_values import STDIN, values_in
from streamer.cli.values import instant, positive
from streamer.core.errors import SettingsError

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.comparing import Comparison
    from streamer.settings import Settings

EXIT_DIFFERENT: Final = 1
EXIT_USAGE: Final = 2

DEFAULT_MAX_RECORDS: Final = 200_000
"""Half a minute on one core."""

DEFAULT_EXAMPLES: Final = 3


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
    add_output(parser)
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
    from streamer.cli.diff_text import print_differences  # noqa: PLC0415 - their libraries load slowly
    from streamer.operations.comparing import Comparison, structure  # noqa: PLC0415

    comparison = Comparison(old, new, names, args.examples)
    if args.last is not None:
        with quiet_client():
            asyncio.run(_read_topics(comparison, old, args))
    elif not _read_files(comparison, args):
        return EXIT_DIFFERENT
    is_different = print_differences(list(structure(old, new, names)), comparison, args.output)
    return EXIT_DIFFERENT if is_different else 0


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
