"""What the log says of dead letters: a line for each kind, not one for each of them.

A kind is a reason with its detail. Its first dead letter is told at once, with its place. From then on a line a minute
says how many came and which was the first of them, until none has come for a whole minute.
"""

from dataclasses import dataclass
from typing import Final

from streamer.core.model import DeadLetterReason, Record

MAX_KINDS: Final = 100
"""Most kinds of one integration that are told apart; all further ones with the same reason are one kind."""

OTHER_DETAILS: Final = "too many different details to tell them apart here; see the headers of the dead letters"


@dataclass(slots=True, kw_only=True)
class Told:
    """One line: dead letters of one kind, by their first one."""

    reason: DeadLetterReason
    detail: str
    topic: str
    partition: int
    offset: int
    dead_letter_topic: str
    message_id: str | None
    was_sent: bool
    """Whether their calls were sent, and refused. Else they were rejected before."""
    records: int = 1


class Tally:
    """Counts the dead letters of one integration."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[DeadLetterReason, str], Told | None] = {}
        """What came since the last line of each kind."""

    def note(
        self,
        record: Record,
        reason: DeadLetterReason,
        detail: str,
        *,
        dead_letter_topic: str,
        message_id: str | None,
        was_sent: bool,
    ) -> Told | None:
        """Count one dead letter that was written; returns what to tell at once, which it is part of."""
        if (reason, detail) not in self._kinds and len(self._kinds) >= MAX_KINDS:
            detail = OTHER_DETAILS
        kind = reason, detail
        untold = self._kinds.get(kind)
        if untold is not None:
            untold.records += 1
            return None
        told = Told(
            reason=reason,
            detail=detail,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            dead_letter_topic=dead_letter_topic,
            message_id=message_id,
            was_sent=was_sent,
        )
        if kind in self._kinds:
            self._kinds[kind] = told
            return None
        self._kinds[kind] = None
        return told

    def take(self) -> list[Told]:
        """What came since this was last called and was not told at once. A kind of which nothing came is new again."""
        untold = {kind: told for kind, told in self._kinds.items() if told is not None}
        self._kinds = dict.fromkeys(untold)
        return list(untold.values())
