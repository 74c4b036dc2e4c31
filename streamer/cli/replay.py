"""``streamer replay``: sends the events of a time again, through the same mapping."""

import argparse
import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from streamer.cli.options import add_config, add_instances, add_output, complete_integrations
from streamer.cli.quiet import quiet_client
from streamer.cli.replay_words import DEFAULT_RATE
from streamer.cli.values import instant, per_second

if TYPE_CHECKING:
    from streamer.cli.options import Commands

DESCRIPTION: Final = """\
Read the records of a time again and deliver them: through the same mapping, in a process of its own, with a consumer
group of its own. The service goes on and does not notice. Without --execute nothing is sent: the command says what it
would send, and how long that takes.

Events that receipts show as delivered are not sent. Receipts come from receipts.topic if it is configured, else from
the running instances. If neither can tell for the whole time, the command says so and stops; --force sends everything.

The events keep their messageIds. Segment drops an event whose messageId it has received within the last 24 hours, from
any source. What was delivered longer ago and is sent again is there twice: that is what --force means.

Interrupt it with Ctrl-C: it finishes its requests, and the same command goes on where it was. Events that wait for
their next attempt can keep it for up to six hours; it says so, and can be interrupted meanwhile.
"""

EPILOG: Final = """\
Exit codes: 0 done and the account adds up, or nothing was to be executed; 1 it does not add up, the mass guard has
stopped it, or it is not known what was delivered; 2 wrong usage; 69 the brokers or state_dir are not available; 78
faults in the configuration; 130 interrupted.

examples:
  streamer replay --config streamer.yaml --integration sprig --from 26h --to 25h
  streamer replay --config streamer.yaml --integration sprig --from 2026-11-27T10:00:00Z --to 2026-11-27T11:00:00Z \\
    --execute
"""


class Moment(NamedTuple):
    """A time of the command line."""

    at: float
    """Seconds since the epoch."""
    is_fixed: bool
    """Whether it means the same when the command is repeated."""


def moment(text: str) -> Moment:
    """A time: RFC 3339, or a duration before now."""
    at = instant(text)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return Moment(float(int(at)), is_fixed=False)
    return Moment(at, is_fixed=True)


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "replay",
        help="send the events of a time again, through the same mapping",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add = parser.add_argument
    add(
        "--from",
        dest="since",
        metavar="TIME",
        type=moment,
        required=True,
        help="begin with the first record of this time or later: RFC 3339, or how long ago (26h)",
    )
    add(
        "--to",
        dest="until",
        metavar="TIME",
        type=moment,
        required=True,
        help="end before the first record of this time or later",
    )
    complete_integrations(
        add("--integration", metavar="NAME", help="whose records; needed if the configuration has several")
    )
    add(
        "--to-destination",
        metavar="NAME",
        help="send to this destination of the configuration instead of the integration's own",
    )
    add(
        "--rate",
        metavar="N/s",
        type=per_second,
        default=DEFAULT_RATE,
        help=f"send at most this many events a second (default: {DEFAULT_RATE:.0f}/s); the destination's rate_limit"
        " holds as well",
    )
    add("--force", action="store_true", help="also send events that were delivered before, or that may have been")
    add("--execute", action="store_true", help="send; without it, only say what would be sent")
    add(
        "--release-guard",
        action="store_true",
        help="go on although the mass guard has stopped this replay because most of its records were refused",
    )
    add(
        "--forget",
        action="store_true",
        help="forget an interrupted replay: delete its consumer group and its files; nothing is sent",
    )
    add_output(parser)
    add_instances(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say what would be sent, or send it."""
    # Half a second that `streamer --help` should not wait for.
    import uvloop  # noqa: PLC0415

    from streamer.cli.replaying import replay  # noqa: PLC0415

    with quiet_client(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(replay(args))
