"""How a poll can end without records, and what the reader does about it."""

from collections.abc import Collection

from aiokafka import TopicPartition

from streamer.core.errors import StreamerError
from streamer.core.records.obstacles import PartitionFault


class PollError(StreamerError):
    """Reading raised; records of other partitions may have been drained with it, so every partition must seek back."""


class PositionsGoneError(StreamerError):
    """The positions of these partitions no longer exist on the broker: deleted by retention, or truncated."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"positions gone in {len(partitions)} partitions")
        self.partitions = frozenset(partitions)


class DamagedError(StreamerError):
    """The client cannot read what follows in these partitions; `Source.salvage` may. Of the others nothing was lost."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"records that cannot be read in {len(partitions)} partitions")
        self.partitions = frozenset(partitions)


class LeftOutError(StreamerError):
    """Nothing can be read from these partitions now; of the others nothing was lost."""

    def __init__(self, partitions: Collection[TopicPartition], fault: PartitionFault) -> None:
        super().__init__(fault.detail)
        self.partitions = frozenset(partitions)
        self.fault = fault
