"""``streamer pause``: has all instances stop delivering the events of one integration."""

import argparse
import functools
import sys
from typing import TYPE_CHECKING

from streamer.cli.ordering import EXIT_CODES, EXIT_USAGE, add_options, load_for, order
from streamer.cli.values import positive_duration

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.core.steering.order import Order


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "pause",
        help="pause an integration on all running instances; its events wait on Kafka",
        description="Pause an integration. All instances obey within 5 seconds, and also after a restart, until"
        " streamer resume or the end of --for. Its events wait on Kafka: nothing is lost while the topic keeps them."
        " Requests in flight end, positions are committed, and lag is shown as before. The order is a record of the"
        " control topic, which is created if it is missing.",
        epilog=f'{EXIT_CODES} Example: streamer pause sprig --config streamer.yaml --for 1h --reason "Segment moves"',
    )
    add_options(parser)
    add = parser.add_argument
    add(
        "--for",
        metavar="DURATION",
        dest="seconds",
        type=positive_duration,
        help="end the pause by itself after this time, such as 90m; without it, streamer resume ends it",
    )
    add(
        "--discard",
        action="store_true",
        help="filter the events that come meanwhile instead of letting them wait: they are not delivered, and counted"
        " as filtered: paused. Needs --execute",
    )
    add("--execute", action="store_true", help="with --discard: do it; without it, print what would be done")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Give the order."""
    from streamer.operations.ordering import who  # noqa: PLC0415 - it loads the client
    from streamer.settings.inbound import INBOUND  # noqa: PLC0415 - the same

    settings = load_for(args)
    if settings is None:
        return EXIT_USAGE
    if args.discard and args.integration == INBOUND:
        print("streamer: --discard is for integrations; calls of the way back can only wait", file=sys.stderr)
        return EXIT_USAGE
    if args.discard and not args.execute:
        print(
            f"streamer: nothing was done; --execute pauses {args.integration} and discards the events that come"
            " meanwhile, also those that wait on Kafka now",
            file=sys.stderr,
        )
        return 0
    return order(
        settings,
        args,
        functools.partial(_paused, by=who(), reason=args.reason, seconds=args.seconds, discard=args.discard),
    )


def _paused(before: "Order", at: float, *, by: str, reason: str, seconds: float | None, discard: bool) -> "Order":
    until = None if seconds is None else at + seconds
    return before.paused(by=by, reason=reason, at=at, until=until, discard=discard)
