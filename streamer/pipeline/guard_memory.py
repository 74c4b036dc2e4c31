"""Remembers over restarts what the mass guard has seen, and that it stopped an integration.

Without it, every restart would dead-letter some more records of a topic that is wrong as a whole.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer import __version__
from streamer.core.dead_letters.guard import pardoned
from streamer.logs import Event, logger


class GuardMemory:
    """A note in a small file, and in memory where there is no disk. It counts for one configuration and version.

    What it says is dropped once the integration runs with another one: whoever goes back to the former configuration
    has a reason to.
    """

    def __init__(self, directory: Path | None, *, fingerprint: str) -> None:
        """Read what is remembered.

        Args:
            directory: where the file is or will be; None: nothing is remembered over restarts.
            fingerprint: stands for the configuration in force.
        """
        self._path = None if directory is None else directory / "guarded.json"
        self._now = {"version": __version__, "configuration": fingerprint}
        self._is_writable = True
        self._is_guarded = False
        self._windows: Mapping[str, Any] = {}
        self.stopped_at: float | None = None
        """When the guard stopped the integration, in seconds since the epoch; None: it has not, or long ago."""
        self.seen_release: float | None = None
        """The last moment of an order to release the guard that was obeyed, or `NONE_YET`; None: none was ever read.
        It counts for any configuration and version: an order is not given again because these have changed."""
        self._read()

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return
        if not isinstance(found, dict):
            return
        self.seen_release = _number(found.get("seen_release"))
        if {name: found.get(name) for name in self._now} != self._now:
            return
        # Versions that remembered only a stop wrote no more than the configuration that it belongs to.
        self._is_guarded = bool(found.get("is_guarded", True))
        self.stopped_at = _number(found.get("stopped_at"))
        windows = found.get("windows")
        self._windows = windows if isinstance(windows, dict) else {}

    def belong_to(self, fingerprint: str, *, is_over: bool) -> None:
        """Count for another configuration from now on.

        Args:
            fingerprint: stands for that configuration.
            is_over: whether what is remembered ends, because something has changed that concerns the integration.
        """
        is_noted = self._is_guarded or bool(self._windows)
        self._now = {**self._now, "configuration": fingerprint}
        if is_over:
            self._is_guarded, self._windows, self.stopped_at = False, {}, None
        if is_noted:
            self._write()

    def is_guarded(self) -> bool:
        """Whether the guard stopped the integration with this very configuration and version."""
        return self._is_guarded

    def window(self, stage: str) -> object:
        """What the guard of a stage had seen; None: nothing."""
        return self._windows.get(stage)

    def note(self, windows: Mapping[str, Any]) -> None:
        """Remember what the guard of each stage has seen; call it before dead letters are written.

        It also ends what was remembered for another configuration.
        """
        self._windows = windows
        self._write()

    def remember(self) -> None:
        """Note the stop."""
        self._is_guarded, self.stopped_at = True, time.time()
        self._write()

    def release(self) -> None:
        """Forget the stop; what led to it does not lead to another one."""
        self._windows = {stage: pardoned(window) for stage, window in self._windows.items()}
        self._is_guarded, self.stopped_at = False, None
        self._write()

    def see_release(self, moment: float) -> None:
        """Note the moment of the order in force, so that it is obeyed once."""
        if moment != self.seen_release:
            self.seen_release = moment
            self._write()

    def _write(self) -> None:
        """Write under another name and rename, so that a kill leaves the old note or the new one, never a part."""
        if self._path is None:
            return
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({**self._now, **self._note()}))
            draft.replace(self._path)
        except OSError as error:
            if self._is_writable:  # said once: dead letters are many
                logger().emit(Event.STATE_UNWRITABLE, detail=str(error.strerror))
            self._is_writable = False
        else:
            self._is_writable = True

    def _note(self) -> dict[str, Any]:
        return {
            "is_guarded": self._is_guarded,
            "windows": self._windows,
            "stopped_at": self.stopped_at,
            "seen_release": self.seen_release,
        }


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, int | float) else None
