"""What the commands about dead letters share: which ones they are about, and how these are read."""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, add_output, are_known, complete_integrations
from streamer.cli.progress import ProgressBar
from streamer.cli.values import instant, listed
from streamer.core.dead_letters.dead_letter import DeadLetter, Selection
from streamer.core.dead_letters.detail import pattern_of
from streamer.core.dead_letters.stock import Key, Stock
from streamer.core.model import DeadLetterReason, Record

if TYPE_CHECKING:
    from streamer.kafka.topic_reader import TopicReader
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which dead letters are meant, and ``--output``."""
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
        "--detail",
        metavar="TEXT",
        action="append",
        default=[],
        help="only dead letters whose detail is this text, as dlq why prints it; * stands for any text; repeatable",
    )
    add(
        "--message-id",
        metavar="ID|@FILE",
        action="extend",
        type=listed,
        default=[],
        help="only dead letters with this messageId, or with one of those in a file, one a line; repeatable",
    )
    add(
        "--since",
        metavar="TIME",
        type=instant,
        help="only dead letters of this time or later: RFC 3339, or how long ago (30m)",
    )
    add("--until", metavar="TIME", type=instant, help="only dead letters from before this time")
    add_output(parser)


def load_settings(args: argparse.Namespace) -> "Settings | None":
    """The configuration; None, with a line on stderr, if an option names an integration that it does not have."""
    # The model and the client take a third of a second to load; `streamer --help` should not wait for them.
    from streamer.operations.redrive import names_of  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    return settings if are_known(args.integration, names_of(settings), args.config) else None


@asynccontextmanager
async def reading(settings: "Settings") -> AsyncIterator["TopicReader"]:
    """A connection for reading topics."""
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.kafka.topic_reader import TopicReader  # noqa: PLC0415

    await preflight(settings.kafka)
    async with TopicReader(settings.kafka) as reader:
        yield reader


async def read_stock(
    reader: "TopicReader",
    settings: "Settings",
    args: argparse.Namespace,
    key_of: Callable[[Record, DeadLetter], Key],
) -> Stock[Key]:
    """The dead letters that the options select."""
    from streamer.operations.redrive import take_stock  # noqa: PLC0415

    bar = ProgressBar("reading")
    topics = topics_of(settings, args)
    stock, missing = await take_stock(reader, topics, _selection(args), key_of, bar.show)
    bar.clear()
    say_missing(missing)
    return stock


def topics_of(settings: "Settings", args: argparse.Namespace) -> list[str]:
    """The dead-letter topics of the integrations that the options name; of all if they name none."""
    from streamer.operations.redrive import dead_letter_topics, names_of  # noqa: PLC0415

    return dead_letter_topics(settings, args.integration or names_of(settings))


def say_missing(topics: Collection[str]) -> None:
    """Say which dead-letter topics do not exist."""
    for topic in topics:
        print(f"streamer: the topic {topic} does not exist, so it has no dead letters", file=sys.stderr)


def say_foreign(foreign: int) -> None:
    """Say how many records were left alone because somebody else wrote them."""
    if foreign:
        print(f"streamer: records that are not dead letters of streamer, not counted: {foreign:,}", file=sys.stderr)


def _selection(args: argparse.Namespace) -> Selection:
    return Selection(
        integrations=frozenset(args.integration),
        reasons=frozenset(args.reason),
        message_ids=frozenset(args.message_id),
        details=tuple(map(pattern_of, args.detail)),
        **{name: getattr(args, name) for name in ("since", "until") if getattr(args, name) is not None},
    )
