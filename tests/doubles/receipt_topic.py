"""The topic of receipts in memory: a `streamer.receipts.ports.Topic`, without a broker and without waiting.

`tests/contract/test_topic_follower.py` holds the follower to the real one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from tests.doubles.kafka import MemoryCluster, MemoryPublisher


class MemoryFollower:
    """Reads a topic, as `streamer.kafka.TopicFollower` does."""

    def __init__(self, cluster: MemoryCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._partitions = range(len(cluster.logs[topic]))
        self._positions: dict[int, int] = {}

    @property
    def has_grown(self) -> bool:
        return len(self._cluster.logs[self._topic]) > len(self._partitions)

    async def bounds(self) -> Mapping[int, tuple[int, int]]:
        await self._cluster.answer()
        logs = self._cluster.logs[self._topic]
        return {partition: (logs[partition].first, logs[partition].end) for partition in self._partitions}

    async def found_at(self, epoch_ms: int) -> Mapping[int, tuple[int, int] | None]:
        await self._cluster.answer()
        return {partition: self._found(partition, epoch_ms) for partition in self._partitions}

    def _found(self, partition: int, epoch_ms: int) -> tuple[int, int] | None:
        records = self._cluster.logs[self._topic][partition].records
        return next(((one.offset, one.timestamp) for one in records if one.timestamp >= epoch_ms), None)

    async def reached(self) -> Mapping[int, int]:
        reached = dict(self._positions)
        for partition, position in reached.items():
            log = self._cluster.logs[self._topic][partition]
            if all(record.offset < position for record in log.records):
                reached[partition] = log.end
        return reached

    def seek(self, positions: Mapping[int, int]) -> None:
        assert list(positions) == list(self._partitions)
        self._positions = dict(positions)

    async def poll(self, *, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        await self._cluster.answer()
        polled = self._read(max_records)
        if not polled:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._cluster.something_arrives()
            polled = self._read(max_records)
        return polled

    def _read(self, max_records: int) -> Mapping[int, Sequence[Record]]:
        polled: dict[int, Sequence[Record]] = {}
        for partition, position in self._positions.items():
            records = self._cluster.logs[self._topic][partition].records
            found = [record for record in records if record.offset >= position][:max_records]
            if found:
                polled[partition] = found
                self._positions[partition] = found[-1].offset + 1
                break
        return polled


class EndlessPublisher(MemoryPublisher):
    """It has no connection to keep."""

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()


class MemoryReceiptTopic:
    """The topic in a cluster in memory."""

    def __init__(self, cluster: MemoryCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.created_with: int | None = None
        """How many partitions it gets when it is missing; None: it is not created."""

    async def ensure(self) -> None:
        await self.cluster.answer()
        if self.name not in self.cluster.logs:
            if self.created_with is None:
                raise UnavailableError(f"the topic {self.name} does not exist")
            self.cluster.create(self.name, self.created_with)

    @contextlib.asynccontextmanager
    async def follower(self) -> AsyncIterator[MemoryFollower]:
        await self.cluster.answer()
        if self.name not in self.cluster.logs:
            raise UnavailableError(f"the topic {self.name} does not exist")
        yield MemoryFollower(self.cluster, self.name)

    def publisher(self) -> EndlessPublisher:
        return EndlessPublisher(self.cluster)
