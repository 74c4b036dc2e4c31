"""``streamer version``: prints which versions run, for bug reports."""

import argparse
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from streamer import __version__
from streamer.commit import commit

if TYPE_CHECKING:
    from streamer.cli.options import Commands

_LIBRARIES: Final = ("aiokafka", "aiohttp", "jsonschema-rs", "lmdb", "orjson", "pydantic", "structlog")
"""Libraries whose version can explain a behaviour."""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "version",
        help="print version and commit of streamer, and the versions of Python and the main libraries",
        description="Print version and commit of streamer, and the versions of Python and its main libraries.",
        epilog="Example: streamer version",
    )
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    """Print name and version, one per line."""
    print(f"streamer {__version__}")
    print(f"commit {commit()}")
    print(f"{platform.python_implementation()} {platform.python_version()}")
    for library in _LIBRARIES:
        print(f"{library} {version(library)}")
    return 0
