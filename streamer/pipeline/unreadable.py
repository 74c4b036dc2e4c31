"""Records that nobody can read end as dead letters without a value: with their place, and what is wrong with them."""

from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.pending_letter import PendingLetter
from streamer.core.records.unreadable_record import UnreadableRecord
from streamer.pipeline.dead_letters import DeadLetters


def set_aside(
    ledger: PartitionLedger, end: int, detail: str, timestamp: int, *, custody: Custody, dead_letters: DeadLetters
) -> None:
    """Set every offset from the next one to ``end`` aside.

    Args:
        ledger: of the partition.
        end: the first offset that may be readable.
        detail: what is wrong.
        timestamp: of the records, in milliseconds since the epoch; -1: not known.
        custody: keeps the records until they have ended.
        dead_letters: writes their dead letters.
    """
    records = [
        UnreadableRecord(ledger.topic, ledger.partition, offset, timestamp) for offset in range(ledger.next_offset, end)
    ]
    letters = [
        PendingLetter(
            record=record,
            ledger=ledger,
            reason=DeadLetterReason.DECODE_ERROR,
            stage=Stage.DECODE,
            detail=detail,
            error_class="UnreadableRecord",
        )
        for record in custody.open(records, ledger)
    ]
    custody.take([], letters, ledger)
    dead_letters.add(letters)
