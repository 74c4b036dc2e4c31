"""``streamer run``: the service."""

import argparse
from typing import TYPE_CHECKING

from streamer.cli.options import add_config

if TYPE_CHECKING:
    from streamer.cli.options import Commands


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "run",
        help="deliver survey events until told to stop",
        description="Deliver survey events until SIGTERM or SIGINT, then finish the requests in flight, commit, and"
        " exit with 0; a second signal ends at once. While brokers or topics are away, keep trying and be not ready.",
        epilog="Example: streamer run --config streamer.yaml",
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the service to its end."""
    from streamer import service  # noqa: PLC0415 - a third of a second that `streamer --help` should not wait for
    from streamer.settings import load  # noqa: PLC0415 - the same

    return service.main(load(args.config))
