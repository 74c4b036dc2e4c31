"""What the commands that work on the directory of users share."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from streamer.core.errors import SettingsError

if TYPE_CHECKING:
    from streamer.directory.store import Directory
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
STDERR: Final = 2


def load_settings(args: argparse.Namespace) -> "Settings":
    """The configuration; a fault if it has no directory."""
    # The model takes a third of a second to load; `streamer --help` should not wait for it.
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    if settings.inbound is None or settings.directory is None:
        raise SettingsError(["inbound: is missing, or directory is false; this command needs both sections"])
    return settings


def work_on_directory(settings: "Settings", work: "Callable[[Directory], Coroutine[Any, Any, int]]") -> int:
    """Work on the directory, and close it."""
    from streamer.directory.store import Directory  # noqa: PLC0415 - loads SQLAlchemy, which not everybody has

    assert settings.directory is not None, "asked for before"
    chosen = settings.directory

    async def run() -> int:
        directory = Directory(chosen)
        try:
            return await work(directory)
        finally:
            await directory.close()

    return asyncio.run(run())
