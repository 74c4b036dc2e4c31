"""Options that several commands share."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it
    """Where `add_parser` of a command registers it."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``: the configuration file, by default what ``STREAMER_CONFIG`` names, else ``streamer.yaml``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=Path(os.environ.get("STREAMER_CONFIG") or "streamer.yaml"),
        help="configuration file (default: $STREAMER_CONFIG, else streamer.yaml)",
    )
