"""``streamer version``: what exactly is running, for bug reports."""

import argparse
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from streamer import __version__

if TYPE_CHECKING:
    from streamer.cli.options import Commands

_LIBRARIES: Final = ("aiokafka", "aiohttp", "jsonschema-rs", "lmdb", "orjson", "pydantic", "structlog")
"""Those whose version explains behaviour."""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "version",
        help="print the version of streamer and of what it stands on",
        description="Print the version of streamer, Python and the libraries that matter, a line each.",
        epilog="Example: streamer version",
    )
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    """Print name and version, a line each."""
    print(f"streamer {__version__}")
    print(f"{platform.python_implementation()} {platform.python_version()}")
    for library in _LIBRARIES:
        print(f"{library} {version(library)}")
    return 0
