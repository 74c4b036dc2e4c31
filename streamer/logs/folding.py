"""Folding: at most so many lines of one kind in a window, then one line that says how many were left out.

While lines go on coming, each window is twice as long as the one before, and at most two lines are written in it: a
fault that lasts for hours is a line each few minutes. After a pause, the kind is new again.
"""

import math
from collections.abc import Callable, Hashable
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


MAX_LINES_LATER: Final = 2
"""Most lines in all windows of a kind but the first one: what has begun, and that it is over."""


class _Window(Generic[Line]):
    __slots__ = ("began", "is_first", "last", "last_at", "level", "seconds", "suppressed", "written")

    def __init__(self, began: float) -> None:
        self.began = began
        self.is_first = True
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
        """Begin the next window, of whose lines so many count as written already.

        It is twice as long as this one, or as the time since this one began: lines that come once a minute are folded
        as well.
        """
        self.seconds = min(2 * max(self.seconds, now - self.began), MAX_FOLD_SECONDS)
        self.began = now
        self.is_first = False
        self.written = written
        self.suppressed = 0


class Folding(Generic[Key, Line]):
    """Decides which lines are written. Time is passed in, in monotonic seconds."""

    def __init__(self, *, join: Callable[[Line, Line], Line] | None = None, max_keys: int = MAX_KEYS) -> None:
        """Begin with no line.

        Args:
            join: makes one line of two that are left out, the later one second; None: the later one.
            max_keys: see `MAX_KEYS`.
        """
        self._join = join or (lambda _earlier, later: later)
        self._max_keys = max_keys
        self._windows: dict[Key, _Window[Line]] = {}  # in the order in which the kinds were new
        self._ended: list[tuple[Line, int]] = []
        self._due = math.inf
        """Nothing ends before."""

    def admits(self, key: Key, line: Line, max_lines: int, now: float, *, level: int = 0) -> int | None:
        """Decide about ``line``. It is written or counted.

        It is written if it is one of the first ``max_lines`` of its key in the window, or if its level is higher than
        that of any line of the key before. Call `ended` first, so that windows that are over have been removed.

        Returns:
            None: it is left out. Else how many lines before it were left out and are told with it.
        """
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) == self._max_keys:
                self._forget(next(iter(self._windows)))
            window = self._windows[key] = _Window(now)
        elif now >= window.ends:
            window.follow(now, written=0)
        window.last_at = now
        allowed = max_lines if window.is_first else min(max_lines, MAX_LINES_LATER)
        is_admitted = window.written < allowed or level > window.level
        before = window.suppressed
        if is_admitted:
            window.written += 1
            window.level = max(level, window.level)
            window.suppressed = 0
        else:
            window.last = self._join(window.last, line) if before else line
            window.suppressed += 1
        self._due = min(self._due, window.due)
        return before if is_admitted else None

    def ended(self, now: float) -> list[tuple[Line, int]]:
        """The lines left out of each window that is over, joined to one, and how many. Each is returned once."""
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
