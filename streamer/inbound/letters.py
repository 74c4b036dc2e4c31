"""Dead letters of calls."""

from streamer.core.inbound.call import Rejected
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.pending_letter import PendingLetter
from streamer.inbound.slices import Taken
from streamer.inbound.tally import OTHER_TYPE, Tally
from streamer.logs import place_of


class Letters:
    """The dead letters of one pipeline that are not confirmed, with what is counted once they are."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._types: dict[PendingLetter, str] = {}

    def for_rejected(self, taken: Taken, rejected: Rejected) -> PendingLetter:
        """Of a call that nobody can apply."""
        letter = PendingLetter(
            record=taken.record,
            ledger=taken.ledger,
            reason=rejected.reason,
            stage=rejected.stage,
            detail=rejected.detail,
            error_class="Rejected",
            native_id=rejected.message_id,
        )
        self._types[letter] = rejected.type_label
        return letter

    def for_bug(self, taken: Taken, error: Exception) -> PendingLetter:
        """Of a call that we failed on. The error's text may quote it; type and place are what a developer needs."""
        letter = PendingLetter(
            record=taken.record,
            ledger=taken.ledger,
            reason=DeadLetterReason.INTERNAL_ERROR,
            stage=Stage.APPLY,
            detail=f"a bug in streamer, not in the call: {type(error).__name__} at {place_of(error)}",
            error_class=type(error).__name__,
            native_id=None if taken.call is None else taken.call.message_id,
        )
        self._types[letter] = OTHER_TYPE if taken.call is None else taken.call.type_label
        return letter

    def confirmed(self, letter: PendingLetter) -> None:
        """Count one that ends its record. Records that nobody can read were set aside before they came here."""
        type_label = self._types.pop(letter, OTHER_TYPE)
        self._tally.note_dead_lettered(letter.record.partition, type_label, letter.reason)

    def drop_fenced(self) -> None:
        """Forget those whose assignment has ended."""
        self._types = {letter: label for letter, label in self._types.items() if not letter.ledger.is_fenced}
