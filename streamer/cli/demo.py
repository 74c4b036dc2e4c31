"""``streamer demo``: shows the whole way of sample events on one machine."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.cli.options import Commands


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "demo",
        help="deliver sample events from a real Kafka to a local Segment, and check the result",
        description="Start a real Apache Kafka, a Segment-compatible sandbox, a producer of sample events and the"
        " service. At the end, print how many records were read and what became of them. No event leaves this machine.",
        epilog="Exit codes: 0 the account adds up and every expected event arrived exactly once, 1 otherwise."
        " Example: streamer demo --events 10000 --once",
    )
    parser.add_argument(
        "--events", metavar="N", type=number_of_events, default=2_000, help="number of sample events (default: 2000)"
    )
    parser.add_argument(
        "--once", action="store_true", help="end after the account; without it, keep running on a terminal until Ctrl-C"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    from streamer.devkit import demo  # noqa: PLC0415 - a third of a second that `streamer --help` should not wait for

    return demo.main(events=args.events, once=args.once)


def number_of_events(text: str) -> int:
    """Read the value of ``--events``, from 1. argparse shows the name of this function if it is not a number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be 1 or more")
    return number
