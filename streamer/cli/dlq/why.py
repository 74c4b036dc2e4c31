"""``streamer dlq why``: counts dead letters by what is wrong with them and by who wrote them."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from streamer.cli.dlq.selecting import EXIT_USAGE, add_selection, load_settings, read_stock, reading, say_foreign
from streamer.cli.output import Row, is_json, print_rows, table_lines, utc
from streamer.cli.quiet import quiet_client
from streamer.cli.record_text import one_line
from streamer.core.dead_letters.cause import MAX_CAUSES, OTHERS, PRODUCER_HEADERS, Cause, Causes
from streamer.core.dead_letters.stock import Group, Stock

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.settings import Settings


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "why",
        help="count dead letters by what is wrong with them, and by their producer",
        description="Read the dead-letter topics to their present end. For each integration, reason, detail and"
        " producer, print the number of dead letters, the most frequent first, and what the schema says about the place"
        " that the detail names. Indexes and figures in details are *, so that the same fault is counted together."
        " --detail of the other commands takes such a text.",
        epilog="Exit codes: 0 done, 69 the brokers are not available, 78 faults in the configuration."
        " Example: streamer dlq why --config streamer.yaml --since 2h --by client.id",
    )
    add_selection(parser)
    parser.add_argument(
        "--by",
        metavar="HEADER",
        action="append",
        default=[],
        help="header that names the producer of a record; repeatable, the first one that a record has counts"
        f" (default: {', '.join(PRODUCER_HEADERS)})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count, and print the counts."""
    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        stock = asyncio.run(_read(settings, args))
    groups = stock.groups
    _print([_row(cause, groups[cause]) for cause in sorted(groups, key=lambda one: _rank(one, groups))], args.output)
    if OTHERS in groups:
        print(
            f"streamer: only the first {MAX_CAUSES:,} kinds are counted by themselves; select fewer dead letters, or a"
            " header with fewer values",
            file=sys.stderr,
        )
    say_foreign(stock.foreign)
    return 0


async def _read(settings: "Settings", args: argparse.Namespace) -> Stock[Cause]:
    async with reading(settings) as reader:
        return await read_stock(reader, settings, args, Causes(args.by or PRODUCER_HEADERS).cause_of)


def _print(rows: list[Row], output: str | None) -> None:
    """JSON for programs; for people a table, with the long texts of each row below it."""
    if is_json(output):
        print_rows(rows, output)
        return
    texts = [[row.pop("detail"), row.pop("schema_says")] for row in rows]
    heading, *lines = table_lines(rows) or [""]
    print(*filter(None, [heading]), sep="\n", end="\n" if heading else "")
    for line, below in zip(lines, texts, strict=True):
        print(line, *(f"    {text}" for text in below if text), sep="\n")


def _rank(cause: Cause, groups: dict[Cause, Group]) -> tuple[int, Cause]:
    return -groups[cause].dead_letters, cause


def _row(cause: Cause, group: Group) -> Row:
    from streamer.core.mapping.sentence import sentence_of  # noqa: PLC0415 - the schemas' library loads slowly

    return {
        "integration": cause.integration,
        "reason": cause.reason,
        "dead_letters": group.dead_letters,
        "redriven": group.redriven,
        "first": utc(group.oldest),
        "last": utc(group.newest),
        "producer": one_line(cause.producer.encode()),
        "detail": one_line(cause.detail.encode()),
        "schema_says": sentence_of(cause.detail),
    }
