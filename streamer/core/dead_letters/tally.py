"""What the log says of dead letters: a line for each kind, not one for each of them.

A kind is a reason with its detail. Its first dead letter is told at once, with its place. From then on one line after
1, 2, 4 .. 16 minutes says how many came and which was the first of them, until none has come for two minutes.
"""

from dataclasses import dataclass, field
from typing import Final

from streamer.core.model import DeadLetterReason, Record

MAX_DETAILS: Final = 10
"""Most kinds of one reason that are told apart in one integration; all further ones of this reason are one kind."""

OTHER_DETAILS: Final = "too many different details to tell them apart here; see the headers of the dead letters"

MAX_MINUTES: Final = 16
"""Longest time between two lines of a kind."""

QUIET_MINUTES: Final = 2
"""After so long without a dead letter, a kind is new again."""


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
    among: int = 0
    """Records that were mapped in the same time, or, if they were sent, calls that were answered; 0: not known."""


@dataclass(slots=True)
class _Kind:
    """What is not told yet of one kind, and when that is due. Times in minutes."""

    untold: Told | None = None
    interval: int = 1
    passed: int = 0
    """Since its last line."""
    quiet: int = 0
    """Since a dead letter of it came."""
    among: list[int] = field(default_factory=lambda: [0, 0])
    """Records mapped and calls answered since its last line."""


class Tally:
    """Counts the dead letters of one integration."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[DeadLetterReason, str], _Kind] = {}

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
        if (reason, detail) not in self._kinds and sum(known == reason for known, _ in self._kinds) >= MAX_DETAILS:
            detail = OTHER_DETAILS
        kind = self._kinds.get((reason, detail))
        if kind is not None:
            kind.quiet = 0
            if kind.untold is not None:
                kind.untold.records += 1
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
        if kind is not None:
            kind.untold = told
            return None
        self._kinds[reason, detail] = _Kind()
        return told

    def take(self, *, mapped: int, answered: int, is_end: bool = False) -> list[Told]:
        """What is due to be told; call it once a minute, and at the end.

        Args:
            mapped: how many records were mapped since it was last called.
            answered: how many calls were answered since then.
            is_end: whether everything is due.
        """
        for kind in self._kinds.values():
            kind.passed += 1
            kind.quiet += 1
            kind.among[0] += mapped
            kind.among[1] += answered
        return [told for key in list(self._kinds) if (told := self._take_if_due(key, is_end=is_end)) is not None]

    def _take_if_due(self, key: tuple[DeadLetterReason, str], *, is_end: bool) -> Told | None:
        kind = self._kinds[key]
        if is_end or kind.quiet > QUIET_MINUTES:
            del self._kinds[key]
        elif kind.passed < kind.interval:
            return None
        told, kind.untold = kind.untold, None
        if told is not None:
            # What was set aside at the end of the time before may be written in this one.
            told.among = max(kind.among[told.was_sent], told.records)
            kind.interval = min(kind.interval * 2, MAX_MINUTES)
        kind.passed, kind.among = 0, [0, 0]
        return told
