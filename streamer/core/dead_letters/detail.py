"""The error texts of dead letters: as patterns that people type, and without what differs from record to record."""

import re
from typing import Final

from streamer.core.records.pending_letter import SHARED_VERDICT

MAX_DETAIL_CHARACTERS: Final = 1_000
"""A longer detail was not written by streamer; the rest is not looked at."""

_INDEX: Final = re.compile(r"(?<=/)[0-9]+(?=[/:])")
"""A step of a JSON Pointer that is a place in a list."""
_COUNTS: Final = (
    (re.compile(r"; and [0-9]+ more(?= \(|$)"), ""),
    (re.compile(r"\ba string of [0-9]+ characters"), "a string of * characters"),
    (re.compile(r"\b(line|column|byte) [0-9]+"), r"\1 *"),
    (re.compile(r"\b[0-9]+ bytes"), "* bytes"),
)


def alike(detail: str) -> str:
    """A detail without what differs between records with the same fault, for counting them together.

    Indexes of lists and figures become ``*``: ``/answers/3/rank: ...`` is ``/answers/*/rank: ...``. Faults that are the
    same then are named once. `matches` accepts the text as a pattern for all details that it stands for.
    """
    text = detail[:MAX_DETAIL_CHARACTERS].removeprefix(SHARED_VERDICT)
    for pattern, replacement in _COUNTS:
        text = pattern.sub(replacement, text)
    text = _INDEX.sub("*", text)
    faults, schema = _split(text)
    return "; ".join(dict.fromkeys(faults.split("; "))) + schema


def pattern_of(glob: str) -> re.Pattern[str]:
    """The pattern that people type: ``*`` stands for any text, everything else for itself."""
    return re.compile(".*".join(map(re.escape, glob.split("*"))), re.DOTALL)


def matches(pattern: re.Pattern[str], detail: str) -> bool:
    """Whether a pattern of `pattern_of` matches a whole detail, as it is written or as it is counted (`alike`)."""
    detail = detail[:MAX_DETAIL_CHARACTERS]
    return bool(pattern.fullmatch(detail) or pattern.fullmatch(alike(detail)))


def _split(text: str) -> tuple[str, str]:
    """The faults, and the name of the schema behind them, if there is one."""
    begin = text.rfind(" (")
    return (text[:begin], text[begin:]) if begin > 0 and text.endswith(".schema.json)") else (text, "")
