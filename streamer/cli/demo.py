"""``streamer demo``: shows the whole way of sample events on one machine, or keeps a place to play running."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final

from streamer.cli.signals import call_at_signal
from streamer.cli.values import positive

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.devkit.demo import Stay

DEFAULT_EVENTS: Final = 2_000

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130

EPILOG: Final = """\
Exit codes: 0 the account adds up and every expected event arrived exactly once, 1 otherwise, 69 Kafka or the service
does not start, 130 interrupted before the account.

examples:
  streamer demo --events 10000 --once
  streamer demo --keep
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "demo",
        help="deliver sample events from a real Kafka to a local Segment, survive faults, and check the result",
        description="Start a real Apache Kafka, a Segment-compatible sandbox and the service. Show an event of each"
        " platform before and after, deliver sample events, let Segment fail, kill the service, and print what became"
        " of every record. No event leaves this machine. On a terminal everything then stays up for a look until"
        " Ctrl-C. With --keep, only start everything and keep it running: a place to play.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events",
        metavar="N",
        type=positive,
        default=DEFAULT_EVENTS,
        help="number of sample events (default: %(default)s)",
    )
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument("--once", action="store_true", help="end after the account, also on a terminal")
    ending.add_argument(
        "--keep", action="store_true", help="send no events; keep everything running until Ctrl-C, terminal or not"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    # Half a second that `streamer --help` should not wait for.
    import uvloop  # noqa: PLC0415

    from streamer.devkit import demo  # noqa: PLC0415

    stays_up = not args.once and sys.stdout.isatty()

    def begin(stay: "Stay") -> Coroutine[None, None, bool]:
        return demo.keep(stay) if args.keep else demo.play(args.events, stay=stay if stays_up else None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_signal(begin))


async def _until_signal(begin: "Callable[[Stay], Coroutine[None, None, bool]]") -> int:
    """The exit code of the demo. The first SIGINT or SIGTERM ends it in order, a second one at once.

    While it only stays up, its work is done, and a signal is how it ends well; before, a signal interrupts it.
    """
    stop = asyncio.Event()
    is_staying = False

    async def stay() -> None:
        nonlocal is_staying
        is_staying = True
        await stop.wait()

    def end() -> None:
        if is_staying:
            stop.set()
        else:
            task.cancel()

    task = asyncio.ensure_future(begin(stay))
    call_at_signal(end)
    await asyncio.wait({task})
    if task.cancelled():
        print("demo: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0 if task.result() else EXIT_FAILED
