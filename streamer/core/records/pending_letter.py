"""A dead letter that the broker has not confirmed yet; until then its record stays open."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streamer.core.model import DeadLetterReason, Record, Stage
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.unreadable_record import UnreadableRecord

SHARED_VERDICT: Final = "not sent, because an earlier record made the same call: "
"""Begins the detail of a record whose call was the same as one that was refused before."""


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
    native_id: str | None = None
    """The messageId of a record that became no call, as far as it can be read: it may be what is wrong."""
    shares_verdict: bool = False
    """Whether its call was not sent, because another record's call, the same byte by byte, had this verdict."""
    unclear_refusals: int = 0
    """How often the broker refused it with an answer that may mean a fault of the broker or of the dead letter."""

    @property
    def is_unreadable(self) -> bool:
        """Whether nobody can read the record: the bytes are damaged, whatever the configuration says."""
        return isinstance(self.record, UnreadableRecord)

    @property
    def message_id(self) -> str | None:
        """The messageId of the call, or the one that the record would have; None: it has none that can be read."""
        return self.opened.message_id if self.opened is not None else self.native_id

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory kept for the record."""
        return self.opened.kept_bytes if self.opened is not None else len(self.record.value or b"")

    def shared_by(self, equal: Iterable[OpenRecord]) -> list["PendingLetter"]:
        """The dead letters of records whose calls are the same byte by byte, and therefore need no request."""
        told = "" if self.shares_verdict else SHARED_VERDICT
        detail = told + self.detail
        return [
            PendingLetter(
                record=record.record,
                ledger=record.ledger,
                reason=self.reason,
                stage=self.stage,
                detail=detail,
                error_class=self.error_class,
                opened=record,
                http_status=self.http_status,
                shares_verdict=True,
            )
            for record in equal
        ]
