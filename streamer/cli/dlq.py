"""``streamer dlq ls`` and ``streamer dlq redrive``: counts dead letters, and writes them back to their topics."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, complete_integrations
from streamer.cli.output import Row, print_rows, utc
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.signals import call_at_signal
from streamer.cli.values import instant, per_second, positive
from streamer.core.dead_letters.dead_letter import Count, Selection, Stock, count
from streamer.core.dead_letters.redrive import Plan, Skip, Tally
from streamer.core.model import DeadLetterReason

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.kafka.topic_reader import TopicReader
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

DEFAULT_RATE: Final = 100.0
"""Records a second: little beside the traffic of a topic, and a million in three hours."""

DEFAULT_MAX_REDRIVES: Final = 3

_SKIPS: Final = {
    Skip.OVER_LIMIT: "they were redriven --max-redrives times; remove the cause, then raise --max-redrives",
    Skip.NOT_READ: "their integration does not read that topic, or discards its records (on_pause: discard)",
    Skip.TOMBSTONE: "they have no value, so there is nothing to deliver",
    Skip.TOO_LARGE: "the broker rejects records of this size; raise max.message.bytes of the topic",
    Skip.NO_VALUE: "they have no value, because the dead-letter topic did not accept it; read it from the source topic."
    " Calls over inbound.limits.max_call_bytes are in no topic; Segment has them",
    Skip.REFUSED: "the broker refuses them in that topic; check its cleanup.policy and message.timestamp settings",
}


def add_parser(commands: "Commands") -> None:
    """Register the command and its two subcommands."""
    parser = commands.add_parser(
        "dlq",
        help="count dead letters, or write them back to their topics (redrive)",
        description="Dead letters are records that could not be delivered. streamer wrote them to a dead-letter topic,"
        " with the reason. ls counts them; redrive writes them back to the topics that they were read from, and is run"
        " after the cause is removed.",
        epilog="Example: streamer dlq ls --config streamer.yaml",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_ls(parts)
    _add_redrive(parts)


def _add_ls(parts: "Commands") -> None:
    ls = parts.add_parser(
        "ls",
        help="count dead letters by integration, reason and topic",
        description="Read the dead-letter topics to their present end. For each integration, reason and topic, print"
        " the number of dead letters, how many of them were redriven, and the times of the oldest and the newest.",
        epilog="Example: streamer dlq ls --config streamer.yaml --reason rejected_400 --since 2h",
    )
    _add_selection(ls)
    ls.set_defaults(run=run_ls)


def _add_redrive(parts: "Commands") -> None:
    redrive = parts.add_parser(
        "redrive",
        help="write dead letters back to the topics that they were read from",
        description="Write dead letters that were not redriven before back to the topics that they were read from, with"
        " their key, value, headers and timestamp. Only the integration that dead-lettered a record delivers it again."
        " Calls of the way back are applied again, also those that were set aside as unauthenticated."
        " Without --execute nothing is written. The command can be interrupted and repeated: streamer notes in the"
        " dead-letter topic which dead letters were redriven.",
        epilog="Exit codes: 0 done, 1 some dead letters were skipped or are left, 69 the brokers are not available, 78"
        " faults in the configuration, 130 interrupted."
        " Example: streamer dlq redrive --config streamer.yaml --integration sprig --reason rejected_400 --execute",
    )
    _add_selection(redrive)
    add = redrive.add_argument
    add("--execute", action="store_true", help="write; without it, print what would be written")
    add(
        "--rate",
        metavar="N/s",
        type=per_second,
        default=DEFAULT_RATE,
        help=f"write at most this many records a second (default: {DEFAULT_RATE:.0f}/s)",
    )
    add(
        "--max-redrives",
        metavar="N",
        type=positive,
        default=DEFAULT_MAX_REDRIVES,
        help="skip dead letters that were redriven this many times before (default: %(default)s)",
    )
    add(
        "--again",
        action="store_true",
        help="also write dead letters that were redriven before; events that were delivered longer ago than"
        " receipts.window may be delivered twice",
    )
    redrive.set_defaults(run=run_redrive)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add = parser.add_argument
    complete_integrations(
        add(
            "--integration",
            metavar="NAME",
            action="append",
            default=[],
            help="only dead letters of this integration, or of the way back (inbound); repeatable",
        )
    )
    reasons = [reason.value for reason in DeadLetterReason]
    add(
        "--reason",
        metavar="REASON",
        action="append",
        default=[],
        choices=reasons,
        help=f"only dead letters with this reason; repeatable; one of {', '.join(reasons)}",
    )
    add(
        "--since",
        metavar="TIME",
        type=instant,
        help="only dead letters of this time or later: RFC 3339, or how long ago (30m)",
    )
    add("--until", metavar="TIME", type=instant, help="only dead letters from before this time")
    add(
        "-o",
        "--output",
        choices=("table", "json"),
        help="default: a table on a terminal, otherwise one JSON object per line",
    )


def run_ls(args: argparse.Namespace) -> int:
    """Count, and print the counts."""
    settings = _load(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        stock = asyncio.run(_list(settings, args))
    print_rows([_count_row(entry) for entry in count(stock)], args.output)
    _say_foreign(stock)
    return 0


def run_redrive(args: argparse.Namespace) -> int:
    """Redrive, or only print what would be redriven; print the counts."""
    settings = _load(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        return asyncio.run(_redrive(settings, args))


def _load(args: argparse.Namespace) -> "Settings | None":
    """The configuration; None if an option names an integration that it does not have."""
    # The model and the client take a third of a second to load; `streamer --help` should not wait for them.
    from streamer.operations.redrive import names_of  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    known_names = names_of(settings)
    for name in args.integration:
        if name not in known_names:
            known = ", ".join(known_names)
            print(f"streamer: {args.config} has no integration {name}; it has {known}", file=sys.stderr)
            return None
    return settings


async def _list(settings: "Settings", args: argparse.Namespace) -> Stock:
    async with _reading(settings) as reader:
        return await _read(reader, settings, args)


@asynccontextmanager
async def _reading(settings: "Settings") -> AsyncIterator["TopicReader"]:
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.kafka.topic_reader import TopicReader  # noqa: PLC0415

    await preflight(settings.kafka)
    async with TopicReader(settings.kafka) as reader:
        yield reader


async def _read(reader: "TopicReader", settings: "Settings", args: argparse.Namespace) -> Stock:
    """The dead letters that the options select."""
    from streamer.operations.redrive import dead_letter_topics, names_of, take_stock  # noqa: PLC0415

    selection = Selection(
        integrations=frozenset(args.integration),
        reasons=frozenset(args.reason),
        **{name: getattr(args, name) for name in ("since", "until") if getattr(args, name) is not None},
    )
    bar = ProgressBar("reading")
    topics = dead_letter_topics(settings, args.integration or names_of(settings))
    stock, missing = await take_stock(reader, topics, selection, bar.show)
    bar.clear()
    for topic in missing:
        print(f"streamer: the topic {topic} does not exist, so it has no dead letters", file=sys.stderr)
    return stock


async def _redrive(settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.operations.redrive import is_read  # noqa: PLC0415

    stop = asyncio.Event()
    async with _reading(settings) as reader:
        stock = await _read(reader, settings, args)
        plan = Plan(
            stock,
            is_read=lambda name, topic: is_read(settings, name, topic),
            max_redrives=args.max_redrives,
            again=args.again,
        )
        try:
            if args.execute and plan.left:
                await _carry_out(plan, reader, settings, args.rate, stop)
        finally:
            print_rows([_tally_row(tally) for tally in plan.tallies], args.output)
            _say_foreign(stock)
            _say_end(plan, is_dry=not args.execute)
    if stop.is_set() and plan.left:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if plan.skipped or (args.execute and plan.left) else 0


async def _carry_out(
    plan: Plan, reader: "TopicReader", settings: "Settings", max_per_second: float, stop: asyncio.Event
) -> None:
    from streamer.operations.redrive import Redrive  # noqa: PLC0415

    bar = ProgressBar("redriving")
    call_at_signal(stop.set)
    try:
        await Redrive(settings.kafka, plan, max_per_second=max_per_second, on_progress=bar.show).run(reader, stop)
    finally:
        bar.clear()


def _say_foreign(stock: Stock) -> None:
    if stock.foreign:
        print(
            f"streamer: records that are not dead letters of streamer, not counted: {stock.foreign:,}", file=sys.stderr
        )


def _say_end(plan: Plan, *, is_dry: bool) -> None:
    """Print what happened and what to do next."""
    for why, letters in plan.skipped.items():
        print(f"streamer: {letters:,} skipped ({why}): {_SKIPS[why]}", file=sys.stderr)
    if is_dry:
        print(f"streamer: nothing was written; --execute writes {plan.left:,} records", file=sys.stderr)
    else:
        next_step = "; run the same command again to continue" if plan.left else ""
        print(f"streamer: {plan.redriven:,} redriven, {plan.left:,} left{next_step}", file=sys.stderr)


def _count_row(entry: Count) -> Row:
    return {
        "integration": entry.integration,
        "reason": entry.reason,
        "topic": entry.topic,
        "dead_letters": entry.dead_letters,
        "redriven": entry.redriven,
        "oldest": utc(entry.oldest),
        "newest": utc(entry.newest),
    }


def _tally_row(tally: Tally) -> Row:
    return {
        "integration": tally.integration,
        "reason": tally.reason,
        "topic": tally.topic,
        "dead_letters": tally.dead_letters,
        "redriven_before": tally.redriven_before,
        "skipped": sum(tally.skipped.values()),
        "redriven": tally.redriven,
        "left": tally.left,
    }
