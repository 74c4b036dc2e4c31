"""What ``streamer replay`` tells people to type."""

import argparse
import shlex
import sys
from datetime import UTC, datetime
from typing import Final

DEFAULT_RATE: Final = 100.0
"""Calls a second: little beside the traffic of a service, and a hundred thousand events in 17 minutes."""


def command_of(args: argparse.Namespace, integration: str) -> str:
    """What to type to carry the replay out, or to go on with it."""
    words = ["streamer", "replay", "--config", str(args.config), "--integration", integration]
    words += ["--from", _utc(args.since.at), "--to", _utc(args.until.at)]
    if args.to_destination:
        words += ["--to-destination", args.to_destination]
    if args.rate != DEFAULT_RATE:
        words += ["--rate", f"{args.rate:g}/s"]
    if args.force:
        words.append("--force")
    for address in args.instance:
        words += ["--instance", address]
    if args.token_file is not None:
        words += ["--token-file", str(args.token_file)]
    return shlex.join([*words, "--execute"])


def say(text: str) -> None:
    """Tell a person something."""
    print(f"streamer: {text}", file=sys.stderr)


def _utc(epoch_seconds: float) -> str:
    milliseconds = round(epoch_seconds * 1000)
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds").replace("+00:00", "Z")
