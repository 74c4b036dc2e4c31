"""The outputs in docs/questions.md: with STREAMER_TRANSCRIPTS=1 they are taken from the run of these tests.

A block of the page begins with the line ``<!-- answer: NAME -->`` and a fence. What stands in the fence is replaced by
the commands that were typed under that name and what they printed.
"""

import os
import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs/questions.md"
MAX_LINES: Final = 40
"""Longest output on the page; the rest is left out, and the page says so."""

_BLOCK: Final = "<!-- answer: {name} -->\n```\n"
_NAMES: Final = re.compile(r"<!-- answer: ([a-z0-9-]+) -->")


def are_wanted() -> bool:
    """Whether the page is to be written."""
    return os.environ.get("STREAMER_TRANSCRIPTS") == "1"


def names() -> list[str]:
    """The names of the blocks of the page."""
    return _NAMES.findall(PAGE.read_text("utf-8"))


def write(name: str, transcript: str) -> None:
    """Replace a block of the page, if that is wanted."""
    if not are_wanted():
        return
    text = PAGE.read_text("utf-8")
    head, mark, tail = text.partition(_BLOCK.format(name=name))
    assert mark, f"docs/questions.md has no block {name}"
    rest = tail[tail.index("```") :]
    PAGE.write_text(f"{head}{mark}{_shortened(transcript)}{rest}", "utf-8")


def _shortened(transcript: str) -> str:
    lines = transcript.rstrip().splitlines()
    left_out = len(lines) - MAX_LINES
    if left_out > 0:
        lines = [*lines[:MAX_LINES], f"... {left_out} more lines"]
    return "\n".join(line.rstrip() for line in lines) + "\n"
