"""Which records of one assigned partition are open, and what may be committed.

One ledger lives exactly as long as one assignment of its partition. It follows the records it was shown and never
counts offsets: holes (compaction, transaction markers) need no handling, because an offset that never arrived is never
open. A batch holds the ledgers its records were opened in; once a ledger is fenced, a late answer cannot settle
anything in it.

A ledger may begin with what the previous owner of the partition stated about the records from its position on
(`statement.py`). It relies on the statement only after the record at the position has arrived with the fingerprint in
it; then it leaves out what is stated as settled, and hands on in its own statements what it has not read again yet.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from streamer.core.delivery.destination import Attempt
from streamer.core.model import DeadLetterReason, FilterReason, Record
from streamer.core.records import statement as statements
from streamer.core.records.account import Account
from streamer.core.records.statement import Run, Statement


class PartitionLedger:
    """The open records of one assignment of one partition; all methods are O(1) per record but `to_commit`."""

    def __init__(
        self,
        topic: str,
        partition: int,
        position: int,
        account: Account,
        *,
        replay_until: int = 0,
        stated: Statement | None = None,
    ) -> None:
        """Begin an assignment.

        Args:
            topic: the topic of the partition.
            partition: its number.
            position: the offset of the first record that may arrive.
            account: the counters of the partition; they outlive the assignment.
            replay_until: below this offset the records are wanted again, because the stored position was not of our
                making (none, or an operator's): a receipt of the same record does not stop it.
            stated: what was stored with the position; of use only if that is where this assignment begins.
        """
        self.topic = topic
        self.partition = partition
        self.account = account
        self.is_fenced = False
        self._replay_until = replay_until
        self.committed: int | None = None
        """The position last stored by the broker; None until known."""
        self.charged: dict[int, OpenRecord] = {}
        """Records with failed attempts since the assignment began, by offset; settled ones until the next commit."""
        self._next = position
        self._open: dict[int, int] = {}
        """Offset and timestamp of the open records, ascending. Whatever waits, it is no larger than what is open."""
        self._last_read = position
        self._last_timestamp: int | None = None
        self._attempts_before: dict[int, int] = {}
        self._stated: Statement | None = None
        self._is_verified = False
        if stated is not None and stated.fingerprint is not None and stated.position == position:
            self._stated, self._last_timestamp = stated, stated.fingerprint

    @property
    def position(self) -> int:
        """The position to commit: every record below it has its outcome.

        While records follow that an earlier owner has settled and nothing is open, it stays at the last record read,
        so that there is a fingerprint for those who are to rely on the statement.
        """
        if self._open:
            return next(iter(self._open))
        return self._next if self._stated is None else self._last_read

    @property
    def next_offset(self) -> int:
        """The lowest offset that may still arrive."""
        return self._next

    @property
    def open_records(self) -> int:
        """Records read and not settled."""
        return len(self._open)

    def oldest_waiting_timestamp(self, high_watermark: int | None) -> int | None:
        """Broker's time of the oldest record that is not settled, in ms since the epoch; None: nothing waits.

        For records that wait on Kafka unread, that of the last one read.
        """
        if self._open:
            return next(iter(self._open.values()))
        return self._last_timestamp if high_watermark is not None and high_watermark > self._next else None

    def verify(self, first: Record) -> bool:
        """Check the statement against the first record to arrive; later ones are not looked at.

        When the record at the position is gone (compaction, retention), nobody can tell: then the statement is dropped,
        which costs repeats.

        Returns:
            False when another record stands at the position: the topic was recreated, and the position means nothing.
        """
        stated = self._stated
        if stated is None or self._is_verified:
            return True
        is_there = first.offset == stated.position
        self._is_verified = is_there and first.timestamp == stated.fingerprint
        if not self._is_verified:
            self._stated = None
        return self._is_verified or not is_there

    def open(self, records: Sequence[Record], value_bytes: int) -> Sequence[Record]:
        """Take records of one read, in ascending order; ``value_bytes`` is the sum of their values' lengths.

        Returns:
            Those that are open now: all of them, without those that an earlier owner has settled.
        """
        first, last = records[0], records[-1]
        assert first.offset >= self._next, f"offset {first.offset} arrived after {self._next - 1}"
        self.verify(first)
        if self._stated is not None:
            records, value_bytes = self._without_settled(self._stated, records)
        self._next = last.offset + 1
        self._last_read, self._last_timestamp = last.offset, last.timestamp
        self._open.update({record.offset: record.timestamp for record in records})
        self.account.consumed += len(records)
        self.account.consumed_bytes += value_bytes
        self._forget_stated_below_next()
        return records

    def advance(self, position: int) -> None:
        """Note that nothing will arrive below ``position``: markers and aborted batches are no records."""
        if position <= self._next:
            return
        if not self._is_verified:
            self._stated = None
        self._next = position
        self._forget_stated_below_next()

    def trusts_receipts(self, offset: int) -> bool:
        """Whether a receipt of this very record proves that nobody wants it again."""
        return offset >= self._replay_until

    @property
    def knows_attempts(self) -> bool:
        """Whether earlier owners charged attempts to any open record."""
        return bool(self._attempts_before)

    def attempts_before(self, offset: int) -> int:
        """Failed attempts that earlier owners charged to an open record."""
        return self._attempts_before.get(offset, 0)

    def to_commit(self, limit: int = statements.MAX_CHARACTERS) -> tuple[int, str]:
        """The position to commit and its metadata, true at this moment; ``limit`` is the most characters of it."""
        assert not self.is_fenced, "what was open is handed back, and not settled"
        position, stated = self.position, self._stated
        if stated is None:
            fingerprint, horizon = self._open.get(position), self._next
        else:
            fingerprint, horizon = self._open.get(position, self._last_timestamp), max(self._next, stated.horizon)
        return position, statements.encode(
            position, horizon, self._open_runs(), fingerprint, limit, replay_until=self._replay_until
        )

    def deliver(self, offsets: Sequence[int]) -> None:
        """Settle as delivered. KeyError when one of them is not open: settled twice, or never opened."""
        for offset in offsets:
            del self._open[offset]
        self.account.delivered += len(offsets)

    def duplicate(self, offset: int) -> None:
        """Settle as a duplicate of a delivered record."""
        del self._open[offset]
        self.account.duplicate += 1

    def filter(self, offset: int, reason: FilterReason) -> None:
        """Settle as filtered by a named rule."""
        del self._open[offset]
        self.account.filtered[reason] += 1

    def dead_letter(self, offset: int, reason: DeadLetterReason) -> None:
        """Settle as dead-lettered; only after the broker has confirmed the dead letter."""
        del self._open[offset]
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
        self.charged.clear()
        return handed_back

    def _without_settled(self, stated: Statement, records: Sequence[Record]) -> tuple[Sequence[Record], int]:
        """The records that are not stated as settled, and the bytes of their values."""
        still_open = [record for record in records if not stated.is_settled(record.offset)]
        for record in still_open:
            if attempts := stated.attempts(record.offset):
                self._attempts_before[record.offset] = attempts
        self.account.known_settled += len(records) - len(still_open)
        return still_open, sum(len(record.value) for record in still_open if record.value is not None)

    def _forget_stated_below_next(self) -> None:
        if self._stated is not None and self._stated.horizon <= self._next:
            self._stated = None

    def _open_runs(self) -> Iterator[Run]:
        """Every open offset from the position on that we know of, ascending, with its failed attempts."""
        still_open = self._open
        self.charged = {offset: record for offset, record in self.charged.items() if offset in still_open}
        attempts = {offset: number for offset, number in self._attempts_before.items() if offset in still_open}
        attempts |= {offset: record.attempts for offset, record in self.charged.items()}
        runs = statements.runs_of(list(still_open), attempts)
        return runs if self._stated is None else chain(runs, self._stated.open_from(self._next))


class OpenRecord:
    """A record on its way: what was read, the call made from it, and what has happened to it.

    One object per record on the hot path, therefore slotted, positional and mutable.
    """

    __slots__ = (
        "attached",
        "body",
        "charges",
        "digest",
        "failures",
        "first_failed_at",
        "held_bytes",
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
        self.held_bytes = self.size if value is None else self.size + len(value)
        """Bytes kept in memory for it: the record's value (for a dead letter) and its call."""
        self.failures = 0
        """Requests that carried it and did not end well, charged or not."""
        self.charges: list[Attempt] | None = None
        """Failed attempts charged to the event in this assignment; a refunded one does not count."""
        self.first_failed_at: float | None = None
        """Epoch seconds of the first charged failure in this assignment."""
        self.attached: list[OpenRecord] | None = None
        """Records with the same messageId that wait for this one's end."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record."""
        record = self.record
        return record.topic, record.partition, record.offset

    @property
    def attempts(self) -> int:
        """Failed attempts that count against the event, those of earlier owners included."""
        own = sum(not attempt.is_refunded for attempt in self.charges or ())
        return own + self.ledger.attempts_before(self.record.offset)

    def charge(self, attempt: Attempt, failed_at: float) -> None:
        """Count a failed attempt against the event, for the next commit to state; ``failed_at`` in epoch seconds."""
        self.charges = [*(self.charges or ()), attempt]
        self.first_failed_at = self.first_failed_at or failed_at
        self.ledger.charged[self.record.offset] = self
