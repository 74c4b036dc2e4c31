"""Reads values of options for argparse. Each function raises ``ArgumentTypeError`` with the expected form."""

import argparse
import math
import time
from datetime import datetime
from pathlib import Path


def instant(text: str) -> float:
    """A time in seconds since the epoch: RFC 3339, or a duration before now."""
    # The settings' model takes a third of a second to load; only commands with a time wait for it.
    from streamer.settings import parse_duration  # noqa: PLC0415

    try:
        if not text.isdigit():  # could be seconds or a year
            return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither RFC 3339 (2026-03-02T09:15:27Z) nor a duration (30m)")
    return given.timestamp()


def per_second(text: str) -> float:
    """A rate: ``100`` or ``100/s``."""
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate, such as 100/s")
    return rate


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """A whole number, also 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def seconds(text: str) -> float:
    """A duration, such as ``10m``, in seconds."""
    from streamer.settings import parse_duration  # noqa: PLC0415 - loads slowly, see above

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 10m") from error


def header(text: str) -> tuple[str, bytes]:
    """A header of a record: ``NAME=VALUE``; the value may be empty, or have more equals signs."""
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value.encode()


def listed(text: str) -> list[str]:
    """One text, or those in a file: ``@FILE`` has one a line, blank lines are left out."""
    if not text.startswith("@"):
        return [text]
    try:
        lines = Path(text[1:]).read_text("utf-8").splitlines()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text[1:]} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text[1:]} is not UTF-8") from error
    return [line.strip() for line in lines if line.strip()]
