"""A progress bar for commands that take long: one line on stderr, drawn again and again."""

import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import Final

REDRAW_SECONDS: Final = 0.1
BAR_CHARACTERS: Final = 30


class ProgressBar:
    """Shows how much of the work is done; shows nothing if stderr is not a terminal."""

    def __init__(self, label: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._is_shown = sys.stderr.isatty()
        self._begun = clock()
        self._drawn = -math.inf

    def show(self, done: int, total: int) -> None:
        """Draw the bar, unless it was drawn less than `REDRAW_SECONDS` ago and the work is not done."""
        now = self._clock()
        if not self._is_shown or (done < total and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        self._write(progress_line(self._label, done, total, now - self._begun))

    def clear(self) -> None:
        """Remove the bar, so that other lines can be printed."""
        if self._is_shown:
            self._write("")

    @staticmethod
    def _write(line: str) -> None:
        columns = shutil.get_terminal_size().columns
        # Go back to the first column and delete the line.
        sys.stderr.write(f"\r\x1b[K{line[: columns - 1]}")
        sys.stderr.flush()


def progress_line(label: str, done: int, total: int, seconds: float) -> str:
    """``redriving [#####-----] 500 of 1,000, 98/s, 5 s left``."""
    filled = BAR_CHARACTERS * min(done, total) // max(total, 1)
    per_second = done / seconds if seconds > 0 else 0.0
    left = f", {(total - done) / per_second:.0f} s left" if per_second and done < total else ""
    bar = "#" * filled + "-" * (BAR_CHARACTERS - filled)
    return f"{label} [{bar}] {done:,} of {total:,}, {per_second:,.0f}/s{left}"
