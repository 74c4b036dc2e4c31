"""Figures as people read them: "4 min", "12,431", "20 %"."""

from typing import Final

MAX_TEXT_CHARACTERS: Final = 160
"""Longest text of somebody else's in a line."""

_UNITS: Final = (("day", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))
_FROM: Final = 2.0
"""From so many of a unit on it is used: 90 min, but 2 h."""


def duration(seconds: float) -> str:
    """A duration in one unit, rounded down: "40 s", "4 min", "5 h", "6 days". Below a second: "1 s"."""
    for unit, length in _UNITS:
        if seconds >= _FROM * length or unit == "s":
            number = max(int(seconds // length), 1)
            return f"{number:,} {unit}s" if unit == "day" else f"{number} {unit}"
    raise AssertionError("seconds are the last unit")


def number(count: int) -> str:
    """A number with separators: "12,431"."""
    return f"{count:,}"


def share(part: float) -> str:
    """A share in percent: "20 %"; "less than 1 %" for a little."""
    return "less than 1 %" if 0 < part < 0.005 else f"{part * 100:.0f} %"  # noqa: PLR2004 - it would be rounded to 0


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 record", "12,431 records"."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def shortened(text: str) -> str:
    """The first line of somebody else's text, cut if it is long, without a full stop at its end."""
    line = text.partition("\n")[0].strip().rstrip(".")
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[: MAX_TEXT_CHARACTERS - 1].rstrip()}…"
