"""How far the topic of receipts was taken over into one store, and where reading begins.

It is kept in the store, so that a restart goes on there, and a store that is lost is filled again from the topic.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_VERSION: Final = 1

Place = tuple[str, int]
"""Topic and partition of records."""


class Extent(NamedTuple):
    """One partition of the topic of receipts, as it is now."""

    first: int
    end: int
    """Its first offset, and the one after its last."""
    begins_at: int
    """The first offset whose time is within the window; ``end``: there is none."""
    first_time: float | None
    """The time of its first record, in seconds since the epoch; None: it has none."""


@dataclass(slots=True)
class Followed:
    """What a store has of the topic of receipts."""

    topic: str
    since: float
    """All that the topic says of deliveries since then is in the store, up to ``positions``; seconds since the
    epoch."""
    positions: dict[int, int] = field(default_factory=dict)
    """The next offset to read, by partition of the topic of receipts."""
    gaps: dict[Place, float] = field(default_factory=dict)
    """Until when receipts of a partition are known to be missing in the topic, in seconds since the epoch."""

    def encode(self) -> bytes:
        """For the store."""
        gaps = [[topic, partition, until] for (topic, partition), until in self.gaps.items()]
        return json.dumps([_VERSION, self.topic, self.since, list(self.positions.items()), gaps]).encode()

    def go_on(self, extents: Mapping[int, Extent], now: float) -> None:
        """Move the positions to where reading can go on: records may be deleted, the topic new, or have grown."""
        positions: dict[int, int] = {}
        for partition, extent in extents.items():
            position = self.positions.get(partition, extent.first)
            if position < extent.first:
                self.since = max(self.since, now if extent.first_time is None else extent.first_time)
            if not extent.first <= position <= extent.end:
                position = extent.first
            positions[partition] = position
        self.positions = positions

    def is_at(self, ends: Mapping[int, int]) -> bool:
        """Whether everything below these offsets was read."""
        return all(self.positions.get(partition, 0) >= end for partition, end in ends.items())

    def note_gap(self, place: Place, until: float) -> None:
        """Receipts of a partition are missing in the topic."""
        self.gaps[place] = max(until, self.gaps.get(place, until))

    def forget_gaps(self, before: float) -> None:
        """Gaps that ended so long ago concern no receipt that counts."""
        self.gaps = {place: until for place, until in self.gaps.items() if until >= before}


def begin(topic: str, extents: Mapping[int, Extent], *, window_start: float, now: float) -> Followed:
    """A store that has nothing of the topic: all that it says of the window is read.

    The topic says nothing of the time before its first record: instances may not have written to it then.
    """
    first_times = [extent.first_time for extent in extents.values() if extent.first_time is not None]
    return Followed(
        topic,
        max(window_start, min(first_times, default=now)),
        {partition: extent.begins_at for partition, extent in extents.items()},
    )


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
