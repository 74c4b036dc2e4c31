"""A log line for people on a terminal.

The order is always the same: time, level, event, subject, reason, whether data is at risk, what to do, and then the
other fields, for a fault with its meaning first. What does not fit in a line is wrapped between words and indented.
"""

import json
import os
import textwrap
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

_SUBJECT: Final = ("integration", "destination", "webhook", "topic", "partition")
_REASON: Final = ("reason", "error_type", "detail")
_ADVICE: Final = ("data_at_risk", "next_step", "runbook")
_FIRST: Final = (*_SUBJECT, *_REASON, *_ADVICE)

_INDENT: Final = 9
"""The width of the time."""

MIN_WIDTH: Final = 40
"""In a narrower terminal, lines are as wide as this."""

_RESET, _BOLD, _DIM, _RED, _YELLOW, _GREEN = "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[33m", "\033[32m"
_COLOURS: Final = {"debug": _DIM, "info": _GREEN, "warning": _YELLOW, "error": _RED}


class Console:
    """The last processor but one: makes text of the fields of a line."""

    def __init__(self, meanings: Mapping[str, str], terminal: int | None, environment: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            meanings: what events mean, by name.
            terminal: the terminal's descriptor; None: it is none, so that lines are neither wrapped nor coloured.
            environment: a variable NO_COLOR that is not empty rules out colours (no-color.org).
        """
        self._meanings = meanings
        self._terminal = terminal
        self._has_colours = terminal is not None and not environment.get("NO_COLOR")

    def __call__(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
        """The text, of as many lines as it needs."""
        level, event = fields.pop("level"), fields.pop("event")
        time = datetime.now(UTC).strftime("%H:%M:%S")
        plain, coloured = (
            f"{time} {level:<7} {event}",
            f"{_DIM}{time}{_RESET} {_colour_of(level)} {_BOLD}{event}{_RESET}",
        )
        meaning = self._meanings.get(event, "") if "fault" in fields else ""
        lines = self._wrapped(" ".join([plain, *_words(fields, meaning)]))
        if self._has_colours and lines[0].startswith(plain):
            lines[0] = coloured + lines[0].removeprefix(plain)
        return "\n".join(lines)

    def _wrapped(self, text: str) -> list[str]:
        if self._terminal is None:
            return [text]
        try:
            width = max(os.get_terminal_size(self._terminal).columns, MIN_WIDTH)
        except OSError:  # it was closed
            return [text]
        return textwrap.wrap(
            text, width, subsequent_indent=" " * _INDENT, break_long_words=False, break_on_hyphens=False
        )


def _colour_of(level: str) -> str:
    return f"{_COLOURS[level]}{level:<7}{_RESET}"


def _words(fields: Mapping[str, Any], meaning: str) -> Iterator[str]:
    for name in _FIRST:
        if name in fields:
            yield _word(name, fields[name])
    if meaning:
        yield _word("meaning", meaning)
    for name, value in fields.items():
        if name not in _FIRST:
            yield _word(name, value)


def _word(name: str, value: object) -> str:
    """``name=value``; a text with spaces is quoted. What could move the cursor or change colours is escaped."""
    text = str(value)
    if not text or '"' in text or " " in text or not text.isprintable():
        text = json.dumps(text, ensure_ascii=not text.isprintable())
    return f"{name}={text}"
