"""``streamer sandbox``: a local receiver that answers as Segment does, fails on demand and keeps what it received."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.core.errors import SettingsError, UnavailableError
from streamer.devkit.sandbox.record import DEDUP_WINDOW_SECONDS, MAX_IDS

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.devkit.sandbox.faults import Fault

DEFAULT_PORT: Final = 8090
"""Where examples and the demo expect it."""

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

EPILOG: Final = """\
example:
  streamer sandbox --port 8090 --latency 20ms --refuse-message-id pf_12 --record calls.jsonl
  curl -u streamer_sandbox_key: http://127.0.0.1:8090/v1/track \\
       -d '{"userId": "u-1", "event": "Survey Shown", "messageId": "try-1"}'
  curl http://127.0.0.1:8090/_sandbox/record

Destinations of the kinds sprig and product_fruits have stand-ins with users of their own:
  endpoint: http://127.0.0.1:8090/sprig
  endpoint: http://127.0.0.1:8090/product-fruits
  curl http://127.0.0.1:8090/_sandbox/platforms

Its debugger is at http://127.0.0.1:8090/: calls as they arrive, search, one call beside the record it came from, why
Segment would swallow a call, and buttons that start and end faults. Faults can also be scripted while it runs:
  curl -X PUT http://127.0.0.1:8090/_sandbox/faults -d '[{"times": 3, "action": {"status": 429, "retry_after": 2}}]'
"""


def add_parser(subparsers: "Commands") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "sandbox",
        help="run a local receiver that answers as Segment does",
        description="Run a receiver that answers as Segment does, fails on demand, and keeps what it received.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_between(0, 65_535), default=DEFAULT_PORT, help="port; 0: any free one (default: %(default)s)")
    add(
        "--allow-remote",
        action="store_true",
        help="allow an address that other machines can reach; the sandbox has no password",
    )
    add(
        "--require-key",
        action="append",
        metavar="KEY",
        help="accept only this write key; repeatable. Other keys get 401, which Segment itself does not answer",
    )
    add(
        "--know-key",
        action="append",
        metavar="KEY",
        help="know only this write key; repeatable. As at Segment, calls under other keys get 200 and are dropped, and"
        " the settings endpoint answers 404 for them",
    )
    add("--region", choices=("us", "eu"), default="us", help="region that the settings endpoint names (default: us)")
    add("--latency", type=_duration, default=0.0, metavar="DURATION", help="wait before each answer, such as 20ms")
    add(
        "--status",
        type=_between(200, 599),
        help="answer every request with this status; calls are accepted only if it is 2xx",
    )
    add("--retry-after", metavar="SECONDS", help="send Retry-After with every answer: seconds, or an HTTP date")
    add(
        "--refuse-message-id",
        action="append",
        default=[],
        metavar="ID",
        help="answer 400 to each request with this messageId; repeatable",
    )
    _add_webhook(add)
    add("--record", type=Path, metavar="PATH", help="append each received call to this file, as one line of JSON")
    add(
        "--max-ids",
        type=_between(1, 100_000_000),
        default=MAX_IDS,
        metavar="N",
        help="remember at most this many messageIds (default: %(default)s)",
    )
    add(
        "--dedup-window",
        type=_duration,
        default=DEDUP_WINDOW_SECONDS,
        metavar="DURATION",
        help="how long a repeated messageId counts as a duplicate (default: 24h)",
    )
    parser.set_defaults(run=run)


def _add_webhook(add: Callable[..., argparse.Action]) -> None:
    add(
        "--webhook",
        metavar="URL",
        help="forward accepted calls to this address, signed, as a webhook destination of Segment does",
    )
    add("--webhook-secret-file", type=Path, metavar="PATH", help="file with the shared secret that signs them")
    add(
        "--webhook-batch",
        type=_between(1, 4_000),
        default=1,
        metavar="N",
        help="most calls in one request to the webhook; above 1, requests are lists (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM.

    Returns:
        0 after either signal; 1 when it cannot listen or open its record file; 2 when an option is not allowed.
    """
    import uvloop  # noqa: PLC0415 - `streamer --help` should not wait for it, nor for the imports below

    try:
        faults, webhook_secret = _faults(args), _webhook_secret(args)
    except ValueError as error:
        return _fail(str(error), EXIT_USAGE)
    try:
        uvloop.run(_serve(args, faults, webhook_secret))
    except SettingsError as error:
        return _fail(f"{error}; add --allow-remote to allow that", EXIT_USAGE)
    except UnavailableError as error:
        return _fail(str(error), EXIT_FAILED)
    return 0


async def _serve(args: argparse.Namespace, faults: "list[Fault]", webhook_secret: str) -> None:
    from streamer.devkit.sandbox.server import Sandbox  # noqa: PLC0415
    from streamer.devkit.sandbox.webhook import WebhookDestination  # noqa: PLC0415

    webhook = WebhookDestination(args.webhook, webhook_secret, max_calls=args.webhook_batch) if args.webhook else None
    sandbox = Sandbox(
        required_keys=args.require_key,
        known_keys=args.know_key,
        region=args.region,
        faults=faults,
        record_path=args.record,
        max_ids=args.max_ids,
        dedup_window_seconds=args.dedup_window,
        webhook=webhook,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await sandbox.start(args.host, args.port, allow_remote=args.allow_remote)
    print(f"sandbox: listening on {sandbox.url} (Ctrl-C ends it)", file=sys.stderr)
    print(f"sandbox: open {sandbox.url}/ in a browser to see calls as they arrive", file=sys.stderr, flush=True)
    try:
        await stop.wait()
    finally:
        await sandbox.stop()


def _faults(args: argparse.Namespace) -> "list[Fault]":
    """The faults that the options ask for.

    Raises:
        ValueError: an option cannot be sent as a header.
    """
    from streamer.devkit.sandbox.faults import Action, Fault, Match  # noqa: PLC0415

    faults = []
    if args.latency:
        faults.append(Fault(action=Action(latency_seconds=args.latency)))
    if args.refuse_message_id:
        faults.append(Fault(match=Match(message_ids=frozenset(args.refuse_message_id)), action=Action(status=400)))
    if args.status is not None or args.retry_after is not None:
        faults.append(Fault(action=Action(status=args.status, retry_after=_retry_after(args.retry_after))))
    return faults


def _webhook_secret(args: argparse.Namespace) -> str:
    """The secret that signs what goes to the webhook; "" without a webhook.

    Raises:
        ValueError: the options do not fit together, or the file cannot be read.
    """
    from streamer.settings import read_secret_file  # noqa: PLC0415

    if (args.webhook is None) != (args.webhook_secret_file is None):
        raise ValueError("--webhook and --webhook-secret-file need one another")
    if args.webhook is None:
        return ""
    if not args.webhook.startswith(("http://", "https://")):
        raise ValueError("--webhook should begin with http:// or https://")
    try:
        return read_secret_file(args.webhook_secret_file, "--webhook-secret-file")
    except UnavailableError as error:
        raise ValueError(str(error)) from error


def _retry_after(given: str | None) -> int | str | None:
    return int(given) if given and given.isascii() and given.isdigit() else given


def _duration(text: str) -> float:
    from streamer.settings import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _between(lowest: int, highest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return number


def _fail(text: str, exit_code: int) -> int:
    print(f"streamer sandbox: {text}", file=sys.stderr)
    return exit_code
