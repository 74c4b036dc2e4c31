"""Which records of one assigned partition are open, and what may be committed.

One ledger lives exactly as long as one assignment of its partition. A batch holds the ledgers its records were opened
in; once a ledger is fenced, a late answer cannot settle anything in it.

A ledger joins four things: the open offsets (`Offsets`), the counters of the partition (`Account`), what the earlier
owner stated (`Resumption`), and the fence.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import Final, Protocol

from streamer.core.model import DeadLetterReason, Record
from streamer.core.records import statement as statements
from streamer.core.records.account import Account
from streamer.core.records.offsets import Offsets
from streamer.core.records.resumption import Resumption
from streamer.core.records.statement import Run, Statement
from streamer.core.records.window import NO_END


class Charged(Protocol):
    """A record with failed attempts."""

    @property
    def attempts(self) -> int:
        """How many count against it, those of earlier owners included."""


class PartitionLedger:
    """The records of one assignment of one partition; all methods but `to_commit` cost O(1) per record."""

    def __init__(
        self,
        topic: str,
        partition: int,
        position: int,
        account: Account,
        *,
        replay_until: int = 0,
        replay_id: int = 0,
        stated: Statement | None = None,
        until: int = NO_END,
    ) -> None:
        """Begin an assignment.

        Args:
            topic: the topic of the partition.
            partition: its number.
            position: the offset of the first record that may arrive.
            account: the counters of the partition; they outlive the assignment.
            replay_until: below this offset the records are wanted again, because the stored position was not made by
                streamer (there was none, or an operator set it): an older receipt of the same record does not stop it.
            replay_id: names that replay; receipts that carry it were written since it began. 0: it has no name.
            stated: what was stored with the position; of use only if that is where this assignment begins.
            until: nothing is read from this offset on; at least ``position``.
        """
        self.topic = topic
        self.partition = partition
        self.account = account
        self.until: Final = until
        self.is_fenced = False
        self.committed: int | None = None
        """The position last stored by the broker; None until known."""
        self.charged: dict[int, Charged] = {}
        """Records with failed attempts since the assignment began, by offset; settled ones until the next commit."""
        self._offsets = Offsets(position)
        self._resumption = Resumption(stated, position)
        self.replay_id = replay_id
        self._replay_until = replay_until
        self._last_read = position
        self._last_timestamp = self._resumption.fingerprint

    @property
    def position(self) -> int:
        """The position to commit: every record below it has its outcome.

        While nothing is open and records follow that an earlier owner has settled, it stays at the last record read:
        a statement needs the fingerprint of the record at its position.
        """
        offsets = self._offsets
        return offsets.position if offsets.open or self._resumption.statement is None else self._last_read

    @property
    def next_offset(self) -> int:
        """The lowest offset that may still arrive."""
        return self._offsets.next

    @property
    def is_read(self) -> bool:
        """Whether everything that is to be read has been read."""
        return self._offsets.next >= self.until

    @property
    def is_over(self) -> bool:
        """Whether everything that is to be read has its outcome, and the broker has stored that."""
        return self.is_read and not self._offsets.open and self.committed is not None and self.committed >= self.until

    @property
    def open_records(self) -> int:
        """Records read and not settled."""
        return len(self._offsets.open)

    def is_open(self, offset: int) -> bool:
        """Whether the record at ``offset`` was read and not settled."""
        return offset in self._offsets.open

    def oldest_waiting_timestamp(self, high_watermark: int | None, next_timestamp: int | None = None) -> int | None:
        """Broker's time of the oldest record that is not settled, in ms since the epoch; None: nothing waits.

        Args:
            high_watermark: the end of the partition; None: not known.
            next_timestamp: the time of the record at `next_offset`; without it, that of the last record read is taken.
        """
        if self._offsets.open:
            return next(iter(self._offsets.open.values()))
        is_behind = high_watermark is not None and high_watermark > self._offsets.next
        if not is_behind:
            return None
        return self._last_timestamp if next_timestamp is None else next_timestamp

    def verify(self, first: Record) -> bool:
        """Check what the earlier owner stated against the first record; False: the topic was recreated."""
        return self._resumption.verify(first)

    def within(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those of one read, in ascending order, that are to be read: nearly always all of them."""
        if records[-1].offset < self.until:
            return records
        return [record for record in records if record.offset < self.until]

    def open(self, records: Sequence[Record], value_bytes: int) -> Sequence[Record]:
        """Take records of one read, in ascending order; ``value_bytes`` is the sum of their values' lengths.

        Returns:
            Those that are open now: all of them, without those that an earlier owner has settled.
        """
        first, last = records[0], records[-1]
        assert first.offset >= self._offsets.next, f"offset {first.offset} arrived after {self._offsets.next - 1}"
        self._resumption.verify(first)
        still_open = self._resumption.without_settled(records)
        if still_open is not records:
            self.account.known_settled += len(records) - len(still_open)
            value_bytes = sum(len(record.value) for record in still_open if record.value is not None)
        self._last_read, self._last_timestamp = last.offset, last.timestamp
        self._offsets.add(still_open, last.offset + 1)
        self.account.consumed += len(still_open)
        self.account.consumed_bytes += value_bytes
        self._resumption.forget_below(self._offsets.next)
        return still_open

    def advance(self, position: int) -> None:
        """Note that nothing will arrive below ``position``: markers and aborted batches are no records."""
        position = min(position, self.until)
        if position <= self._offsets.next:
            return
        self._resumption.skip_unread()
        self._offsets.next = position
        self._resumption.forget_below(position)

    def trusts_receipt(self, offset: int, replay_id: int) -> bool:
        """Whether a receipt of this very record proves that nobody wants it again.

        In a replay only one that was written in the same replay does. Its name says so, and not its time: a clock that
        was set back would make old receipts look new.
        """
        return offset >= self._replay_until or 0 != replay_id == self.replay_id

    @property
    def knows_attempts(self) -> bool:
        """Whether earlier owners charged attempts to any open record."""
        return bool(self._resumption.attempts)

    def attempts_before(self, offset: int) -> int:
        """Failed attempts that earlier owners charged to an open record."""
        return self._resumption.attempts.get(offset, 0)

    def to_commit(self, limit: int = statements.MAX_CHARACTERS) -> tuple[int, str]:
        """The position to commit and its metadata, true at this moment; ``limit`` is the most characters of it."""
        assert not self.is_fenced, "what was open is handed back, and not settled"
        position, still_open, stated = self.position, self._offsets.open, self._resumption.statement
        if stated is None:
            fingerprint, horizon = still_open.get(position), self._offsets.next
        else:
            fingerprint = still_open.get(position, self._last_timestamp)
            horizon = max(self._offsets.next, stated.horizon)
        return position, statements.encode(
            position,
            horizon,
            self._open_runs(),
            fingerprint,
            limit,
            replay_until=self._replay_until,
            replay_id=self.replay_id,
        )

    def deliver(self, offsets: Sequence[int]) -> None:
        """Settle as delivered. KeyError when one of them is not open: settled twice, or never opened."""
        self._offsets.settle(offsets)
        self.account.delivered += len(offsets)

    def duplicate(self, offset: int) -> None:
        """Settle as a duplicate of a delivered record."""
        self._offsets.settle((offset,))
        self.account.duplicate += 1

    def filter(self, offset: int, reason: StrEnum) -> None:
        """Settle as filtered by a named rule, one of a closed list."""
        self._offsets.settle((offset,))
        self.account.filtered[reason] += 1

    def dead_letter(self, offset: int, reason: DeadLetterReason) -> None:
        """Settle as dead-lettered; only after the broker has confirmed the dead letter."""
        self._offsets.settle((offset,))
        self.account.dead_lettered[reason] += 1

    def fence(self) -> int:
        """End the assignment: what is open is handed back, to be consumed again by whoever gets the partition next.

        Returns:
            How many records were open.
        """
        assert not self.is_fenced, "an assignment ends once"
        self.is_fenced = True
        handed_back = len(self._offsets.open)
        self.account.handed_back += handed_back
        self._offsets.open.clear()
        self.charged.clear()
        return handed_back

    def _open_runs(self) -> Iterator[Run]:
        """Every open offset from the position on that is known of, ascending, with its failed attempts."""
        still_open, before = self._offsets.open, self._resumption.attempts
        self.charged = {offset: record for offset, record in self.charged.items() if offset in still_open}
        attempts = {offset: number for offset, number in before.items() if offset in still_open}
        attempts |= {offset: record.attempts for offset, record in self.charged.items()}
        runs = statements.runs_of(list(still_open), attempts)
        return chain(runs, self._resumption.unread_runs(self._offsets.next))
