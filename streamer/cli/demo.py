"""``streamer demo``: everything on one machine, to watch."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.cli.options import Commands


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "demo",
        help="watch sample events leave a real Kafka and arrive, each once, in a local Segment",
        description="Start a real Apache Kafka, a Segment-compatible sandbox, a producer of sample events and the"
        " service, and end with the account: every record that was read, and what became of it. Nothing leaves this"
        " machine.",
        epilog="Exit codes: 0 the account adds up and every event arrived exactly once, 1 it does not."
        " Example: streamer demo --events 10000 --once",
    )
    parser.add_argument(
        "--events", metavar="N", type=number_of_events, default=2_000, help="how many events (default: 2000)"
    )
    parser.add_argument("--once", action="store_true", help="end with the account instead of staying up for a look")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    from streamer.devkit import demo  # noqa: PLC0415 - a third of a second that `streamer --help` should not wait for

    return demo.main(events=args.events, once=args.once)


def number_of_events(text: str) -> int:
    """Read the value of ``--events``, from 1; argparse shows this name where it is no number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be 1 or more")
    return number
