"""What ``streamer pause`` and ``streamer resume`` share: checking the name, and saying who obeys."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, add_instances, add_output, are_known, complete_integrations
from streamer.cli.output import print_rows, utc
from streamer.cli.quiet import quiet_client

if TYPE_CHECKING:
    from streamer.core.steering.order import Order
    from streamer.operations.ordering import Heard
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

EXIT_CODES: Final = (
    "Exit codes: 0 the order is given, and every instance that answered obeys, 1 one does not obey yet,"
    " 2 there is no such integration, 69 the order is not given: the brokers are not available, 78 faults in the"
    " configuration, or control: false."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both commands have."""
    name = parser.add_argument("integration", metavar="INTEGRATION", help="its name in the configuration, or inbound")
    complete_integrations(name)
    add_config(parser)
    parser.add_argument(
        "--reason", metavar="TEXT", default="", help="why; shown on the page, on /status and in the log"
    )
    add_instances(parser)
    add_output(parser)


def load_for(args: argparse.Namespace) -> "Settings | None":
    """The configuration; None if it has no such integration, or none that takes orders, which is said."""
    # The model and the client take a third of a second to load; `streamer --help` should not wait for them.
    from streamer.operations.ordering import control_topic  # noqa: PLC0415
    from streamer.operations.redrive import names_of  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    control_topic(settings)
    return settings if are_known([args.integration], names_of(settings), args.config) else None


def order(settings: "Settings", args: argparse.Namespace, make: "Callable[[Order, float], Order]") -> int:
    """Give an order, ask whether it is obeyed, and print both."""
    with quiet_client():
        return asyncio.run(_order(settings, args, make))


async def _order(settings: "Settings", args: argparse.Namespace, make: "Callable[[Order, float], Order]") -> int:
    from streamer.operations.ordering import ask_whether_obeyed, give  # noqa: PLC0415

    given = await give(settings, args.integration, make)
    heard, problems = await ask_whether_obeyed(
        settings, args.integration, given, addresses=args.instance, token_file=args.token_file
    )
    print_rows(
        [
            {
                "integration": args.integration,
                "status": "paused" if given.is_paused else "running",
                "records": ("discarded" if given.discard else "wait") if given.is_paused else "delivered",
                "until": utc(given.until) if given.until is not None else "",
                "by": given.by,
                "reason": given.reason,
                "instances_obey": sum(one.obeys for one in heard),
                "instances_asked": len(heard),
            }
        ],
        args.output,
    )
    return _say(args.integration, heard, problems)


def _say(name: str, heard: "list[Heard]", problems: "Sequence[str]") -> int:
    """Print who does not obey; returns the exit code."""
    for problem in problems:
        print(f"streamer: {problem}", file=sys.stderr)
    for one in heard:
        if one.error:
            print(f"streamer: {one.instance} could not be asked: {one.error}", file=sys.stderr)
        elif not one.obeys:
            print(
                f"streamer: {one.instance} does not obey yet; look there for control.unreadable in the log",
                file=sys.stderr,
            )
    if not any(one.obeys for one in heard):
        print(
            f"streamer: the order for {name} is given; no running instance has confirmed it. Each one obeys as soon as"
            " it reads the control topic, also one that starts later",
            file=sys.stderr,
        )
    return EXIT_FAILED if any(not one.obeys and not one.error for one in heard) else 0
