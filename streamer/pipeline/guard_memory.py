"""Remembers over restarts that the mass guard stopped an integration.

Without it, every restart would dead-letter some more records of a topic that is wrong as a whole.
"""

import json
from pathlib import Path

from streamer import __version__
from streamer.logs import Event, logger


class GuardMemory:
    """A note in a small file. It counts until the configuration or the version changes."""

    def __init__(self, directory: Path, *, fingerprint: str) -> None:
        """Use a file in ``directory``; ``fingerprint`` stands for the configuration in force."""
        self._path = directory / "guarded.json"
        self._now = {"version": __version__, "configuration": fingerprint}

    def is_guarded(self) -> bool:
        """Whether the guard stopped the integration with this very configuration and version."""
        try:
            return bool(json.loads(self._path.read_text()) == self._now)
        except (OSError, ValueError):
            return False

    def remember(self) -> None:
        """Note the stop; without a disk it lasts only as long as the process."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._now))
        except OSError as error:
            logger().emit(Event.STATE_UNWRITABLE, detail=str(error.strerror))
