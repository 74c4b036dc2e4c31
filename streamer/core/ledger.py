"""Which records of one assigned partition are open, and which position may be committed.

One ledger lives exactly as long as one assignment of its partition. It follows the records it was shown and never
counts
offsets: holes (compaction, transaction markers) need no handling, because an offset that never arrived is never open. A
    batch
holds the ledgers its records were opened in; once a ledger is fenced, a late answer cannot settle anything in it.
"""

from collections import deque
from collections.abc import Sequence

from streamer.core.account import Account
from streamer.core.destination import Attempt
from streamer.core.model import DeadLetterReason, FilterReason, MessageId, Record


class PartitionLedger:
    """The open records of one assignment of one partition; all methods are O(1) per record."""

    def __init__(self, topic: str, partition: int, position: int, account: Account, *, trusts_receipts: bool) -> None:
        """Begin an assignment.

        Args:
            topic: the topic of the partition.
            partition: its number.
            position: the offset of the first record that may arrive.
            account: the counters of the partition; they outlive the assignment.
            trusts_receipts: False when the stored position is not of our making (none, or an operator's): then a
                receipt of the same record does not prove that nobody wants it again.
        """
        self.topic = topic
        self.partition = partition
        self.account = account
        self.trusts_receipts = trusts_receipts
        self.is_fenced = False
        self.committed: int | None = None
        """The position last stored by the broker; None until known."""
        self._next = position
        self._opened: deque[int] = deque()
        self._open: set[int] = set()
        self._marks: deque[tuple[int, int]] = deque()
        self._last_timestamp: int | None = None

    @property
    def position(self) -> int:
        """The position to commit: every record below it has its outcome."""
        opened, still_open = self._opened, self._open
        while opened and opened[0] not in still_open:
            opened.popleft()
        return opened[0] if opened else self._next

    @property
    def next_offset(self) -> int:
        """The lowest offset that may still arrive."""
        return self._next

    @property
    def open_records(self) -> int:
        """Records read and not settled."""
        return len(self._open)

    def oldest_waiting_timestamp(self, high_watermark: int | None) -> int | None:
        """Broker's time of about the oldest record that is not settled, in ms since the epoch; None: nothing waits.

        At most one read early for an open record; for records that wait on Kafka unread, that of the last one read.
        """
        if not self._open:
            return self._last_timestamp if high_watermark is not None and high_watermark > self._next else None
        position, marks = self.position, self._marks
        while len(marks) > 1 and marks[1][0] <= position:
            marks.popleft()
        return marks[0][1]

    def open(self, records: Sequence[Record], value_bytes: int) -> None:
        """Take records of one read, in ascending order; ``value_bytes`` is the sum of their values' lengths."""
        offsets = [record.offset for record in records]
        assert offsets[0] >= self._next, f"offset {offsets[0]} arrived after {self._next - 1}"
        self._next = offsets[-1] + 1
        self._opened.extend(offsets)
        self._open.update(offsets)
        self._marks.append((offsets[0], records[0].timestamp))
        self._last_timestamp = records[-1].timestamp
        self.account.consumed += len(offsets)
        self.account.consumed_bytes += value_bytes

    def advance(self, position: int) -> None:
        """Note that nothing will arrive below ``position``: markers and aborted batches are no records."""
        self._next = max(self._next, position)

    def deliver(self, offsets: Sequence[int]) -> None:
        """Settle as delivered. KeyError when one of them is not open: settled twice, or never opened."""
        for offset in offsets:
            self._open.remove(offset)
        self.account.delivered += len(offsets)

    def duplicate(self, offset: int) -> None:
        """Settle as a duplicate of a delivered record."""
        self._open.remove(offset)
        self.account.duplicate += 1

    def filter(self, offset: int, reason: FilterReason) -> None:
        """Settle as filtered by a named rule."""
        self._open.remove(offset)
        self.account.filtered[reason] += 1

    def dead_letter(self, offset: int, reason: DeadLetterReason) -> None:
        """Settle as dead-lettered; only after the broker has confirmed the dead letter."""
        self._open.remove(offset)
        self.account.dead_lettered[reason] += 1

    def fence(self) -> int:
        """End the assignment: what is open is handed back, to be consumed again by whoever gets the partition next.

        Returns:
            How many records were open.
        """
        assert not self.is_fenced, "an assignment ends once"
        self.is_fenced = True
        handed_back = len(self._open)
        self.account.handed_back += handed_back
        self._open.clear()
        self._opened.clear()
        return handed_back


class OpenRecord:
    """A record on its way: what was read, the call made from it, and what has happened to it.

    One object per record on the hot path, therefore slotted, positional and mutable.
    """

    __slots__ = ("attached", "body", "charges", "failures", "first_failed_at", "ledger", "message_id", "record", "size")

    def __init__(self, record: Record, ledger: PartitionLedger, message_id: str, body: bytes) -> None:
        self.record = record
        self.ledger = ledger
        self.message_id = MessageId(message_id)
        self.body = body
        self.size = len(body)
        """Bytes of the serialised call."""
        self.failures = 0
        """Requests that carried it and did not end well, charged or not."""
        self.charges: list[Attempt] | None = None
        """Failed attempts charged to the event; a refunded one does not count."""
        self.first_failed_at: float | None = None
        """Epoch seconds of the first charged failure."""
        self.attached: list[OpenRecord] | None = None
        """Records with the same messageId that wait for this one's end."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record."""
        record = self.record
        return record.topic, record.partition, record.offset

    @property
    def attempts(self) -> int:
        """Failed attempts that count against the event."""
        return sum(not attempt.is_refunded for attempt in self.charges or ())

    @property
    def held_bytes(self) -> int:
        """Bytes kept in memory for it: the record's value (for a dead letter) and its call."""
        value = self.record.value
        return self.size + (len(value) if value is not None else 0)
