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
from streamer.kafka import PollError, PositionsGoneError, TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.ports import RecordSource
from streamer.timings import Timings

MAX_POLL_RECORDS: Final = 2_000
"""Most records of one poll."""

MAX_SLICE_RECORDS: Final = 200
MAX_SLICE_BYTES: Final = 256_000
"""Records and bytes taken before the event loop gets its turn: a few milliseconds."""

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
        take: Callable[[Sequence[Record], PartitionLedger], None],
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
            take: takes records of one partition, in the order of their offsets.
            load: says whether there is room.
            room: set when there is room again.
            timings: how long to wait for what.
            on_restored: called when assignments have ended or begun, after a rebalance.
        """
        self._integration = integration
        self._on_restored = on_restored
        self._source = source
        self._assignment = assignment
        self._take_records = take
        self._load = load
        self._room = room
        self._timings = timings
        self._left_out: set[TopicPartition] = set()
        self._failed_polls = 0
        self.turned_at = time.monotonic()
        """When it last came round."""
        self.reads_since: float | None = None
        """Since when it reads without a pause; None: it does not, for want of room or of an assignment."""
        self.is_taking = False
        """Whether records that have come are being mapped, rather than waited for."""
        self.is_stopped = False
        """Whether nothing is taken: a person or the mass guard has stopped the integration."""

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self.turned_at = time.monotonic()
            self._assignment.changed.clear()
            if not self._assignment.is_restored:
                await self._restore()
            if not self._may_read() or not await self._has_room():
                self.reads_since = None
                await self._poll([], seconds=0.0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timings.idle):
                        await self._assignment.changed.wait()
                continue
            self.reads_since = self.reads_since or self.turned_at
            polled = await self._poll(self.readable(), seconds=self._timings.poll)
            if polled:
                self.is_taking = True
                await self._take(polled)
                self.is_taking = False
            elif polled is not None:
                await self._skip_markers()

    def readable(self) -> set[TopicPartition]:
        """The partitions to read now."""
        return self._assignment.readable() - self._left_out

    def _may_read(self) -> bool:
        return self._assignment.is_restored and not self.is_stopped and bool(self.readable())

    async def _restore(self) -> None:
        self._left_out.clear()
        try:
            if await self._assignment.restore(self._source):
                self._on_restored()
        except UnavailableError as error:
            logger().emit(Event.KAFKA_UNAVAILABLE, integration=self._integration, detail=str(error))

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
        epoch = self._assignment.epoch
        try:
            polled = await self._source.poll(partitions, max_records=MAX_POLL_RECORDS, timeout_seconds=seconds)
        except PositionsGoneError as error:
            await self._skip_gone(error)
            return None
        except PollError as error:
            await self._after_failed_poll(error)
            return None
        self._failed_polls = 0
        # What was read across a rebalance belongs to an assignment that has ended; it will be read again.
        return polled if epoch == self._assignment.epoch else None

    async def _take(self, polled: Mapping[TopicPartition, Sequence[Record]]) -> None:
        epoch = self._assignment.epoch
        for partition, records in polled.items():
            ledger = self._assignment.ledgers.get(partition)
            if ledger is None:
                continue  # its topic was deleted while this was read
            if not ledger.verify(records[0]):
                await self._begin_anew(partition)
                continue
            start = 0
            while start < len(records) and not ledger.is_fenced:
                end = _slice_end(records, start)
                self._take_records(records[start:end], ledger)
                start = end
                await asyncio.sleep(0)
                if epoch != self._assignment.epoch:
                    return

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
        try:
            bounds = await self._source.log_bounds(gone)
        except UnavailableError:
            return  # the next poll says so again
        if epoch != self._assignment.epoch:
            return
        for partition in self._assignment.ledgers.keys() & gone:  # without what was fenced meanwhile
            first, end = bounds[partition]
            if self._assignment.skip_to_log_start(self._source, partition, first):
                continue
            expected = self._assignment.ledgers[partition].next_offset
            if self._assignment.is_beyond_for_good(partition, expected, end):
                self._assignment.begin_anew(self._source, partition, bounds[partition])
                self._on_restored()
            else:
                self._source.seek(partition, expected)
        await asyncio.sleep(self._timings.gone_retry)

    async def _begin_anew(self, partition: TopicPartition) -> None:
        """Another record stands where we stopped reading: the topic was recreated."""
        epoch = self._assignment.epoch
        try:
            bounds = await self._source.log_bounds([partition])
        except UnavailableError:
            bounds = {partition: (0, 0)}
        if epoch == self._assignment.epoch and partition in self._assignment.ledgers:
            self._assignment.begin_anew(self._source, partition, bounds[partition])
            self._on_restored()

    async def _after_failed_poll(self, error: PollError) -> None:
        """A poll that raised has dropped what it had drained from other partitions: seek all of them back.

        If it goes on, partitions are tried one by one, and the one that raises is left out, so that the others flow.
        """
        self._failed_polls += 1
        logger().emit(
            Event.POLL_FAILED,
            integration=self._integration,
            detail=str(error),
        )
        self._seek_back()
        if self._failed_polls > 1:
            await self._leave_out_guilty()
        await asyncio.sleep(min(self._timings.failed_poll * 2**self._failed_polls, MAX_FAILED_POLL_SECONDS))

    async def _leave_out_guilty(self) -> None:
        for partition in self.readable():
            try:
                await self._source.poll([partition], max_records=1, timeout_seconds=1.0)
            except PollError as error:
                self._left_out.add(partition)
                logger().emit(
                    Event.PARTITION_LEFT_OUT,
                    integration=self._integration,
                    topic=partition.topic,
                    partition=partition.partition,
                    detail=str(error),
                )
        self._seek_back()

    def _seek_back(self) -> None:
        for partition, ledger in self._assignment.ledgers.items():
            self._source.seek(partition, ledger.next_offset)


def _slice_end(records: Sequence[Record], start: int) -> int:
    """Where the slice that begins at ``start`` ends: after so many records or bytes, and at least one record."""
    value_bytes = 0
    end = min(start + MAX_SLICE_RECORDS, len(records))
    for index in range(start, end):
        value = records[index].value
        value_bytes += len(value) if value is not None else 0
        if value_bytes > MAX_SLICE_BYTES:
            return index + 1
    return end
