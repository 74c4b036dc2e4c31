"""Whose fault a log line is about, and what is kept of such lines for the status."""

import enum
from typing import NamedTuple


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
    """Lines about one fault, kept for whoever reads the status later. Lines of one kind and subject are one fault."""

    at: float
    """Of the latest line, in seconds since the epoch."""
    event_name: str
    subject: str
    """The integration or destination; "" when it is about neither."""
    reason: str
    """What went wrong: an error's type, a reason from a closed list, or a text without values."""
    next_step: str
    detail: str = ""
    """That of the latest line."""
    data_at_risk: str = "no"
    first_at: float | None = None
    """Of the first line, in seconds since the epoch; None: this is the only one."""
    lines: int = 1
    """How many lines, those that were folded included."""
