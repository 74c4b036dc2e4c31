"""What can happen to a store of receipts."""

import enum
from typing import NamedTuple


class ProblemKind(enum.StrEnum):
    """What can happen to a store. None of these loses or delays an event."""

    POWER_LOST = "power_lost"
    """Set aside: it was not closed before the machine went down."""
    UNREADABLE = "unreadable"
    """Set aside: damaged, not a file of receipts, or of another version."""
    OTHER_DESTINATION = "other_destination"
    """Set aside: URL, write key or ``message_id_suffix`` of the destination have changed."""
    FULL = "full"
    """Receipts were deleted early (all of them if ``max_bytes`` was lowered), so the window is shorter."""
    UNUSABLE = "unusable"
    """Not used until the next start: no receipt is stored or found."""


class Problem(NamedTuple):
    """One thing that happened to a store, for the log."""

    kind: ProblemKind
    detail: str
