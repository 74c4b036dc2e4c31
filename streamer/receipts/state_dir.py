"""The directory of a store on local disk: which process owns it, how it was left, and how it is set aside.

Nothing is synced to disk while the service runs. So the data in a directory can be trusted in two cases only: the
directory was closed (closing syncs), or the machine has not gone down since, because then the page cache has everything
that was written, even if the process was killed. A marker file beside the data says which case it is.
"""

import enum
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Final

from streamer.core.errors import UnavailableError

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MARKER: Final = "marker.json"


class Left(enum.Enum):
    """How the last process left a directory."""

    EMPTY = enum.auto()
    CLOSED = enum.auto()
    """Closed and synced, and not changed since."""
    KILLED = enum.auto()
    """Not closed, but the machine has not gone down since; or changed by something else after it was closed."""
    POWER_LOST = enum.auto()
    """Not closed, and the machine went down since: data that had not reached the disk is lost."""


class StateDirectory:
    """A directory with one data file, used by one process at a time.

    Args:
        path: the directory. Its parent gets a lock file of the same name, which stays when the directory is set aside.
        data_file: name of the file whose size and time show whether something else has changed it.
        boot_id: identifies the last boot of this machine; None: read it from the kernel.
    """

    def __init__(self, path: Path, data_file: str, *, boot_id: str | None = None) -> None:
        self.path = path
        self._data_file = path / data_file
        self._marker = path / _MARKER
        self._boot_id = _read_boot_id() if boot_id is None else boot_id
        self._lock: int | None = None

    def claim(self) -> None:
        """Make this process the owner until `release`, or until the process ends.

        Raises:
            UnavailableError: another process (or another store of this one) is the owner.
            OSError: the directory's parent cannot be created or written to.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock_path = self.path.with_name(self.path.name + ".lock")
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise UnavailableError(
                f"{self.path.parent} is in use by another streamer (process {owner}). No event was read or sent. Stop "
                "that process, or set another state_dir for this one"
            ) from error
        except OSError:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def left(self) -> Left:
        """How the last owner left this directory. Raises OSError if that cannot be read."""
        if not self._data_file.exists():
            return Left.EMPTY
        try:
            marker = json.loads(self._marker.read_bytes())
            closed_as, boot_id = marker["closed_as"], marker["boot_id"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Left.KILLED
        if closed_as is not None:
            return Left.CLOSED if closed_as == self._stamp() else Left.KILLED
        return Left.KILLED if boot_id == self._boot_id != "" else Left.POWER_LOST

    def mark_open(self) -> None:
        """Create the directory if it is missing, and note on disk that its data is not synced from now on.

        Raises:
            OSError: it cannot be created or written to.
        """
        self.path.mkdir(exist_ok=True)
        self._write_marker(None)

    def mark_closed(self) -> None:
        """Note that all data is on disk. Call this after the data file was synced and closed."""
        self._write_marker(self._stamp())

    def set_aside(self, now: float) -> Path:
        """Rename the directory and keep it for an operator to look at. One that was set aside earlier is deleted.

        Raises:
            OSError: it cannot be renamed.
        """
        aside = self.path.with_name(f"{self.path.name}.set-aside-{int(now)}")
        for older in self.path.parent.glob(f"{self.path.name}.set-aside-*"):
            _remove(older)
        self.path.rename(aside)
        return aside

    def delete(self) -> None:
        """Delete the directory with everything in it. Raises OSError."""
        shutil.rmtree(self.path)

    def release(self) -> None:
        """Let another process become the owner."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _stamp(self) -> list[int]:
        stat = self._data_file.stat()
        return [stat.st_size, stat.st_mtime_ns]

    def _write_marker(self, closed_as: list[int] | None) -> None:
        # Written under another name and renamed, so that a kill leaves the old marker or the new one, never a part.
        draft = self._marker.with_suffix(".new")
        with draft.open("w") as file:
            json.dump({"boot_id": self._boot_id, "closed_as": closed_as}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._marker)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""  # not Linux: every unclean end counts as a loss of power, which is the safe assumption
