"""What is shown of dead letters: the latest ones, and those for which the mass guard has stopped the integration."""

from collections import Counter
from collections.abc import Iterable

from streamer.core.dead_letters.letter import printable
from streamer.core.records.pending_letter import PendingLetter
from streamer.status import GuardEvidence, RecentLetter


def recent_letter(letter: PendingLetter, at: float) -> RecentLetter:
    """What is shown of a dead letter that was confirmed ``at`` a moment, in seconds since the epoch."""
    record, message_id = letter.record, letter.message_id
    return RecentLetter(
        at,
        record.topic,
        record.partition,
        record.offset,
        letter.reason.value,
        printable(letter.detail),
        None if message_id is None else printable(message_id),
    )


def guard_evidence(set_aside: int, seen: int, letters: Iterable[PendingLetter]) -> GuardEvidence:
    """Why the mass guard stops the integration.

    Args:
        set_aside: records that would become dead letters.
        seen: of how many.
        letters: those that were not written because of it.
    """
    kinds = Counter((letter.reason, letter.detail) for letter in letters)
    kind = max(kinds, key=lambda kind: kinds[kind], default=None)
    reason, detail = ("", "") if kind is None else (kind[0].value, printable(kind[1]))
    return GuardEvidence(set_aside, seen, reason, detail)
