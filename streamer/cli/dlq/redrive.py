"""``streamer dlq redrive``: writes dead letters back to the topics that they were read from."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Final

from streamer.cli.dlq.selecting import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    add_selection,
    load_settings,
    read_stock,
    reading,
    say_foreign,
)
from streamer.cli.output import Row, print_rows
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.signals import call_at_signal
from streamer.cli.values import per_second, positive
from streamer.core.dead_letters.redrive import Plan, Skip, Tally, kind_of, redriven_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.cli.options import Commands
    from streamer.core.dead_letters.dead_letter import DeadLetter
    from streamer.core.dead_letters.redrive import OutgoingRecord
    from streamer.core.model import Record
    from streamer.kafka.topic_reader import TopicReader
    from streamer.settings import Settings

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
    Skip.UNCHANGED: "their values in the file are as they were; redrive writes such dead letters back",
    Skip.INVALID: "their corrected values would become dead letters again; correct them, or use --force",
}


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
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
    add_selection(parser)
    add_writing(parser)
    parser.set_defaults(run=run)


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add the options about writing dead letters back."""
    add = parser.add_argument
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


def run(args: argparse.Namespace) -> int:
    """Redrive, or only print what would be redriven; print the counts."""
    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        return asyncio.run(_redrive(settings, args))


async def _redrive(settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.operations.redrive import is_read  # noqa: PLC0415

    async with reading(settings) as reader:
        stock = await read_stock(reader, settings, args, kind_of)
        plan = Plan(
            stock,
            is_read=lambda name, topic: is_read(settings, name, topic),
            max_redrives=args.max_redrives,
            again=args.again,
        )
        try:
            return await carry_out(plan, reader, settings, args)
        finally:
            say_foreign(stock.foreign)


async def carry_out(
    plan: Plan,
    reader: "TopicReader",
    settings: "Settings",
    args: argparse.Namespace,
    compose: "Callable[[Record, DeadLetter], OutgoingRecord]" = redriven_record,
) -> int:
    """Write what is planned if the options say so; print the account, and return the exit code."""
    stop = asyncio.Event()
    try:
        if args.execute and plan.left:
            await _write(plan, reader, settings, args.rate, stop, compose)
    finally:
        print_rows([_tally_row(tally) for tally in plan.tallies], args.output)
        _say_end(plan, is_dry=not args.execute)
    if stop.is_set() and plan.left:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if plan.skipped.keys() - {Skip.UNCHANGED} or (args.execute and plan.left) else 0


async def _write(
    plan: Plan,
    reader: "TopicReader",
    settings: "Settings",
    max_per_second: float,
    stop: asyncio.Event,
    compose: "Callable[[Record, DeadLetter], OutgoingRecord]",
) -> None:
    from streamer.operations.redrive import Redrive  # noqa: PLC0415

    bar = ProgressBar("redriving")
    call_at_signal(stop.set)
    work = Redrive(settings.kafka, plan, max_per_second=max_per_second, on_progress=bar.show, compose=compose)
    try:
        await work.run(reader, stop)
    finally:
        bar.clear()


def _say_end(plan: Plan, *, is_dry: bool) -> None:
    """Print what happened and what to do next."""
    for why, letters in plan.skipped.items():
        print(f"streamer: {letters:,} skipped ({why}): {_SKIPS[why]}", file=sys.stderr)
    if is_dry:
        print(f"streamer: nothing was written; --execute writes {plan.left:,} records", file=sys.stderr)
    else:
        next_step = "; run the same command again to continue" if plan.left else ""
        print(f"streamer: {plan.redriven:,} redriven, {plan.left:,} left{next_step}", file=sys.stderr)


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
