"""The partitions that are ours: where each one starts, what is open in it, and what is committed.

Owns the ledgers. The client's protocol is eager: at every rebalance all partitions are taken, and most are given back
a moment later. So a ledger is not ended when its partition is taken but *suspended*; once it is known what we are
given, `restore` keeps the ledgers whose stored position is the one we stored last (nobody else had the partition), and
ends the others. Restoring asks the brokers and therefore happens outside the client's callbacks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.records import statement as statements
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.kafka import CommitResult, Source, StoredPosition, TopicPartition
from streamer.logs import Event, logger

COMMIT_EVERY_SECONDS: Final = 1.0

CONFIRM_SECONDS: Final = 10.0
"""How long a position must lie beyond the end of its partition to be believed."""

MAX_CLAIMS: Final = 64
"""Most commits of unknown fate that are remembered for a partition; beyond, a rebalance costs repeats."""

MIN_METADATA_CHARACTERS: Final = 19
"""Where the broker takes less than this, nothing is said beside the position."""

Claim = tuple[int, str]
"""A position with its metadata, as it is stored."""


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
            start: where a group without stored positions begins: ``earliest``, ``latest`` or a time. What a topic gets
                later is read from its beginning: new partitions, and all of them when it is made anew.
            account_of: the account of a partition; it outlives assignments.
        """
        self._integration = integration
        self._start = start
        self._account_of = account_of
        self.ledgers: dict[TopicPartition, PartitionLedger] = {}
        """One for each partition of ours, and during a rebalance of those that were."""
        self.epoch = 0
        """Changes whenever partitions are taken or given: what was read before belongs to nobody."""
        self.is_restored = False
        """Whether the ledgers are those of the partitions given to us, so that these may be read."""
        self.changed = asyncio.Event()
        """Set whenever partitions are taken or given; cleared by whoever waits for it."""
        self.commits: dict[CommitResult, int] = dict.fromkeys(CommitResult, 0)
        self.rebalances = {"assigned": 0, "revoked": 0, "lost": 0}
        self.held_since: dict[TopicPartition, float] = {}
        """Since when, in seconds since the epoch, each partition has been ours without a break."""
        self._given: frozenset[TopicPartition] | None = None
        self._entered: set[str] = set()
        """Topics of which partitions were given to us before."""
        self._claims: dict[TopicPartition, deque[Claim]] = {}
        """What the broker may hold from us: the last stored claim, and later ones whose fate is unknown."""
        self._beyond_since: dict[TopicPartition, float] = {}
        self._max_metadata = statements.MAX_CHARACTERS

    def give(self, partitions: frozenset[TopicPartition]) -> None:
        """Note an assignment. It may not be read before it is restored."""
        self.epoch += 1
        self.rebalances["assigned"] += 1
        self.is_restored = False
        self._given = partitions
        self.changed.set()

    def suspend(self) -> None:
        """All partitions are taken; which ones come back is not known yet."""
        self.epoch += 1
        self.rebalances["revoked"] += bool(self.ledgers)
        self.is_restored = False
        self._given = None
        self.changed.set()

    def fence(self, partitions: Collection[TopicPartition] | None = None) -> None:
        """End assignments: hand back what is open in these partitions, or in all."""
        for partition in list(self.ledgers if partitions is None else partitions):
            ledger = self.ledgers.pop(partition)
            del self.held_since[partition]
            self._claims.pop(partition, None)
            self._tell(Event.PARTITION_REVOKED, partition, handed_back=ledger.fence())

    async def restore(self, source: Source) -> bool:
        """Go on where partitions given to us were left, by us or by others, and end what was not given back.

        Returns:
            Whether it is done; False while a rebalance is on.

        Raises:
            UnavailableError: the brokers cannot be asked; nothing has changed, try again.
        """
        epoch, given = self.epoch, self._given
        if given is None:
            return False
        stored = await source.stored_positions(given)
        bounds = await source.log_bounds(given)
        starts = {
            partition: await self._start_of(source, partition, *bounds[partition])
            for partition in given
            if stored[partition].offset is None
        }
        if epoch != self.epoch:
            return False
        beyond = {
            partition
            for partition in given
            if (offset := stored[partition].offset) is not None
            and offset > bounds[partition][1]
            and not self.is_beyond_for_good(partition, offset, bounds[partition][1])
        }
        if beyond:
            raise UnavailableError(
                f"{len(beyond)} stored positions lie beyond the end of their partition; asking again"
            )
        retained = {partition for partition in given if stored[partition] in self._claims.get(partition, ())}
        self.fence(self.ledgers.keys() - retained)
        for partition in given:
            if partition in retained:
                source.seek(partition, self.ledgers[partition].next_offset)
            else:
                self._open(source, partition, stored[partition], bounds[partition], starts.get(partition))
        self._entered |= {partition.topic for partition in given}
        self.is_restored = True
        return True

    def skip_to_log_start(self, source: Source, partition: TopicPartition, first: int) -> bool:
        """The next record was deleted before we read it: go on at the first that still exists, and count what is gone.

        Returns:
            False when the position lies above the end instead: the topic was truncated or recreated.
        """
        ledger = self.ledgers[partition]
        if ledger.next_offset >= first:
            return False
        self._count_lost(partition, ledger.account, ledger.next_offset, first)
        ledger.advance(first)
        source.seek(partition, first)
        return True

    def is_beyond_for_good(self, partition: TopicPartition, offset: int, end: int) -> bool:
        """Whether an offset lies beyond the end of its partition, and has for `CONFIRM_SECONDS`.

        A broker that has just come back may know less than all of its log for a moment; taking that for a new topic
        would send everything again.
        """
        if offset <= end:
            self._beyond_since.pop(partition, None)
            return False
        now = time.monotonic()
        return now - self._beyond_since.setdefault(partition, now) >= CONFIRM_SECONDS

    def begin_anew(self, source: Source, partition: TopicPartition, bounds: tuple[int, int]) -> None:
        """The topic is not the one we were reading: read it from its start. Repeats are cheap, skips are not."""
        first, end = bounds
        self._tell(Event.OFFSETS_RESET, partition, stored=self.ledgers[partition].position, start=first)
        self.fence([partition])
        self._add_ledger(source, partition, first, stored=None, stated=None, replay_until=end)

    async def commit(self, source: Source) -> CommitResult:
        """Store what may be stored of every partition where that has changed, as it is at this moment."""
        if not self.is_restored:
            return CommitResult.STORED
        claims = {partition: ledger.to_commit(self._max_metadata) for partition, ledger in self.ledgers.items()}
        changed = {partition: claim for partition, claim in claims.items() if list(self._claims[partition]) != [claim]}
        if not changed:
            return CommitResult.STORED
        ledgers = dict(self.ledgers)
        result = await source.commit(changed)
        self.commits[result] += 1
        for partition, claim in changed.items():
            if self.ledgers.get(partition) is not ledgers[partition]:
                continue  # its assignment ended meanwhile
            if result is CommitResult.STORED:
                self._claims[partition] = deque([claim], MAX_CLAIMS)
                ledgers[partition].committed = claim[0]
            elif result in {CommitResult.TIMED_OUT, CommitResult.FAILED}:
                self._claims[partition].append(claim)
        return await self._after_commit(source, result, len(changed))

    async def commit_on_timer(self, source: Source) -> None:
        """Commit for ever."""
        while True:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
            await self.commit(source)

    async def _after_commit(self, source: Source, result: CommitResult, partitions: int) -> CommitResult:
        if result is CommitResult.STORED:
            logger().emit(Event.OFFSETS_COMMITTED, integration=self._integration, partitions=partitions)
        elif result is CommitResult.METADATA_TOO_LARGE and self._max_metadata:
            half = self._max_metadata // 2
            self._max_metadata = half if half >= MIN_METADATA_CHARACTERS else 0
            return await self.commit(source)
        else:
            logger().emit(
                Event.OFFSETS_COMMIT_FAILED,
                integration=self._integration,
                error_type=result.value,
                next_step=_AFTER_COMMIT[result],
            )
        return result

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
            self._tell(Event.OFFSETS_RESET, partition, stored=begins, high_watermark=end, start=first)
            begins = first
        stated = statements.decode(stored.metadata, stored.offset) if stored.offset is not None else None
        self._add_ledger(
            source,
            partition,
            begins,
            stored=stored,
            stated=stated,
            # A position that is not of our making: somebody wants everything from there to the present end again.
            replay_until=end if stated is None else stated.replay_until,
        )
        self._tell(Event.PARTITION_ASSIGNED, partition, position=begins)

    def _add_ledger(
        self,
        source: Source,
        partition: TopicPartition,
        begins: int,
        *,
        stored: StoredPosition | None,
        stated: statements.Statement | None,
        replay_until: int,
    ) -> None:
        ledger = PartitionLedger(
            partition.topic,
            partition.partition,
            begins,
            self._account_of(partition.topic, partition.partition),
            replay_until=replay_until,
            stated=stated,
        )
        self.ledgers[partition] = ledger
        self.held_since[partition] = time.time()
        self._claims[partition] = deque(maxlen=MAX_CLAIMS)
        if stored is not None and stored.offset is not None:
            ledger.committed = stored.offset
            self._claims[partition].append((stored.offset, stored.metadata))
        source.seek(partition, begins)

    async def _start_of(self, source: Source, partition: TopicPartition, first: int, end: int) -> int:
        if self._start == "earliest" or partition.topic in self._entered:
            return first
        if self._start == "latest":
            return end
        assert isinstance(self._start, datetime), "checked when the configuration was loaded"
        found = await source.offset_at(partition, int(self._start.timestamp() * 1000))
        return end if found is None else found

    def _count_lost(self, partition: TopicPartition, account: Account, expected: int, first: int) -> None:
        account.lost["retention"] += first - expected
        self._tell(Event.RECORDS_LOST, partition, records=first - expected, reason="retention", data_at_risk="yes")

    def _tell(self, event: Event, partition: TopicPartition, **fields: object) -> None:
        logger().emit(
            event, integration=self._integration, topic=partition.topic, partition=partition.partition, **fields
        )


_AFTER_COMMIT: Final[Mapping[CommitResult, str]] = {
    CommitResult.MEMBERSHIP_CHANGED: "Nothing to do: a rebalance is on; what is not stored is read again.",
    CommitResult.METADATA_TOO_LARGE: "Raise offset.metadata.max.bytes on the brokers.",
    CommitResult.NOT_AUTHORISED: "Allow READ on the group and its topics; until then a restart delivers again.",
    CommitResult.TIMED_OUT: "Nothing to do: a later commit replaces this one.",
    CommitResult.FAILED: "If it goes on, look at the broker's log; a restart would read again what is not stored.",
}
