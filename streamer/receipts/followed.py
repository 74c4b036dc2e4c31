"""How far the topic of receipts was taken over into one store: kept in the store, so that a restart goes on there."""

import json
from dataclasses import dataclass, field
from typing import Final

_VERSION: Final = 1

Place = tuple[str, int]
"""Topic and partition of records."""


@dataclass(slots=True)
class Followed:
    """What a store has of the topic of receipts."""

    topic: str
    since: float
    """All that was written to the topic about deliveries since then is in the store, up to ``positions``; in seconds
    since the epoch."""
    positions: dict[int, int] = field(default_factory=dict)
    """The next offset to read, by partition of the topic of receipts."""
    gaps: dict[Place, float] = field(default_factory=dict)
    """Until when receipts of a partition are known to be missing in the topic, in seconds since the epoch."""

    def encode(self) -> bytes:
        """For the store."""
        gaps = [[topic, partition, until] for (topic, partition), until in self.gaps.items()]
        return json.dumps([_VERSION, self.topic, self.since, list(self.positions.items()), gaps]).encode()


def decode(stored: bytes | None, topic: str) -> Followed | None:
    """What a store has of this topic; None: nothing, or it cannot be read, so that the topic is read again."""
    try:
        version, of_topic, since, positions, gaps = json.loads(stored or b"")
        if version != _VERSION or of_topic != topic:
            return None
        return Followed(
            topic,
            float(since),
            {int(partition): int(offset) for partition, offset in positions},
            {(str(place), int(partition)): float(until) for place, partition, until in gaps},
        )
    except (ValueError, TypeError):
        return None
