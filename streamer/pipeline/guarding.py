"""What the mass guard sees of one integration: a guard for each stage, and what the next pipeline must know of them."""

from collections.abc import Sequence
from typing import Final

from streamer.core.dead_letters.guard import WINDOW, MassGuard
from streamer.core.dead_letters.letter import printable
from streamer.core.model import DeadLetterReason, Record
from streamer.core.records.pending_letter import PendingLetter
from streamer.logs import Event, logger
from streamer.pipeline.guard_memory import GuardMemory

_MAPPING: Final = "mapping"
_DELIVERY: Final = "delivery"
"""Names of the two stages in the memory of the guard."""


class Guarding:
    """The guards of the two stages, mapping and delivery."""

    def __init__(self, max_ratio: float, memory: GuardMemory) -> None:
        """Go on where the guards of the last pipeline were.

        Args:
            max_ratio: of `MassGuard`, for each stage.
            memory: keeps what the guards have seen for the next pipeline.
        """
        self._memory = memory
        self._mapping = MassGuard(max_ratio, memory.window(_MAPPING))
        self._delivery = MassGuard(max_ratio, memory.window(_DELIVERY))
        self._to_remember = 0
        """How many records the guards have seen since the last note, if any of them matters to the next pipeline."""
        self.mapped = 0
        """Records that were mapped or settled before, those set aside included."""
        self.answered = 0
        """Calls that the destination accepted or that were set aside, those known from receipts included."""

    def note_mapped(self, records: int) -> None:
        """Note records that became calls or were filtered."""
        self.mapped += records
        self._mapping.passed(records)
        self._note_passed(self._mapping, records)

    def note_read_again(self, records: Sequence[Record]) -> None:
        """Note records of which an earlier assignment has settled some, and set some aside."""
        self.note_mapped(sum(not self._mapping.knows(record) for record in records))

    def note_delivered(self, records: int) -> None:
        """Note calls that the destination accepted, now or earlier."""
        self.answered += records
        self._delivery.passed(records)
        self._note_passed(self._delivery, records)

    def note_letters(self, letters: Sequence[PendingLetter], among: Sequence[Record] = ()) -> tuple[int, int] | None:
        """Note records of one stage that are about to be set aside.

        Args:
            letters: for these records.
            among: all records that were mapped or settled together with them, in their order. The guard needs the
                order: the bad ones of one read, noted after the others, would look like a surge.

        Returns:
            If they trip the guard: how many records were set aside, and of how many.
        """
        if letters[0].opened is None:
            guard = self._mapping
            self.mapped += len(among or letters)
        else:
            guard = self._delivery
            self.answered += len(letters)
        counted = [letter for letter in letters if _is_counted(letter)]
        if among:
            _note_in_order(guard, {letter.record.offset for letter in counted}, among)
        else:
            for letter in counted:
                if letter.opened is not None:
                    # They were noted when they were read, long before the answers to the calls between them.
                    guard.passed(letter.opened.known_before)
                guard.set_aside(letter.record)
        self._to_remember += len(among or counted)
        return guard.evidence if counted else None

    def pardon(self) -> None:
        """Count anew, without what was set aside so far: an operator has let the integration run again."""
        self._mapping.pardon()
        self._delivery.pardon()
        self.remember()

    def remember(self) -> None:
        """Note for the next pipeline what the guards have seen."""
        self._to_remember = 0
        self._memory.note({_MAPPING: self._mapping.to_json(), _DELIVERY: self._delivery.to_json()})

    def remember_news(self) -> None:
        """The same, if they have seen something that matters; call it before dead letters are written."""
        if self._to_remember:
            self.remember()

    def _note_passed(self, guard: MassGuard, records: int) -> None:
        """Let the next pipeline know of records that passed after some were set aside, now and then."""
        if self._to_remember or guard.bad:
            self._to_remember += records
            if self._to_remember >= WINDOW:
                self.remember()


def _note_in_order(guard: MassGuard, bad_offsets: set[int], records: Sequence[Record]) -> None:
    for record in records:
        if record.offset in bad_offsets:
            guard.set_aside(record)
        elif not guard.knows(record):
            guard.passed(1)


def _is_counted(letter: PendingLetter) -> bool:
    """Whether a dead letter is one more sign that the fault is not in the records."""
    # Any number of equal calls are one fault. Retries that ran out say something about the destination as well, and
    # come hours after everything else. Damaged bytes say something about a disk, and come a whole batch at a time.
    is_of_others = letter.shares_verdict or letter.is_unreadable
    return not is_of_others and letter.reason is not DeadLetterReason.RETRIES_EXHAUSTED


def tell_stopped(integration: str, bad: int, seen: int, last: PendingLetter) -> None:
    """Log that the mass guard has just stopped an integration.

    Args:
        integration: its name.
        bad: how many of the last records were set aside.
        seen: of how many.
        last: the last one of them: when all came at once, none was written and logged by itself.
    """
    logger().emit(
        Event.INTEGRATION_GUARDED,
        integration=integration,
        set_aside=bad,
        seen=seen,
        reason=last.reason,
        detail=printable(last.detail),
        next_step="No record is lost: they stay on Kafka. reason and detail say what is wrong with the last one; most "
        f"often the topic has another dialect. Correct the configuration, or run streamer resume {integration} when the"
        " producer is corrected, or set dead_letters.max_ratio: 1 to go on.",
    )


def tell_still_stopped(integration: str) -> None:
    """Log that it stopped this very configuration before the restart."""
    logger().emit(
        Event.INTEGRATION_GUARDED,
        integration=integration,
        next_step="The mass guard stopped this integration before the restart; configuration and version are still "
        f"the same. Correct the configuration, run streamer resume {integration}, or set dead_letters.max_ratio: 1 to"
        " go on.",
    )
