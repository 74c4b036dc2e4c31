"""Folding: at most so many lines of one kind in a window, then one line that says how many were left out.

A window that leaves lines out is followed by one that is twice as long: a fault that lasts for hours is a line each few
minutes. After a pause, the kind is new again and its next line is written at once.
"""

import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Line = TypeVar("Line")

MAX_KEYS: Final = 1_000
"""Most kinds of lines that are watched at a time. Beyond it, the kind that is watched longest is forgotten."""

FOLD_SECONDS: Final = 10.0
"""Length of the first window of a kind."""

MAX_FOLD_SECONDS: Final = 600.0
"""Longest window."""

QUIET_SECONDS: Final = 90.0
"""Without a line for this long, a kind is forgotten. What it left out is told then at the latest."""


class _Window(Generic[Line]):
    __slots__ = ("began", "last", "last_at", "level", "seconds", "suppressed", "written")

    def __init__(self, began: float) -> None:
        self.began = began
        self.seconds = FOLD_SECONDS
        self.last: Line
        self.last_at = began
        self.level = 0
        """The highest level of a line that was written since the kind was new."""
        self.written = 0
        self.suppressed = 0

    @property
    def quiet_at(self) -> float:
        return self.last_at + QUIET_SECONDS

    @property
    def ends(self) -> float:
        return self.began + self.seconds

    @property
    def due(self) -> float:
        """When there is something to do about it without another line."""
        return min(self.ends, self.quiet_at) if self.suppressed else self.quiet_at

    def follow(self, now: float, *, written: int) -> None:
        """Begin the next window, of whose lines so many count as written already."""
        self.began = now
        self.seconds = min(self.seconds * 2, MAX_FOLD_SECONDS)
        self.written = written
        self.suppressed = 0


class Folding(Generic[Key, Line]):
    """Decides which lines are written. Time is passed in, in monotonic seconds."""

    def __init__(self, *, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._windows: dict[Key, _Window[Line]] = {}  # in the order in which the kinds were new
        self._ended: list[tuple[Line, int]] = []
        self._due = math.inf
        """Nothing ends before."""

    def admits(self, key: Key, line: Line, max_lines: int, now: float, *, level: int = 0) -> bool:
        """Whether to write ``line``; if not, it is counted.

        It is written if it is one of the first ``max_lines`` of its key in the window, or if its level is higher than
        that of any line of the key before. Call `ended` first, so that windows that are over have been removed.
        """
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) == self._max_keys:
                self._forget(next(iter(self._windows)))
            window = self._windows[key] = _Window(now)
        elif now >= window.ends:
            window.follow(now, written=0)
        window.last, window.last_at = line, now
        is_admitted = window.written < max_lines or level > window.level
        if is_admitted:
            window.written += 1
            window.level = max(level, window.level)
        else:
            window.suppressed += 1
        self._due = min(self._due, window.due)
        return is_admitted

    def ended(self, now: float) -> list[tuple[Line, int]]:
        """The last line of each window that is over and left lines out, and how many. Each is returned once."""
        if now >= self._due:
            for key, window in list(self._windows.items()):
                if now >= window.quiet_at:
                    self._forget(key)
                elif now >= window.due:
                    self._ended.append((window.last, window.suppressed))
                    window.follow(now, written=window.written)
            self._due = min((window.due for window in self._windows.values()), default=math.inf)
        ended, self._ended = self._ended, []
        return ended

    def _forget(self, key: Key) -> None:
        window = self._windows.pop(key)
        if window.suppressed:
            self._ended.append((window.last, window.suppressed))
