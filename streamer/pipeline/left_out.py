"""The partitions of one integration that are not read now: left out, shown, and tried again one by one.

The rule is in `streamer.core.records.obstacles`; this acts on it. A partition is left out while the others are read,
committed and restored as ever. It is tried again by seeking it: the client then fetches afresh.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.obstacles import Obstacles, PartitionFault
from streamer.kafka import TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.ports import RecordSource
from streamer.timings import Timings


class LeftOut:
    """What is left out of one assignment."""

    def __init__(self, integration: str, timings: Timings) -> None:
        """Begin with nothing left out; ``integration`` is for the log."""
        self._integration = integration
        self._obstacles: Obstacles[TopicPartition] = Obstacles(
            min_retry_seconds=timings.left_out, max_retry_seconds=timings.left_out_max
        )
        self._max_attempt_seconds = timings.left_out_max
        self._tried_since: dict[TopicPartition, float] = {}
        """Epoch seconds at which each partition was last tried again."""

    def __len__(self) -> int:
        return len(self._obstacles)

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._obstacles)

    def __contains__(self, partition: object) -> bool:
        return partition in self._obstacles

    def fault(self, partition: TopicPartition) -> PartitionFault | None:
        """Why a partition is left out; None: it is not."""
        return self._obstacles.fault(partition)

    def since(self, partition: TopicPartition) -> float | None:
        """Since when a partition is left out, in monotonic seconds; None: it is not."""
        return self._obstacles.since(partition)

    def faults(self) -> dict[TopicPartition, PartitionFault]:
        """Everything that is left out, and why."""
        return {partition: fault for partition in self if (fault := self.fault(partition)) is not None}

    def shut(self) -> set[TopicPartition]:
        """The partitions that may not be read now; those that are being tried may."""
        return self._obstacles.shut()

    def tried(self) -> list[TopicPartition]:
        """The partitions that are being tried now."""
        return self._obstacles.tried()

    def meet(self, source: RecordSource, partition: TopicPartition, fault: PartitionFault) -> None:
        """A partition of ours cannot be read now: leave it out until it is due."""
        source.leave_out(partition)
        if self._obstacles.meet(partition, fault, time.monotonic()):
            self._tell(Event.PARTITION_LEFT_OUT, partition, reason=fault.obstacle.value, detail=fault.detail)

    def overcome(self, partition: TopicPartition) -> None:
        """A partition is read again, or its beginning is known."""
        if self._obstacles.overcome(partition):
            self._tell(Event.PARTITION_RESUMED, partition)

    def forget(self, partition: TopicPartition) -> None:
        """The assignment of a partition has ended."""
        self._obstacles.forget(partition)

    def clear(self) -> None:
        """Other partitions are ours now; all of them are tried."""
        self._obstacles.clear()
        self._tried_since.clear()

    def look(self, source: RecordSource, readable: Iterable[TopicPartition]) -> None:
        """Leave out partitions that have lost their leader, their topic or our right, as far as the client has heard.

        Nothing is fetched from them. That is no stall, and no reason to begin anew.
        """
        for partition in list(readable):
            fault = source.fault(partition)
            if fault is not None:
                self.meet(source, partition, fault)

    def try_again(self, source: RecordSource, ledgers: Mapping[TopicPartition, PartitionLedger]) -> None:
        """Try the partitions that are due, and see how those do that are being tried.

        One without a ledger is tried by `Assignment.restore`.
        """
        wall = time.time()
        for partition in self._obstacles.take_due(time.monotonic()):
            if partition not in ledgers:
                continue
            fault = source.fault(partition)
            if fault is not None:
                self.meet(source, partition, fault)
            else:
                self._tried_since[partition] = wall
                source.seek(partition, ledgers[partition].next_offset)
        for partition in self._obstacles.tried():
            if partition not in ledgers:
                continue
            fetched_at, tried_since = source.fetched_at(partition), self._tried_since.get(partition, wall)
            if fetched_at is not None and fetched_at > tried_since:
                self.overcome(partition)
            elif wall - tried_since > self._max_attempt_seconds and (fault := self.fault(partition)) is not None:
                self.meet(source, partition, fault)

    def _tell(self, event: Event, partition: TopicPartition, **fields: object) -> None:
        logger().emit(
            event, integration=self._integration, topic=partition.topic, partition=partition.partition, **fields
        )
