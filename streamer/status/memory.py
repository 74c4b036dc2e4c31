"""How much memory the process has of its own, and how much it may have. Linux only; elsewhere both are unknown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")


def memory_bytes(root: Path = _ROOT) -> int | None:
    """Bytes of memory that only this process has (anonymous pages); None: not known.

    Pages of mapped files do not count: the receipts are such a file, and the kernel takes its pages back when it needs
    memory.
    """
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return None


def memory_limit_bytes(root: Path = _ROOT) -> int | None:
    """The lowest limit of the control groups (version 2) that the process is in; None: no limit, or not known."""
    return min(_limits(root), default=None)


def _limits(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    place = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if place is None:
        return
    top = root / "sys/fs/cgroup"
    group = top / place
    for directory in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
        try:
            text = (directory / "memory.max").read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # and not "max"
            yield int(text)
