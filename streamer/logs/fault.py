"""Whose fault a log line is about, and what is kept of such lines for the status."""

import enum
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_LAST_FAULTS: Final = 20
"""Faults that are kept."""


class Fault(enum.StrEnum):
    """Whose fault a line is about."""

    UNHAPPY = "unhappy"
    """The destination's; it passes without help."""
    SET_UP = "set_up"
    """The configuration's, or that of something else that only an operator can correct."""
    REFUSED = "refused"
    """The event's: no attempt will make it acceptable."""
    OURS = "ours"
    """A bug in streamer."""
    KAFKA = "kafka"
    """The brokers', or that of the network between them and streamer."""


class FaultLine(NamedTuple):
    """Lines about one fault, kept for whoever reads the status later."""

    at: float
    """Of the latest line, in seconds since the epoch."""
    event_name: str
    subject: str
    """The integration, destination or webhook; "" when it is about none."""
    reason: str
    """What went wrong: an error's type or a reason from a closed list; "" where only ``detail`` says it."""
    next_step: str
    detail: str = ""
    """What exactly happened, a text without values; that of the latest line."""
    data_at_risk: str = "no"
    first_at: float | None = None
    """Of the first line, in seconds since the epoch; None: this is the only one."""
    lines: int = 1
    """How many lines, those that were folded included."""


class LastFaults:
    """The latest faults, the newest last. Lines of one kind, subject and reason are one fault."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, ...], FaultLine] = {}

    def __iter__(self) -> Iterator[FaultLine]:
        return iter(self._faults.values())

    def note(self, line: FaultLine) -> None:
        """Add a line; that of a known fault makes this fault the newest one."""
        key = line.event_name, line.subject, line.reason
        before = self._faults.pop(key, None)
        if before is not None:
            first_at = before.at if before.first_at is None else before.first_at
            line = line._replace(first_at=first_at, lines=before.lines + 1)
        elif len(self._faults) == MAX_LAST_FAULTS:
            del self._faults[next(iter(self._faults))]
        self._faults[key] = line
