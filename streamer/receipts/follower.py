"""Takes the receipts of other instances from their topic into the stores of the integrations that run here.

Every instance reads the whole topic: a copy of an event may be on any partition, and so with any instance. The topic
is read in slices, between which everything else of the process has its turn.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.records.followed import Extent
from streamer.core.records.receipt_record import ReceiptBatch, decode, decode_gap, key_of
from streamer.logs import Event, logger
from streamer.receipts.channel import Channel
from streamer.receipts.ports import Follower, Topic
from streamer.receipts.topic_state import TopicState
from streamer.receipts.writer import RUN_HEADER
from streamer.timings import Timings

SLICE_RECEIPTS: Final = 4_000
"""Receipts that are stored at a time, which takes some 5 ms."""

SLICE_RECORDS: Final = 200
"""Records of the topic that are looked at in one turn of the event loop."""

MAX_POLLED_RECORDS: Final = 500

USER: Final = "read"


class ReceiptFollower:
    """One reader of the topic for all integrations of a process."""

    def __init__(
        self,
        topic: Topic,
        channels: Mapping[str, Channel],
        state: TopicState,
        *,
        run_id: bytes,
        window_seconds: float,
        timings: Timings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            topic: what to read.
            channels: the integrations that run here, by name; may change at any time.
            state: is told whether the topic can be read.
            run_id: names this process.
            window_seconds: how long a receipt counts.
            timings: how long to wait for what.
            clock: tells the seconds since the epoch.
        """
        self.behind: int | None = None
        """Records of the topic that were not read when it was last asked where it ends; None: that is not known."""
        self.is_ready = asyncio.Event()
        """Set once the topic exists, and it is known where it ends."""
        self._topic = topic
        self._channels = channels
        self._state = state
        self._own = (RUN_HEADER, run_id)
        self._window_seconds = window_seconds
        self._timings = timings
        self._clock = clock
        self._began: float | None = time.monotonic()
        self._asked_at = 0.0
        self._positions: dict[int, int] = {}
        self._seen: tuple[float, Mapping[int, int]] = 0.0, {}
        """When it was last seen that reading goes on, and how far it was then."""

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop it for good, nor what delivers
                self.behind = None
                await asyncio.sleep(self._state.failed(USER, error))

    def save(self) -> None:
        """Keep how far each integration has got."""
        window_start = self._clock() - self._window_seconds
        for channel in list(self._channels.values()):
            channel.save(window_start)

    async def _follow(self) -> None:
        """Follow until the topic has more partitions, or something fails."""
        await self._topic.ensure()
        async with self._topic.follower() as reader:
            try:
                await self._enter(reader)
            finally:  # what is written from now on is ours; and who may not read may still write
                self.is_ready.set()
            while not reader.has_grown:
                if any(channel.followed is None for channel in self._channels.values()):
                    await self._enter(reader)
                await self._ask_if_due(reader)
                polled = await reader.poll(max_records=MAX_POLLED_RECORDS, timeout_seconds=self._timings.poll)
                for partition, records in polled.items():
                    await self._take(partition, records)
                for channel in self._channels.values():
                    channel.look()

    async def _enter(self, reader: Follower) -> None:
        """Find where each integration goes on, and read from the lowest of these places."""
        now = self._clock()
        window_start = now - self._window_seconds
        bounds = await reader.bounds()  # asked first: what is written from now on lies behind these ends, and is read
        first = await reader.found_at(0)
        within = await reader.found_at(int(window_start * 1000))
        extents = {
            partition: Extent(start, end, _offset(within[partition], end), _seconds(first[partition]))
            for partition, (start, end) in bounds.items()
        }
        for channel in self._channels.values():
            channel.place(self._topic.name, extents, window_start=window_start, now=now)
        self._positions = {
            partition: min(
                (one.followed.positions[partition] for one in self._channels.values() if one.followed),
                default=extent.end,
            )
            for partition, extent in extents.items()
        }
        reader.seek(self._positions)
        self._asked_at = 0.0

    async def _ask_if_due(self, reader: Follower) -> None:
        """Ask where the topic ends: now and then, and when partitions were assigned."""
        new = [channel for channel in self._channels.values() if channel.has_new_partitions()]
        now = time.monotonic()
        if not new and now - self._asked_at < self._timings.receipts_ask:
            return
        ends = {partition: end for partition, (_, end) in (await reader.bounds()).items()}
        for partition, position in (await reader.reached()).items():
            self._advance(partition, position)
        self._state.worked(USER)
        self._asked_at = now
        self.behind = sum(max(end - self._positions[partition], 0) for partition, end in ends.items())
        self._verify_progress(now)
        for channel in new:
            channel.await_all(ends)
        if not self.behind and self._began is not None:
            restored = sum(channel.restored_total for channel in self._channels.values())
            seconds = round(now - self._began, 1)
            logger().emit(Event.RECEIPTS_RESTORED, topic=self._topic.name, receipts=restored, seconds=seconds)
            self._began = None
        self.save()

    def _verify_progress(self, now: float) -> None:
        """The client's fetcher can die unnoticed; another connection has another one."""
        if not self.behind or self._positions != self._seen[1]:
            self._seen = now, dict(self._positions)
        elif now - self._seen[0] > self._timings.receipts_stalled:
            self._seen = now, {}
            raise UnavailableError(f"{self._topic.name} has more records, and none arrives")

    async def _take(self, partition: int, records: Sequence[Record]) -> None:
        """Take over records of one partition, slice by slice."""
        oldest = self._clock() - self._window_seconds
        prefixes = [(key_of(name, "", 0)[: -len(b'"",0]')], channel) for name, channel in self._channels.items()]
        for start in range(0, len(records), SLICE_RECORDS):
            taken: dict[Channel, list[ReceiptBatch]] = {}
            receipts = 0
            for record in records[start : start + SLICE_RECORDS]:
                channel = _channel_of(record.key, prefixes)
                if channel is None or self._is_known(channel, record):
                    continue
                batch = decode(record.key, record.value)
                if batch is None:
                    _note_gap(channel, record)
                elif batch.delivered_at >= oldest and channel.counts(batch):
                    taken.setdefault(channel, []).append(batch)
                    receipts += len(batch.offsets)
                if receipts >= SLICE_RECEIPTS:
                    self._store(taken)
                    taken, receipts = {}, 0
                    await asyncio.sleep(0)
            self._store(taken)
            self._advance(partition, records[min(start + SLICE_RECORDS, len(records)) - 1].offset + 1)
            await asyncio.sleep(0)

    def _is_known(self, channel: Channel, record: Record) -> bool:
        """Whether there is nothing to take over; also when the integration has to begin anew."""
        is_own = self._own in record.headers
        return channel.followed is None or channel.is_known(record.partition, record.offset, is_own=is_own)

    def _advance(self, partition: int, position: int) -> None:
        self._positions[partition] = position
        for channel in self._channels.values():
            if channel.followed is not None:
                channel.advance(partition, position)

    def _store(self, taken: Mapping[Channel, Sequence[ReceiptBatch]]) -> None:
        for channel, batches in taken.items():
            channel.restore(batches, self._clock())


def _channel_of(key: bytes | None, prefixes: Sequence[tuple[bytes, Channel]]) -> Channel | None:
    for prefix, channel in prefixes:
        if key is not None and key.startswith(prefix):
            return channel
    return None


def _note_gap(channel: Channel, record: Record) -> None:
    gap = decode_gap(record.key, record.value)
    if gap is not None:
        channel.note_gap(gap)


def _offset(found: tuple[int, int] | None, end: int) -> int:
    return end if found is None else found[0]


def _seconds(found: tuple[int, int] | None) -> float | None:
    return None if found is None else found[1] / 1000
