"""``streamer lag``: how far consumer groups are behind, asked of Kafka alone."""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, add_output, are_known, complete_integrations
from streamer.cli.output import Row, print_rows
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.values import natural, seconds
from streamer.core.records.lag import GroupLag, PartitionLag, excesses

if TYPE_CHECKING:
    from collections.abc import Collection

    from streamer.cli.options import Commands
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "lag",
        help="show how far each consumer group is behind, also while nothing runs",
        description="Ask Kafka, and no instance of streamer: for each partition of each group, the committed position,"
        " the end, and the records and seconds between them; how many records above the position have their outcome,"
        " how many are open there, and how often those failed; and how long until retention may delete the oldest one.",
        epilog="Exit codes: 0 done, 1 --max-lag or --max-age is exceeded, 69 the brokers are not available, 78 faults"
        " in the configuration. Examples: streamer lag --config streamer.yaml;"
        " streamer lag --config streamer.yaml --integration sprig --max-age 10m",
    )
    add_config(parser)
    add = parser.add_argument
    complete_integrations(
        add(
            "--integration",
            metavar="NAME",
            action="append",
            default=[],
            help="only the group of this integration, or of the way back (inbound); repeatable",
        )
    )
    add("--group", metavar="ID", action="append", default=[], help="only this group, whoever it belongs to; repeatable")
    add("--max-lag", metavar="N", type=natural, help="exit with 1 if a group is more than N records behind")
    add(
        "--max-age",
        metavar="DURATION",
        type=seconds,
        help="exit with 1 if a record without an outcome is older than this (10m), or its age is not known",
    )
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, print, and compare with the limits."""
    from streamer.operations.lag import groups_of  # noqa: PLC0415 - loads slowly, as those below
    from streamer.operations.redrive import names_of  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    if not are_known(args.integration, names_of(settings), args.config):
        return EXIT_USAGE
    groups = groups_of(settings, args.integration, args.group)
    with quiet_client():
        found = asyncio.run(_survey(settings, groups))
    print_rows([_row(group, one) for group in found for one in group.partitions], args.output)
    _say(found)
    exceeded = excesses(found, max_lag=args.max_lag, max_age_seconds=args.max_age)
    for line in exceeded:
        print(f"streamer: {line}", file=sys.stderr)
    return EXIT_FAILED if exceeded else 0


async def _survey(settings: "Settings", groups: "Collection[tuple[str, str, Collection[str]]]") -> list[GroupLag]:
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.operations.lag import survey  # noqa: PLC0415

    await preflight(settings.kafka)
    bar = ProgressBar("reading")
    try:
        return await survey(settings, groups, now=time.time, on_progress=bar.show)
    finally:
        bar.clear()


def _row(group: GroupLag, one: PartitionLag) -> Row:
    return {
        "integration": group.integration or None,
        "group": group.group,
        "topic": one.topic,
        "partition": one.partition,
        "committed": one.committed,
        "end": one.end,
        "lag": one.lag,
        "lag_seconds": _whole(one.age_seconds),
        "settled_above": one.settled_above,
        "open_above": one.open_above,
        "retried": one.retried,
        "max_attempts": one.max_attempts,
        "headroom_seconds": _whole(one.headroom_seconds),
        "members": len(group.members),
        "note": "; ".join(one.notes) or None,
    }


def _whole(seconds_: float | None) -> int | None:
    return None if seconds_ is None else int(seconds_)


def _say(groups: list[GroupLag]) -> None:
    """Say who is in the groups, and what has no partitions."""
    for group in groups:
        members = ", ".join(group.members) or "none; nothing delivers its records now"
        print(f"streamer: members of {group.group}: {members}", file=sys.stderr)
        for topic in group.missing_topics:
            print(f"streamer: {group.group}: the topic {topic} does not exist", file=sys.stderr)
        if not (group.partitions or group.missing_topics):
            print(f"streamer: {group.group} has no position in a configured topic", file=sys.stderr)
