"""Folding: at most so many lines of one kind within some seconds, then one line that says how many were left out."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Line = TypeVar("Line")

MAX_KEYS: Final = 1_000
"""Most kinds of lines that are watched at a time. Beyond it, the window that began first ends early."""


class _Window(Generic[Line]):
    __slots__ = ("began", "last", "seen", "suppressed")

    def __init__(self, began: float) -> None:
        self.began = began
        self.last: Line
        self.seen = 0
        self.suppressed = 0


class Folding(Generic[Key, Line]):
    """Decides which lines are written. Time is passed in, in monotonic seconds."""

    def __init__(self, seconds: float, *, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._max_keys = max_keys
        self._windows: dict[Key, _Window[Line]] = {}  # in the order in which they began
        self._ended: list[tuple[Line, int]] = []

    def admits(self, key: Key, line: Line, max_lines: int, now: float) -> bool:
        """Whether to write ``line``: one of the first ``max_lines`` of its key since its window began. Else count it.

        Call `ended` first, so that windows that are over have been removed.
        """
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) == self._max_keys:
                self._end(next(iter(self._windows)))
            window = self._windows[key] = _Window(now)
        window.last = line
        window.seen += 1
        if window.seen <= max_lines:
            return True
        window.suppressed += 1
        return False

    def ended(self, now: float) -> list[tuple[Line, int]]:
        """The last line of each window that is over and left lines out, and how many. Each is returned once."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now - window.began < self._seconds:
                break
            self._end(key)
        ended, self._ended = self._ended, []
        return ended

    def _end(self, key: Key) -> None:
        window = self._windows.pop(key)
        if window.suppressed:
            self._ended.append((window.last, window.suppressed))
