"""``streamer dlq ls``: counts dead letters."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from streamer.cli.dlq.selecting import EXIT_USAGE, add_selection, load_settings, read_stock, reading, say_foreign
from streamer.cli.output import Row, print_rows, utc
from streamer.cli.quiet import quiet_client
from streamer.core.dead_letters.dead_letter import DeadLetter
from streamer.core.dead_letters.stock import Group, Stock
from streamer.core.model import Record

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.settings import Settings

_Key = tuple[str, str, str]
"""Integration, reason, dead-letter topic."""


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "ls",
        help="count dead letters by integration, reason and topic",
        description="Read the dead-letter topics to their present end. For each integration, reason and topic, print"
        " the number of dead letters, how many of them were redriven, and the times of the oldest and the newest.",
        epilog="Example: streamer dlq ls --config streamer.yaml --reason rejected_400 --since 2h",
    )
    add_selection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count, and print the counts."""
    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        stock = asyncio.run(_read(settings, args))
    groups = stock.groups
    print_rows([_row(key, groups[key]) for key in sorted(groups)], args.output)
    say_foreign(stock.foreign)
    return 0


async def _read(settings: "Settings", args: argparse.Namespace) -> Stock[_Key]:
    async with reading(settings) as reader:
        return await read_stock(reader, settings, args, _key_of)


def _key_of(record: Record, letter: DeadLetter) -> _Key:
    return letter.integration, letter.reason, record.topic


def _row(key: _Key, group: Group) -> Row:
    integration, reason, topic = key
    return {
        "integration": integration,
        "reason": reason,
        "topic": topic,
        "dead_letters": group.dead_letters,
        "redriven": group.redriven,
        "oldest": utc(group.oldest),
        "newest": utc(group.newest),
    }
