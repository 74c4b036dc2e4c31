"""What is found out about a partition before it is read, or why that cannot be had."""

from typing import Final, NamedTuple

from streamer.core.records import statement as statements
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.core.records.window import Window
from streamer.kafka import StoredPosition, TopicPartition

BEYOND: Final = PartitionFault(Obstacle.READ_FAILED, "the stored position lies beyond the end of the partition")

REFUSED: Final = PartitionFault(
    Obstacle.NOT_AUTHORISED, "where reading begins may not be stored: grant READ on the topic and on the group"
)


class Beginning(NamedTuple):
    """What is known of a partition that gets a ledger."""

    stored: StoredPosition
    bounds: tuple[int, int]
    """First offset that still exists, and the one after the last."""


def within(window: Window, partition: TopicPartition, stored: StoredPosition) -> StoredPosition:
    """What counts as stored: where a window decides where to begin, nobody has asked for more than that.

    Without a statement of ours, whoever opens the partition would take the position for one that an operator has set.
    """
    begin = window.begin(*partition)
    if begin is None or stored.offset is not None:
        return stored
    return StoredPosition(begin, statements.encode(begin, begin, (), None))


def clipped(window: Window, partition: TopicPartition, offset: int | None, bounds: tuple[int, int]) -> tuple[int, int]:
    """The bounds of a log as far as a window reaches.

    Args:
        window: of which partition what is read.
        partition: this one.
        offset: where it would begin; None: not known.
        bounds: first offset that still exists, and the one after the last.

    Returns:
        Bounds whose first offset is at most the end of the window. If the position lies beyond the log, the topic was
        recreated, and of what the window meant nothing exists any more: then both are the end of the window.
    """
    first, end = bounds
    until = window.end(*partition)
    if window.bounds is not None and offset is not None and offset > end:
        return until, until
    return min(first, until), end
