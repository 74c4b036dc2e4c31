"""The partitions that are ours: where each one starts, what is open in it, and what is committed.

Owns the ledgers. A ledger is made when a partition has been given to us and its stored position is known, and fenced
when the partition is taken; in between, the position it allows is committed on a timer. Drain first, commit, fence
last.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from streamer.core import position
from streamer.core.account import Account
from streamer.core.ledger import PartitionLedger
from streamer.kafka import CommitResult, Source, StoredPosition, TopicPartition
from streamer.logs import Event, logger

COMMIT_EVERY_SECONDS: Final = 1.0


class Assignment:
    """What one integration is assigned now."""

    def __init__(
        self,
        integration: str,
        *,
        start: str | datetime,
        account_of: Callable[[str, int], Account],
    ) -> None:
        """Begin with no partitions.

        Args:
            integration: for the log.
            start: where a group without stored positions begins: ``earliest``, ``latest`` or a time.
            account_of: the account of a partition; it outlives assignments.
        """
        self._integration = integration
        self._start = start
        self._account_of = account_of
        self.ledgers: dict[TopicPartition, PartitionLedger] = {}
        """One for each partition that may be read."""
        self.epoch = 0
        """Changes whenever partitions are taken or given: what was read before belongs to nobody."""
        self.commits: dict[CommitResult, int] = dict.fromkeys(CommitResult, 0)
        self.rebalances = {"assigned": 0, "revoked": 0}
        self._given: set[TopicPartition] = set()

    @property
    def is_restored(self) -> bool:
        """Whether every partition given to us has its ledger."""
        return not self._given

    def give(self, partitions: Collection[TopicPartition]) -> None:
        """Note an assignment. It may not be read before it is restored."""
        self.epoch += 1
        self.rebalances["assigned"] += 1
        self._given = set(partitions)
        for partition in partitions:
            logger().emit(
                Event.PARTITION_ASSIGNED,
                integration=self._integration,
                topic=partition.topic,
                partition=partition.partition,
            )

    def fence(self) -> None:
        """All partitions are taken, as the client's eager protocol does at every rebalance: hand back what is open."""
        self.epoch += 1
        self._given.clear()
        ledgers, self.ledgers = self.ledgers, {}
        self.rebalances["revoked"] += bool(ledgers)
        for partition, ledger in ledgers.items():
            logger().emit(
                Event.PARTITION_REVOKED,
                integration=self._integration,
                topic=partition.topic,
                partition=partition.partition,
                handed_back=ledger.fence(),
            )

    async def restore(self, source: Source) -> None:
        """Find out where the partitions given to us start, and make their ledgers.

        Raises:
            UnavailableError: the brokers cannot be asked; nothing has changed, try again.
        """
        epoch, given = self.epoch, set(self._given)
        stored = await source.stored_positions(given)
        bounds = await source.log_bounds(given)
        starts = {
            partition: await self._start_of(source, partition, *bounds[partition])
            for partition in given
            if stored[partition].offset is None
        }
        if epoch != self.epoch:
            return
        for partition in given:
            self._open(source, partition, stored[partition], bounds[partition], starts.get(partition))
        self._given -= given

    def skip_to_log_start(self, source: Source, partition: TopicPartition, first: int) -> bool:
        """The next record was deleted before we read it: go on at the first that still exists, and count what is gone.

        Returns:
            False when the position lies above the end instead (a truncated or recreated topic): the caller starts anew.
        """
        ledger = self.ledgers[partition]
        if ledger.next_offset >= first:
            return False
        self._count_lost(partition, ledger.account, ledger.next_offset, first)
        ledger.advance(first)
        source.seek(partition, first)
        return True

    async def commit(self, source: Source) -> CommitResult:
        """Store every position that has moved, as it is at this moment; never an older one."""
        moved = {
            partition: ledger.position
            for partition, ledger in self.ledgers.items()
            if ledger.position != ledger.committed
        }
        if not moved:
            return CommitResult.STORED
        ledgers = self.ledgers
        result = await source.commit({partition: (offset, position.encode()) for partition, offset in moved.items()})
        self.commits[result] += 1
        if result is CommitResult.STORED:
            for partition, offset in moved.items():
                ledgers[partition].committed = offset
            logger().emit(Event.OFFSETS_COMMITTED, integration=self._integration, partitions=len(moved))
        else:
            logger().emit(
                Event.OFFSETS_COMMIT_FAILED,
                integration=self._integration,
                error_type=result.value,
                next_step=_AFTER_COMMIT[result],
            )
        return result

    async def commit_on_timer(self, source: Source) -> None:
        """Commit for ever."""
        while True:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
            await self.commit(source)

    def _open(
        self,
        source: Source,
        partition: TopicPartition,
        stored: StoredPosition,
        bounds: tuple[int, int],
        start: int | None,
    ) -> None:
        first, end = bounds
        account = self._account_of(partition.topic, partition.partition)
        begins = stored.offset if stored.offset is not None else start
        assert begins is not None, "a partition has a stored position or a start"
        if begins < first:
            self._count_lost(partition, account, begins, first)
            begins = first
        elif begins > end:
            logger().emit(
                Event.OFFSETS_RESET,
                integration=self._integration,
                topic=partition.topic,
                partition=partition.partition,
                stored=begins,
                high_watermark=end,
            )
            begins = first
        ledger = PartitionLedger(
            partition.topic,
            partition.partition,
            begins,
            account,
            trusts_receipts=stored.offset is not None and position.is_ours(stored.metadata),
        )
        ledger.committed = stored.offset
        self.ledgers[partition] = ledger
        source.seek(partition, begins)

    async def _start_of(self, source: Source, partition: TopicPartition, first: int, end: int) -> int:
        if self._start == "earliest":
            return first
        if self._start == "latest":
            return end
        assert isinstance(self._start, datetime), "checked when the configuration was loaded"
        found = await source.offset_at(partition, int(self._start.timestamp() * 1000))
        return end if found is None else found

    def _count_lost(self, partition: TopicPartition, account: Account, expected: int, first: int) -> None:
        account.lost["retention"] += first - expected
        logger().emit(
            Event.RECORDS_LOST,
            integration=self._integration,
            topic=partition.topic,
            partition=partition.partition,
            records=first - expected,
            reason="retention",
            data_at_risk="yes",
        )


_AFTER_COMMIT: Final[Mapping[CommitResult, str]] = {
    CommitResult.MEMBERSHIP_CHANGED: "Nothing to do: a rebalance is on; what is not stored is delivered again "
    "or recognised.",
    CommitResult.METADATA_TOO_LARGE: "Raise offset.metadata.max.bytes on the brokers.",
    CommitResult.NOT_AUTHORISED: "Allow READ on the group and its topics; until then a restart delivers again.",
    CommitResult.TIMED_OUT: "Nothing to do: a later commit replaces this one.",
    CommitResult.FAILED: "If it goes on, look at the broker's log; a restart would deliver again what is not "
    "committed.",
}
