"""``streamer resume``: ends a pause, and whatever else keeps an integration from delivering for an operator's okay."""

import argparse
import functools
import sys
from typing import TYPE_CHECKING

from streamer.cli.ordering import EXIT_CODES, EXIT_FAILED, EXIT_USAGE, add_options, load_for, order

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.core.steering.order import Order
    from streamer.settings import Settings


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "resume",
        help="end a pause, release the mass guard, and probe a held destination at once",
        description="Have all instances deliver the events of an integration again: a pause ends; if the mass guard has"
        " stopped it, the records that the guard kept back become dead letters, and the guard counts from 0; if its"
        " destination is held, it is probed at once. Each instance does this once, and one that does not run now does"
        " it when it starts.",
        epilog=f'{EXIT_CODES} Example: streamer resume sprig --config streamer.yaml --reason "the key is corrected"',
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Give the order."""
    from streamer.operations.ordering import who  # noqa: PLC0415 - it loads the client

    settings = load_for(args)
    if settings is None:
        return EXIT_USAGE
    code = order(settings, args, functools.partial(_resumed, by=who(), reason=args.reason))
    if _is_paused_by_configuration(settings, args.integration):
        print(
            f"streamer: {args.integration} stays paused, because {args.config} says so; set status: running there",
            file=sys.stderr,
        )
        return EXIT_FAILED
    return code


def _resumed(before: "Order", at: float, *, by: str, reason: str) -> "Order":
    return before.resumed(by=by, reason=reason, at=at)


def _is_paused_by_configuration(settings: "Settings", name: str) -> bool:
    integration = settings.integrations.get(name)
    return integration is not None and integration.status == "paused"
