"""Whether files of the configuration have changed, by what they hold.

Not by their times: Kubernetes shows new content through a symbolic link, editors replace files, and a file may be
written again as it was. A file counts as changed once two looks find the same new content, so that one that is being
written is not taken.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streamer.core.errors import SettingsError
from streamer.settings.document import MAX_FILE_BYTES
from streamer.settings.loading import load
from streamer.settings.model import Settings

Content = bytes | None
"""Stands for what a file holds; None: it is not there, or cannot be read."""

NEVER_SEEN: Final = b""
"""Stands for what no file holds."""


class Change:
    """Whether a file has changed since it was taken. Pure."""

    def __init__(self, taken: Content = NEVER_SEEN) -> None:
        """``taken``: what it held when it was read last."""
        self._taken = self._seen = taken

    def is_due(self, found: Content) -> bool:
        """Whether to read the file now.

        Args:
            found: what it holds now.
        """
        is_steady, self._seen = found == self._seen, found
        if found == self._taken or not is_steady:
            return False
        self._taken = found
        return True

    def take(self, found: Content) -> None:
        """It is read now, and holds ``found``."""
        self._taken = self._seen = found


def content_of(path: Path) -> Content:
    """What a file holds; only regular files are read, because others may block or have nothing the second time."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_FILE_BYTES + 1)).digest()
    except OSError:
        return None


class ConfigFile:
    """The configuration file of a process, which is read again while it runs."""

    def __init__(self, path: Path, environ: Mapping[str, str] | None = None) -> None:
        """Name the file; ``environ`` is that of `streamer.settings.load`."""
        self.path = path
        self._environ = environ
        self._change = Change()
        self._has_loaded = False

    def load(self) -> Settings:
        """Read it.

        Raises:
            SettingsError: it has faults, or cannot be read a second time.
        """
        if self._has_loaded and self.path.exists() and not self.path.is_file():
            raise SettingsError([f"{self.path}: is no regular file, so it cannot be read again; restart streamer"])
        self._has_loaded = True
        self._change.take(content_of(self.path))  # before it is read: a change meanwhile is noticed the next time
        return load(self.path, self._environ)

    def has_changed(self) -> bool:
        """Whether it should be loaded again; ask every few seconds."""
        return self._change.is_due(content_of(self.path))
