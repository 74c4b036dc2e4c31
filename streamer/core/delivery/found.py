"""Where an open record is, for whoever looks for it by its messageId."""

import enum
from typing import NamedTuple

from streamer.core.records.open_record import OpenRecord


class OpenStage(enum.StrEnum):
    """Where an open record is. The list is complete."""

    WAITING = "waiting"
    """For its batch, or for its turn to be sent."""
    IN_REQUEST = "in_request"
    """On its way to the destination."""
    PARKED = "parked"
    """It failed and waits for its next attempt."""
    ATTACHED = "attached"
    """It waits for the end of another record with the same messageId."""
    DEAD_LETTERING = "dead_lettering"
    """Its dead letter is not confirmed yet."""


class Found(NamedTuple):
    """One open record."""

    record: OpenRecord
    stage: OpenStage
    due: float | None
    """When a parked one is sent again, in monotonic seconds."""

    @property
    def last_error(self) -> str:
        """The answer to the last attempt that was charged in this assignment; empty: there was none."""
        charges = self.record.charges
        return charges[-1].error if charges else ""
