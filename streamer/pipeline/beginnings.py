"""What is found out about a partition before it is read, or why that cannot be had."""

from typing import Final, NamedTuple

from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import StoredPosition

BEYOND: Final = PartitionFault(Obstacle.READ_FAILED, "the stored position lies beyond the end of the partition")

REFUSED: Final = PartitionFault(
    Obstacle.NOT_AUTHORISED, "where reading begins may not be stored: grant READ on the topic and on the group"
)


class Beginning(NamedTuple):
    """What is known of a partition that gets a ledger."""

    stored: StoredPosition
    bounds: tuple[int, int]
    """First offset that still exists, and the one after the last."""
