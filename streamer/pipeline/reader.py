"""Reads from Kafka while there is room, a slice at a time."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.load import Load
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import DamagedError, LeftOutError, PollError, PositionsGoneError, TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.ports import RecordSource
from streamer.pipeline.slicing import slices
from streamer.pipeline.worker import Prepare
from streamer.timings import Timings
from streamer.tracing import tracer

MAX_POLL_RECORDS: Final = 2_000
"""Most records of one poll."""

NOT_SENT_AGAIN: Final = PartitionFault(
    Obstacle.READ_FAILED, "the client cannot read what follows, and the broker has not sent it again"
)

MAX_FAILED_POLL_SECONDS: Final = 5.0
"""Longest wait after a failed poll."""


class Reader:
    """The reader of one integration."""

    def __init__(
        self,
        integration: str,
        *,
        source: RecordSource,
        assignment: Assignment,
        prepare: Callable[[], Prepare | None],
        take: Callable[[Sequence[Record], PartitionLedger], None],
        set_aside: Callable[[PartitionLedger, int, str, int], None],
        load: Load,
        room: asyncio.Event,
        timings: Timings,
        on_restored: Callable[[], None],
    ) -> None:
        """Join the parts that reading needs.

        Args:
            integration: for the log.
            source: the topics.
            assignment: which partitions may be read, and their ledgers.
            prepare: tells what gets ready for records before they are taken; None: nothing does.
            take: takes records of one partition, in the order of their offsets.
            set_aside: takes offsets that cannot be read: from the ledger's next one to an end, why, and a timestamp.
            load: says whether there is room.
            room: set when there is room again.
            timings: how long to wait for what.
            on_restored: called when assignments have ended or begun, after a rebalance.
        """
        self._integration = integration
        self._on_restored = on_restored
        self._source = source
        self._assignment = assignment
        self._prepare = prepare
        self._take_records = take
        self._set_aside = set_aside
        self._load = load
        self._room = room
        self._timings = timings
        self._failed_polls = 0
        self._looked_at = 0.0
        """When it last looked for faults of partitions."""
        self.turned_at = time.monotonic()
        """When it last came round."""
        self.reads_since: float | None = None
        """Since when it reads without a pause; None: it does not, for want of room or of an assignment."""
        self.is_taking = False
        """Whether records that have come are being mapped, rather than waited for."""
        self.is_stopped: Callable[[], bool] = lambda: False
        """Whether nothing is taken: a person or the mass guard has stopped the integration."""

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            # Beside reading: a leader that does not answer must not keep the partitions of the others waiting.
            tasks.create_task(self._restore_the_rest())
            await self._read()

    async def _read(self) -> None:
        while True:
            self.turned_at = time.monotonic()
            self._assignment.changed.clear()
            if not self._assignment.is_restored:
                await self._restore()
            self._look_after_left_out()
            if not self._may_read() or not await self._has_room():
                self.reads_since = None
                await self._poll([], seconds=0.0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timings.idle):
                        await self._assignment.changed.wait()
                continue
            self.reads_since = self.reads_since or self.turned_at
            polled = await self._poll(self.readable(), seconds=self._timings.poll)
            if polled and self.is_stopped():
                self._put_back(polled)
            elif polled:
                self.is_taking = True
                await self._take(polled)
                self.is_taking = False
            elif polled is not None:
                await self._skip_markers()

    def readable(self) -> set[TopicPartition]:
        """The partitions to read now."""
        return self._assignment.readable()

    def _may_read(self) -> bool:
        return self._assignment.is_restored and not self.is_stopped() and bool(self.readable())

    async def _restore(self) -> None:
        try:
            if await self._assignment.restore(self._source):
                self._on_restored()
        except UnavailableError as error:
            logger().emit(Event.KAFKA_UNAVAILABLE, integration=self._integration, detail=str(error))

    async def _restore_the_rest(self) -> None:
        """Find out, once they are due, where to begin in partitions that have been left out so far."""
        while True:
            await asyncio.sleep(self._timings.look_every)
            if self._assignment.is_restored and self._assignment.unopened_due():
                await self._restore()

    def _look_after_left_out(self) -> None:
        assignment = self._assignment
        if not assignment.is_restored:
            return
        if self.turned_at - self._looked_at >= self._timings.look_every:
            self._looked_at = self.turned_at
            assignment.left_out.look(self._source, assignment.readable())
        if assignment.left_out:
            assignment.left_out.try_again(self._source, assignment.ledgers)

    async def _has_room(self) -> bool:
        """Whether there is room; waits for it a while, but not past a rebalance, in which nothing is settled."""
        if self._load.is_full:
            self._room.clear()
            waits = [asyncio.ensure_future(self._room.wait()), asyncio.ensure_future(self._assignment.changed.wait())]
            try:
                await asyncio.wait(waits, timeout=self._timings.idle_after, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return not self._load.is_full and self._assignment.is_restored

    async def _poll(
        self, partitions: Collection[TopicPartition], *, seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]] | None:
        """What has arrived; None when that may not be used."""
        epoch, began = self._assignment.epoch, time.time()
        try:
            polled = await self._source.poll(partitions, max_records=MAX_POLL_RECORDS, timeout_seconds=seconds)
        except PositionsGoneError as error:
            await self._skip_gone(error)
            return None
        except DamagedError as error:
            await self._salvage(error)
            return None
        except LeftOutError as error:
            for partition in self._assignment.readable() & error.partitions:
                self._assignment.left_out.meet(self._source, partition, error.fault)
            return None
        except PollError as error:
            await self._after_failed_poll(error)
            return None
        self._failed_polls = 0
        if polled:
            tracer().polled(self._integration, polled, began)
        # What was read across a rebalance belongs to an assignment that has ended; it will be read again.
        return polled if epoch == self._assignment.epoch else None

    def _put_back(self, partitions: Collection[TopicPartition]) -> None:
        """Read again, once it goes on, what came while it was stopped: from then on nothing is taken."""
        for partition in partitions:
            ledger = self._assignment.ledgers.get(partition)
            if ledger is not None and not ledger.is_fenced:
                self._source.seek(partition, ledger.next_offset)

    async def _take(self, polled: Mapping[TopicPartition, Sequence[Record]]) -> None:
        epoch = self._assignment.epoch
        prepare = self._prepare()
        if prepare is not None:
            await prepare(polled.values())
            if epoch != self._assignment.epoch:
                return
        for partition, records in polled.items():
            ledger = self._assignment.ledgers.get(partition)
            if ledger is None:
                continue  # its topic was deleted while this was read
            if not ledger.verify(records[0]):
                await self._begin_anew(partition)
                continue
            wanted = ledger.within(records)
            for taken in slices(wanted):
                if ledger.is_fenced:
                    break
                self._take_records(taken, ledger)
                await asyncio.sleep(0)
                if epoch != self._assignment.epoch:
                    return
            if wanted is not records and not ledger.is_fenced:
                ledger.advance(ledger.until)

    async def _skip_markers(self) -> None:
        """Nothing arrived: what the client has passed since (transaction markers) is no record; commit past it."""
        epoch = self._assignment.epoch
        for partition, ledger in list(self._assignment.ledgers.items()):
            position = await self._source.position(partition)
            if epoch != self._assignment.epoch:
                return
            if position is not None and not ledger.is_fenced:
                ledger.advance(position)

    async def _skip_gone(self, error: PositionsGoneError) -> None:
        epoch = self._assignment.epoch
        gone = [partition for partition in error.partitions if partition in self._assignment.ledgers]
        bounds = await self._source.log_bounds(gone)
        if epoch != self._assignment.epoch:
            return
        for partition in self._assignment.ledgers.keys() & gone:  # without what was fenced meanwhile
            ends = bounds[partition]
            if isinstance(ends, PartitionFault):
                self._assignment.left_out.meet(self._source, partition, ends)
                continue
            first, end = ends
            if self._assignment.skip_to_log_start(self._source, partition, first):
                continue
            expected = self._assignment.ledgers[partition].next_offset
            if self._assignment.is_beyond_for_good(partition, expected, end):
                self._assignment.begin_anew(self._source, partition, ends)
                self._on_restored()
            else:
                self._source.seek(partition, expected)
        await asyncio.sleep(self._timings.gone_retry)

    async def _salvage(self, error: DamagedError) -> None:
        """Read by other means what the client cannot read, or set it aside; the others go on meanwhile or at once."""
        for partition in error.partitions & self._assignment.readable():
            epoch, ledger = self._assignment.epoch, self._assignment.ledgers[partition]
            offset = ledger.next_offset
            found = await self._source.salvage(partition, offset, max_records=MAX_POLL_RECORDS)
            if epoch != self._assignment.epoch or ledger.is_fenced:
                return
            if isinstance(found, PartitionFault):
                self._assignment.left_out.meet(self._source, partition, found)
                continue
            if found.records:
                self._tell(Event.RECORDS_REREAD, partition, offset=offset, records=len(found.records))
                await self._take({partition: found.records})
            elif found.unreadable:
                end = min(found.next_offset, offset + MAX_POLL_RECORDS, ledger.until)
                self._tell(
                    Event.RECORDS_UNREADABLE, partition, offset=offset, records=end - offset, detail=found.unreadable
                )
                self._set_aside(ledger, end, found.unreadable, found.timestamp)
            elif found.next_offset > offset:
                ledger.advance(found.next_offset)
            else:
                self._assignment.left_out.meet(self._source, partition, NOT_SENT_AGAIN)
                continue
            if epoch == self._assignment.epoch and not ledger.is_fenced:
                self._source.seek(partition, ledger.next_offset)

    def _tell(self, event: Event, partition: TopicPartition, **fields: object) -> None:
        logger().emit(
            event, integration=self._integration, topic=partition.topic, partition=partition.partition, **fields
        )

    async def _begin_anew(self, partition: TopicPartition) -> None:
        """Another record stands where we stopped reading: the topic was recreated."""
        epoch = self._assignment.epoch
        bounds = await self._source.log_bounds([partition])
        if epoch == self._assignment.epoch and partition in self._assignment.ledgers:
            ends = bounds[partition]
            self._assignment.begin_anew(self._source, partition, (0, 0) if isinstance(ends, PartitionFault) else ends)
            self._on_restored()

    async def _after_failed_poll(self, error: PollError) -> None:
        """A poll that raised may have dropped what it had drained: seek all partitions back."""
        self._failed_polls += 1
        logger().emit(Event.POLL_FAILED, integration=self._integration, detail=str(error))
        self._seek_back()
        await asyncio.sleep(min(self._timings.failed_poll * 2**self._failed_polls, MAX_FAILED_POLL_SECONDS))

    def _seek_back(self) -> None:
        for partition in self._assignment.readable():
            self._source.seek(partition, self._assignment.ledgers[partition].next_offset)
