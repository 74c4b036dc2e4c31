"""``streamer tap``: shows calls as they leave running instances."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from streamer.cli.colors import DIM, GREEN, RED, add_color, painted, printable, wants_color
from streamer.cli.options import add_config, add_instances, are_known, complete_integrations
from streamer.cli.quiet import quiet_client
from streamer.cli.values import per_second, positive

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.instances import Answer
    from streamer.settings import Settings

EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 69

EPILOG: Final = """\
FIELD is integration, destination, topic, partition, offset, messageId, event, type, status, result or attempt, or the
path of a value of the call, such as properties.surveyId. In GLOB, * stands for any text. Conditions on values of the
call show which calls have them, so they need the same right as --values: the Unix socket in state_dir, which is used on
the machine where the service runs, or the token of server.token_file.

Exit codes: 0 the tap has ended or --limit is reached, 2 wrong usage, 69 no instance answers, 78 faults in the
configuration, 130 interrupted.

example:
  streamer tap --config streamer.yaml --integration sprig --where status=4* --limit 20
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "tap",
        help="show calls as they leave",
        description="Show calls when their request is answered: where the record came from, where the call went, the"
        " status, and the call with types and lengths in the place of its values. It is a sample of at most --rate"
        " lines a second. Delivery does not wait for a tap: lines that are not read in time are lost, and counted.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_config(parser)
    add_instances(parser)
    complete_integrations(
        parser.add_argument(
            "--integration", metavar="NAME", action="append", default=[], help="only this one; repeatable"
        )
    )
    add(
        "--where",
        metavar="FIELD=GLOB",
        action="append",
        default=[],
        type=_condition,
        help="only calls that have such a value, such as event=Survey* or messageId=evt_1; repeatable, all must match",
    )
    add(
        "--rate",
        metavar="N/s",
        type=_rate,
        default=10.0,
        help="show at most this many calls a second of each instance, at most 1000/s (default: 10/s)",
    )
    add("--values", action="store_true", help="show the calls as they are, with the values that people gave")
    add("--limit", metavar="N", type=positive, help="end after this many calls")
    add(
        "-o",
        "--output",
        choices=["text", "json"],
        help="text or one JSON object a line (default: text on a terminal, else JSON)",
    )
    add_color(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show calls until the limit, the end of all taps, or Ctrl-C."""
    from streamer.settings import load  # noqa: PLC0415 - `streamer --help` should not wait for it

    settings = load(args.config)
    if not are_known(args.integration, settings.integrations, args.config):
        return EXIT_USAGE
    with quiet_client():
        return asyncio.run(_tap(settings, args))


async def _tap(settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.operations.instances import Instances  # noqa: PLC0415

    shown, notes = 0, _Notes()
    is_json = (args.output or ("text" if sys.stdout.isatty() else "json")) == "json"
    has_color = wants_color(args.color)
    async with Instances.open(settings, args.instance, args.token_file) as instances:
        for problem in instances.problems:
            print(f"streamer: {problem}", file=sys.stderr)
        async with aclosing(instances.stream("/tap", _params(args), on_end=notes.ended)) as lines:
            async for instance, line in lines:
                if "tap" in line:
                    notes.tally(instance, line["tap"])
                    continue
                print(json.dumps({"instance": instance, **line}) if is_json else text_of(line, has_color), flush=True)
                shown += 1
                if shown == args.limit:
                    return 0
    return 0 if notes.has_begun else EXIT_UNAVAILABLE


def _params(args: argparse.Namespace) -> dict[str, str | float | list[str]]:
    flags: dict[str, str | float | list[str]] = {"values": "true"} if args.values else {}
    return flags | {"integration": args.integration, "where": args.where, "rate": args.rate}


class _Notes:
    """Says on stderr what happens to taps."""

    def __init__(self) -> None:
        self.has_begun = False
        """Whether an instance has answered."""
        self._told: dict[tuple[str, str], int] = {}

    def tally(self, instance: str, tally: dict[str, int]) -> None:
        """An instance said what its tap has seen: say what is new of what was not shown."""
        self.has_begun = True
        for kind, text in (
            ("lost", "lines were lost, because they were not read fast enough"),
            ("skipped", "calls were not looked at, because too many a second may match --where; add conditions"),
        ):
            number, before = int(tally.get(kind, 0)), self._told.get((instance, kind), 0)
            if number > before:
                self._told[instance, kind] = number
                print(f"streamer: {instance}: {number - before:,} {text}", file=sys.stderr)

    def ended(self, answer: "Answer") -> None:
        """The tap of an instance has ended."""
        reason = answer.error or "the instance ended the tap, because it stops or an hour has passed"
        print(f"streamer: {answer.instance}: {reason}", file=sys.stderr)


def text_of(line: dict[str, Any], has_color: bool) -> str:
    """A line for people: time, way, answer, what, which record, and the call."""
    is_good = str(line["status"]).startswith("2")
    answer = painted(f"{line['status']} {line['result']}", GREEN if is_good else RED, is_on=has_color)
    again = f", attempt {line['attempt']}" if line["attempt"] > 1 else ""
    place = f"{line['topic']}:{line['partition']}:{line['offset']}"
    what = " ".join(str(part) for part in (line["type"], line["event"]) if part)
    call = json.dumps(line["call"], ensure_ascii=False)
    return "  ".join(
        [
            line["time"][11:23],
            printable(f"{line['integration']} -> {line['destination']}"),
            f"{answer} in {line['duration_seconds'] * 1_000:,.0f} ms{again}",
            printable(what),
            printable(line["messageId"]),
            painted(printable(place), DIM, is_on=has_color),
            painted(printable(call), DIM, is_on=has_color),
        ]
    )


def _condition(text: str) -> str:
    """Check a condition here, where the usage can be shown."""
    from streamer.core.tapping import Condition  # noqa: PLC0415

    try:
        Condition(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return text


def _rate(text: str) -> float:
    from streamer.core.tapping import MAX_RATE  # noqa: PLC0415

    rate = per_second(text)
    if rate > MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MAX_RATE:.0f}/s")
    return rate
