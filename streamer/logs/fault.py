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
    """One line about a fault, kept for whoever reads the status later."""

    at: float
    """Seconds since the epoch."""
    event_name: str
    subject: str
    """The integration or destination; "" when it is about neither."""
    reason: str
    """What went wrong: an error's type, a reason from a closed list, or a text without values."""
    next_step: str
