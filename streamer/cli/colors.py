"""Colours on a terminal, and texts from outside that must not steer it."""

import argparse
import os
import sys
from typing import Final

RESET: Final = "\x1b[0m"
BOLD: Final = "\x1b[1m"
DIM: Final = "\x1b[2m"
RED: Final = "\x1b[31m"
GREEN: Final = "\x1b[32m"
YELLOW: Final = "\x1b[33m"


def add_color(parser: argparse.ArgumentParser) -> None:
    """Add ``--color``."""
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="use colours (default: auto, which is on a terminal unless the variable NO_COLOR is set)",
    )


def wants_color(choice: str) -> bool:
    """Whether to write colours to stdout; ``choice`` is that of ``--color``."""
    if choice == "auto":
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return choice == "always"


def painted(text: str, *styles: str, is_on: bool) -> str:
    """A text in colour, or as it is."""
    return f"{''.join(styles)}{text}{RESET}" if is_on and styles else text


def printable(text: str) -> str:
    """A text from outside without what could move the cursor or turn the direction of writing."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
