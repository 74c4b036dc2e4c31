"""The partitions that are ours: where each one starts, what is open in it, and what is committed.

Owns the ledgers. The client's protocol is eager: at every rebalance all partitions are taken, and most are given back
a moment later. Therefore a ledger does not end when its partition is taken; it is *suspended*. After the rebalance,
`restore` keeps the ledgers whose stored position is the one that this instance stored last (no other member had the
partition), and ends the others. Restoring asks the brokers, so it happens outside the client's callbacks.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from streamer.core.records import statement as statements
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.obstacles import PartitionFault
from streamer.core.records.window import EVERYTHING, Window
from streamer.kafka import CommitResult, StoredPosition, TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.beginnings import BEYOND, REFUSED, Beginning, clipped, within
from streamer.pipeline.commits import Commits
from streamer.pipeline.contact import Contact
from streamer.pipeline.left_out import LeftOut
from streamer.pipeline.ports import RecordSource
from streamer.pipeline.starts import Starts
from streamer.timings import Timings

REBALANCES: Final = ("assigned", "revoked", "lost")
"""The kinds of changes of an assignment."""


class Assignment:
    """What one integration is assigned now."""

    def __init__(
        self,
        integration: str,
        *,
        start: str | datetime,
        window: Window = EVERYTHING,
        account_of: Callable[[str, int], Account],
        fence: Callable[[PartitionLedger], int],
        contact: Contact,
        timings: Timings,
    ) -> None:
        """Begin with no partitions.

        Args:
            integration: for the log.
            start: where the group begins with a topic of which it has stored nothing: ``earliest``, ``latest`` or a
                time. What the topic gets later is read from its beginning: new partitions, and all of them when it is
                recreated.
            window: what is read of each partition.
            account_of: the account of a partition; it outlives assignments.
            fence: ends the custody of an assignment's records; returns how many were open.
            contact: knows whether the brokers answer.
            timings: how often to commit, and how long a position beyond the end is doubted.
        """
        self._integration = integration
        self._starts = Starts(start)
        self._window = window
        self._account_of = account_of
        self._fence = fence
        self._timings = timings
        self.ledgers: dict[TopicPartition, PartitionLedger] = {}
        """One for each partition of ours, and during a rebalance of those that were."""
        self.epoch = 0
        """Changes whenever partitions are taken or given: records that were read before must not be taken."""
        self.is_restored = False
        """Whether the ledgers are those of the partitions given to us, so that these may be read."""
        self.changed = asyncio.Event()
        """Set whenever partitions are taken or given, or may be read from now on; cleared by whoever waits for it."""
        self.commits = Commits(integration, contact)
        self.rebalances = dict.fromkeys(REBALANCES, 0)
        self.assigned_since: dict[TopicPartition, float] = {}
        """Since when, in seconds since the epoch, each partition has been ours without a break."""
        self.left_out = LeftOut(integration, timings)
        self._given: frozenset[TopicPartition] | None = None
        self._beyond_since: dict[TopicPartition, float] = {}
        self._begins_unstored = asyncio.Event()

    def give(self, partitions: frozenset[TopicPartition]) -> None:
        """Note an assignment. Its partitions may not be read before `restore`."""
        self.epoch += 1
        self.rebalances["assigned"] += 1
        self.is_restored = False
        self._given = partitions
        self.left_out.clear()
        self.changed.set()

    def partitions(self) -> frozenset[TopicPartition]:
        """Those that are ours, or may be: given and not restored yet, or suspended."""
        return (self._given or frozenset()) | self.ledgers.keys()

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
            self.left_out.forget(partition)
            del self.assigned_since[partition]
            self.commits.end(partition)
            self._tell(Event.PARTITION_REVOKED, partition, handed_back=self._fence(ledger))

    async def restore(self, source: RecordSource) -> bool:
        """Go on where partitions given to us were left, by us or by others, and end what was not given back.

        A partition whose beginning cannot be found out now is left out, and asked for again when it is due. Returns
        whether it is done; False while a rebalance is on.

        Raises:
            UnavailableError: the brokers cannot be asked; nothing has changed, try again.
        """
        epoch = self.epoch
        asked = self.unopened_due() if self.is_restored else self._given
        if asked is None:
            return False
        topics = {partition.topic for partition in asked}
        ours = [partition for partition in self._given or () if partition.topic in topics]
        closed = await self._starts.enter(source, ours, lambda: self.epoch == epoch, self.commits)
        entered = [partition for partition in asked if partition.topic not in closed]
        if epoch != self.epoch:
            return False
        answers: dict[TopicPartition, StoredPosition | PartitionFault] = {
            p: closed[p.topic] for p in asked if p.topic in closed
        }
        answers |= await source.stored_positions(entered) if entered else {}
        stored = {partition: answer for partition, answer in answers.items() if not isinstance(answer, PartitionFault)}
        retained = {partition for partition, position in stored.items() if self.commits.made(partition, position)}
        found = await self._find_beginnings(source, {p: at for p, at in stored.items() if p not in retained})
        if epoch != self.epoch:
            return False
        if not self.is_restored:
            self.fence(self.ledgers.keys() - retained)
        for partition in asked:
            if partition in retained:
                source.seek(partition, self.ledgers[partition].next_offset)
                continue
            beginning = closed.get(partition.topic) or found.get(partition) or answers[partition]
            if isinstance(beginning, Beginning):
                self._open(source, partition, beginning.stored, beginning.bounds)
                self.left_out.overcome(partition)
            else:
                assert isinstance(beginning, PartitionFault), "what is stored has a beginning or a fault"
                self.left_out.meet(source, partition, beginning)
        self._starts.note(self.ledgers)
        self.is_restored = True
        return True

    async def _find_beginnings(
        self, source: RecordSource, stored: Mapping[TopicPartition, StoredPosition]
    ) -> dict[TopicPartition, Beginning | PartitionFault]:
        """What `_open` needs of partitions that this instance does not go on with, or why it cannot be had."""
        bounds = await source.log_bounds(stored) if stored else {}
        found: dict[TopicPartition, Beginning | PartitionFault] = {}
        for partition, known in stored.items():
            position = within(self._window, partition, known)
            ends, offset = bounds[partition], position.offset
            if isinstance(ends, PartitionFault):
                found[partition] = ends
            elif offset is not None and offset > ends[1] and not self.is_beyond_for_good(partition, offset, ends[1]):
                found[partition] = BEYOND
            else:
                found[partition] = Beginning(position, clipped(self._window, partition, offset, ends))
        return found

    def unopened_due(self) -> list[TopicPartition]:
        """Partitions of ours without a ledger that are to be asked for again."""
        return [partition for partition in self.left_out.tried() if partition not in self.ledgers]

    def readable(self) -> set[TopicPartition]:
        """The partitions that may be read now: where their assignment begins is stored, and they are not left out."""
        return self._unread() - self.commits.unstored - self.left_out.shut()

    def flowing(self) -> set[TopicPartition]:
        """The partitions that ought to be fetched: nothing is known against them."""
        return self._unread() - self.commits.unstored - set(self.left_out)

    def _unread(self) -> set[TopicPartition]:
        if self._window.bounds is None:
            return set(self.ledgers)
        return {partition for partition, ledger in self.ledgers.items() if not ledger.is_read}

    @property
    def is_over(self) -> bool:
        """Whether everything that is to be read of the partitions given to us has its outcome, and that is stored."""
        is_complete = self.is_restored and self._given == self.ledgers.keys()
        return is_complete and all(ledger.is_over for ledger in self.ledgers.values())

    def skip_to_log_start(self, source: RecordSource, partition: TopicPartition, first: int) -> bool:
        """The next record was deleted before we read it: go on at the first that still exists, and count what is gone.

        Returns:
            False when the position lies above the end instead: the topic was truncated or recreated.
        """
        ledger = self.ledgers[partition]
        first = min(first, ledger.until)
        if ledger.next_offset >= first:
            return False
        self._count_lost(partition, ledger.account, ledger.next_offset, first)
        ledger.advance(first)
        source.seek(partition, first)
        return True

    def is_beyond_for_good(self, partition: TopicPartition, offset: int, end: int) -> bool:
        """Whether an offset lies beyond the end of its partition, and has for `Timings.confirm_end`.

        A broker that has just come back may know less than all of its log for a moment; taking that for a new topic
        would send everything again.
        """
        if offset <= end:
            self._beyond_since.pop(partition, None)
            return False
        now = time.monotonic()
        return now - self._beyond_since.setdefault(partition, now) >= self._timings.confirm_end

    def begin_anew(self, source: RecordSource, partition: TopicPartition, bounds: tuple[int, int]) -> None:
        """The topic is not the one we were reading: read it from its start. Repeats are cheap, skips are not.

        What a window meant was in the former topic: of that nothing can be read any more.
        """
        ledger = self.ledgers[partition]
        first, end = bounds if self._window.bounds is None else (ledger.until, ledger.until)
        self._tell(Event.OFFSETS_RESET, partition, stored=ledger.position, start=first)
        if self._window.bounds is not None:
            self._count_lost(partition, ledger.account, ledger.next_offset, first)
        self.fence([partition])
        self._add_ledger(source, partition, first, stored=None, stated=None, end=end)

    async def commit(self, source: RecordSource) -> CommitResult:
        """Store what may be stored of every partition where that has changed, as it is at this moment."""
        if not self.is_restored:
            return CommitResult.STORED
        unstored = set(self.commits.unstored)
        result = await self.commits.store(source, self.ledgers)
        if unstored - self.commits.unstored:
            self.changed.set()
        for partition in self.commits.unstored - self.left_out.shut():
            if partition.topic in self.commits.refused:
                self.left_out.meet(source, partition, REFUSED)
        return result

    async def commit_on_timer(self, source: RecordSource) -> None:
        """Commit until cancelled: now and then, and at once where a partition cannot be read before."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timings.commit_every):
                    await self._begins_unstored.wait()
            self._begins_unstored.clear()
            await self.commit(source)

    def _open(
        self,
        source: RecordSource,
        partition: TopicPartition,
        stored: StoredPosition,
        bounds: tuple[int, int],
    ) -> None:
        first, end = bounds
        account = self._account_of(partition.topic, partition.partition)
        # Without a stored position, the topic has got the partition after the group entered it.
        begins = stored.offset if stored.offset is not None else first
        if begins < first:
            self._count_lost(partition, account, begins, first)
            begins = first
        elif begins > end:
            self._tell(Event.OFFSETS_RESET, partition, stored=begins, high_watermark=end, start=first)
            begins = first
        stated = statements.decode(stored.metadata, stored.offset) if stored.offset is not None else None
        self._add_ledger(source, partition, begins, stored=stored, stated=stated, end=end)
        self._tell(Event.PARTITION_ASSIGNED, partition, position=begins)

    def _add_ledger(
        self,
        source: RecordSource,
        partition: TopicPartition,
        begins: int,
        *,
        stored: StoredPosition | None,
        stated: statements.Statement | None,
        end: int,
    ) -> None:
        # A position that is not of our making: somebody wants everything from there to the present end again.
        replay_until, replay_id = (end, 0) if stated is None else (stated.replay_until, stated.replay_id)
        is_known = stated is not None and (replay_id > 0 or not replay_until)
        ledger = PartitionLedger(
            partition.topic,
            partition.partition,
            begins,
            self._account_of(partition.topic, partition.partition),
            replay_until=replay_until,
            replay_id=replay_id if is_known else _new_replay_id(),
            stated=stated,
            until=self._window.end(*partition),
        )
        self.ledgers[partition] = ledger
        self.assigned_since[partition] = time.time()
        self.commits.begin(partition, stored, is_known=is_known)
        if not is_known:
            self._begins_unstored.set()
        if stored is not None:
            ledger.committed = stored.offset
        source.seek(partition, begins)

    def _count_lost(self, partition: TopicPartition, account: Account, expected: int, first: int) -> None:
        account.lost["retention"] += first - expected
        self._tell(Event.RECORDS_LOST, partition, records=first - expected, reason="retention", data_at_risk="yes")

    def _tell(self, event: Event, partition: TopicPartition, **fields: object) -> None:
        logger().emit(
            event, integration=self._integration, topic=partition.topic, partition=partition.partition, **fields
        )


def _new_replay_id() -> int:
    """Drawn at random, so that neither a clock nor another instance can make the same one by chance."""
    return 1 + secrets.randbelow(statements.MAX_REPLAY_IDS - 1)
