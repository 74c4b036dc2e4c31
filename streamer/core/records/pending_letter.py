"""A dead letter that the broker has not confirmed yet; until then its record stays open."""

from dataclasses import dataclass, field

from streamer.core.model import DeadLetterReason, Record, Stage
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.unreadable_record import UnreadableRecord


@dataclass(slots=True, kw_only=True, eq=False)
class PendingLetter:
    """A record that is to be set aside, and why. Compared by identity: two of them are never the same."""

    record: Record = field(repr=False)
    """Left out of the representation, which may end up in a log: the client's record shows key and value."""
    ledger: PartitionLedger = field(repr=False)
    reason: DeadLetterReason
    stage: Stage
    detail: str
    """For the record's producer; quotes no value."""
    error_class: str
    opened: OpenRecord | None = field(default=None, repr=False)
    """Set when the record had become a call: then others may wait for its messageId."""
    http_status: int | None = None
    unclear_refusals: int = 0
    """How often the broker refused it with an answer that may mean a fault of the broker or of the dead letter."""

    @property
    def is_unreadable(self) -> bool:
        """Whether nobody can read the record: the bytes are damaged, whatever the configuration says."""
        return isinstance(self.record, UnreadableRecord)

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory kept for the record."""
        return self.opened.kept_bytes if self.opened is not None else len(self.record.value or b"")
