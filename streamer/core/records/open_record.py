"""A record on its way: what was read, the call made from it, and what has happened to it since."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Protocol

from streamer.core.model import Record
from streamer.core.records.ledger import PartitionLedger


class Charge(Protocol):
    """One failed attempt, as far as the events that it carried know it."""

    @property
    def is_refunded(self) -> bool:
        """Whether the attempt turned out to be the destination's fault, and does not count."""

    @property
    def error(self) -> str:
        """The HTTP status of its answer in digits, or which network fault occurred."""


class OpenRecord:
    """A record that became a call and is not settled.

    One object per record on the hot path, therefore slotted, positional and mutable.
    """

    __slots__ = (
        "attached",
        "body",
        "charges",
        "digest",
        "failures",
        "first_failed_at",
        "kept_bytes",
        "known_before",
        "ledger",
        "message_id",
        "record",
        "size",
    )

    def __init__(
        self, record: Record, ledger: PartitionLedger, message_id: str, body: bytes, digest: bytes = b""
    ) -> None:
        self.record = record
        self.ledger = ledger
        self.message_id = message_id
        self.body = body
        self.digest = digest
        """Stands for the messageId among the receipts; made once, because that is a good part of what they cost."""
        self.size = len(body)
        """Bytes of the serialised call."""
        value = record.value
        self.kept_bytes = self.size if value is None else self.size + len(value)
        """Bytes of memory kept for it: the record's value (for a dead letter) and its call."""
        self.known_before = 0
        """Records right before it that were read with it, and that receipts or an earlier owner know to be settled."""
        self.failures = 0
        """Requests that carried it and were not accepted, charged or not."""
        self.charges: list[Charge] | None = None
        """Failed attempts charged to the event in this assignment; a refunded one does not count."""
        self.first_failed_at: float | None = None
        """Epoch seconds of the first charged failure in this assignment."""
        self.attached: Attached | None = None
        """Records with the same messageId that wait for this one's end."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record."""
        record = self.record
        return record.topic, record.partition, record.offset

    @property
    def attempts(self) -> int:
        """Failed attempts that count against the event, those of earlier owners included."""
        own = sum(not charge.is_refunded for charge in self.charges or ())
        return own + self.ledger.attempts_before(self.record.offset)

    def charge(self, attempt: Charge, failed_at: float) -> None:
        """Count a failed attempt against the event, for the next commit to state; ``failed_at`` in epoch seconds."""
        self.charges = [*(self.charges or ()), attempt]
        self.first_failed_at = self.first_failed_at or failed_at
        self.ledger.charged[self.record.offset] = self


class Attached:
    """Records that wait for the end of another one with the same messageId, in the order of arrival.

    Those with equal calls stand together, so that finding them costs nothing for the others: a producer may give
    one messageId to everything it writes.
    """

    __slots__ = ("_by_body",)

    def __init__(self, first: OpenRecord) -> None:
        self._by_body: OrderedDict[bytes, list[OpenRecord]] = OrderedDict([(first.body, [first])])

    def __bool__(self) -> bool:
        return bool(self._by_body)

    def __iter__(self) -> Iterator[OpenRecord]:
        return chain.from_iterable(self._by_body.values())

    def add(self, record: OpenRecord) -> None:
        """Let one more wait."""
        self._by_body.setdefault(record.body, []).append(record)

    def take_equal(self, body: bytes, limit: int) -> list[OpenRecord]:
        """Remove and return the first records whose call is this one, byte by byte; at most ``limit`` of them."""
        records = self._by_body.get(body, [])
        taken = records[:limit]
        del records[:limit]
        if taken and not records:
            del self._by_body[body]
        return taken

    def take_first(self) -> OpenRecord | None:
        """Remove and return the first record of a living assignment that came; None: there is none."""
        while self._by_body:
            body, records = next(iter(self._by_body.items()))
            fenced = sum(1 for _ in takewhile(lambda record: record.ledger.is_fenced, records))
            first = records[fenced] if fenced < len(records) else None
            del records[: fenced + 1]
            if not records:
                del self._by_body[body]
            if first is not None:
                return first
        return None

    def drop_fenced(self) -> None:
        """Forget records whose assignment has ended."""
        for body, records in list(self._by_body.items()):
            living = [record for record in records if not record.ledger.is_fenced]
            if living:
                self._by_body[body] = living
            else:
                del self._by_body[body]
