"""``streamer audit``: whether every record of a range of time came to a recorded end, judged from outside."""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, add_instances, add_output, are_known, complete_integrations
from streamer.cli.output import Row, print_rows, utc
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.values import instant

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.audit import Result
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "audit",
        help="check that every record of a time has a recorded end, and name those that have none",
        description="Read the records of a range of time and what streamer left behind of each: committed positions"
        " with their metadata, receipts, dead letters. Print for each integration and partition how many records were"
        " delivered, duplicate, filtered, dead-lettered, are open or wait, and name each one that was committed"
        " without an outcome that can be seen. Nothing is written, and no member of a group is disturbed. Receipts"
        " come from receipts.topic and from running instances.",
        epilog="Exit codes: 0 every record is accounted for, 1 some are not or were deleted unread, 69 the brokers are"
        " not available, 78 faults in the configuration."
        " Example: streamer audit --config streamer.yaml --from 2026-03-02T20:00:00Z --to 2026-03-03T06:00:00Z",
    )
    add_config(parser)
    add = parser.add_argument
    add(
        "--from",
        dest="since",
        metavar="TIME",
        type=instant,
        help="records of this time or later: RFC 3339, or how long ago (default: receipts.window ago)",
    )
    add("--to", dest="until", metavar="TIME", type=instant, help="records from before this time (default: now)")
    complete_integrations(
        add("--integration", metavar="NAME", action="append", default=[], help="only this integration; repeatable")
    )
    add_instances(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Audit, and print the result."""
    # The settings' model and the clients take a while to load; `streamer --help` should not wait for them.
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    if not are_known(args.integration, settings.integrations, args.config):
        return EXIT_USAGE
    until = args.until or time.time()
    since = time.time() - settings.receipts.window if args.since is None else args.since
    if since >= until:
        print("streamer: --from is not before --to, so there is nothing to audit", file=sys.stderr)
        return EXIT_USAGE
    with quiet_client():
        result = asyncio.run(_audit(settings, args, since, until))
    is_json = (args.output or ("table" if sys.stdout.isatty() else "json")) == "json"
    for kind, rows in (("counts", _counts(result)), ("unaccounted", _named(result)), ("deleted", _deleted(result))):
        print_rows([{"kind": kind, **row} if is_json else row for row in rows], args.output)
    _say(result, settings, since, until)
    return 0 if all(audit.is_clean for audit in result.audits.values()) else EXIT_FAILED


async def _audit(settings: "Settings", args: argparse.Namespace, since: float, until: float) -> "Result":
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.kafka.topic_reader import TopicReader  # noqa: PLC0415
    from streamer.operations.audit import audit  # noqa: PLC0415
    from streamer.operations.instances import Instances  # noqa: PLC0415

    await preflight(settings.kafka)
    bar = ProgressBar("auditing")
    try:
        async with (
            TopicReader(settings.kafka) as reader,
            Instances.open(settings, args.instance, args.token_file) as instances,
        ):
            return await audit(
                settings,
                reader,
                instances,
                args.integration or list(settings.integrations),
                since=since,
                until=until,
                on_progress=bar.show,
            )
    finally:
        bar.clear()


def _counts(result: "Result") -> list[Row]:
    return [
        {
            "integration": name,
            "topic": topic,
            "partition": partition,
            **{end.value: number for end, number in counts.items()},
        }
        for name, audit in result.audits.items()
        for (topic, partition), counts in audit.tally.rows()
    ]


def _named(result: "Result") -> list[Row]:
    return [
        {
            "integration": name,
            "place": ":".join(map(str, unproved.place)),
            "message_id": unproved.message_id or "",
            "time": utc(unproved.record_time),
        }
        for name, audit in result.audits.items()
        for unproved in audit.tally.unaccounted
    ]


def _deleted(result: "Result") -> list[Row]:
    return [
        {"integration": name, "topic": topic, "partition": partition, "first": span.start, "last": span.stop - 1}
        for name, audit in result.audits.items()
        for (topic, partition), span in audit.deleted_unread
    ]


def _say(result: "Result", settings: "Settings", since: float, until: float) -> None:
    """Print the answer for people, and what could not be known."""
    for remark in result.remarks:
        print(f"streamer: {remark}", file=sys.stderr)
    records = unaccounted = deleted = 0
    for name, audit in result.audits.items():
        records += sum(sum(counts.values()) for _, counts in audit.tally.rows())
        unaccounted += len(audit.tally.unaccounted)
        deleted += sum(len(span) for _, span in audit.deleted_unread)
        for doubt, number in audit.tally.doubts.items():
            print(f"streamer: {name}: {number:,} records cannot be proved: {doubt}", file=sys.stderr)
        if audit.tally.doubts and settings.receipts.topic is None:
            print("streamer: with receipts.topic, receipts are known of all instances", file=sys.stderr)
    span = f"{records:,} records from {utc(since)} to {utc(until)}"
    if not unaccounted and not deleted:
        print(f"streamer: {span}: none is unaccounted for", file=sys.stderr)
    if unaccounted:
        print(
            f"streamer: {span}: {unaccounted:,} are committed without an outcome that can be seen. Ask for each with"
            " streamer trace PLACE. They are still in their topic: docs/finding.md says what to do",
            file=sys.stderr,
        )
    if deleted:
        print(
            f"streamer: retention deleted {deleted:,} records before they were delivered. They are lost; their producer"
            " may have them. Raise retention.ms of the topic above the longest outage",
            file=sys.stderr,
        )
