"""Where a group begins with a topic of which it has stored nothing: the setting ``start``.

``start`` is for a topic that the group *enters*, not for a partition that the topic gets later: that one is read from
its beginning, also when it was added while no instance ran. When several instances start a new group at once, a
partition without a stored position may be either. So one member enters a topic for the whole group: the one that has
partition 0. It stores where each partition begins, assigned to it or not, in one commit. The others wait until they
find that stored. From then on, a partition of the topic without a stored position is one that was added.

With ``earliest`` both begin at the same place, and nobody has to wait.

The begins are found out once and stored as they are until that has succeeded. So a commit whose answer got lost, and
that the broker takes late, can set a position back to its begin, but never forward.
"""

import time
from collections.abc import Collection, Mapping
from datetime import datetime

from streamer.kafka import TopicPartition
from streamer.pipeline.ports import RecordSource


class Starts:
    """What one integration knows of the topics that its group has entered."""

    def __init__(self, start: str | datetime, *, patience_seconds: float) -> None:
        """Know nothing yet.

        Args:
            start: where to begin with a topic: ``earliest``, ``latest`` or a time.
            patience_seconds: how long another member may take to enter a topic before that is said.
        """
        self._start = start
        self._patience_seconds = patience_seconds
        self._known: set[str] = set()
        """Topics of which partitions were ours before: nothing stored means that they were made anew."""
        self._begins: dict[TopicPartition, int] = {}
        """Where partitions begin of topics that we enter; kept until that is stored."""
        self._awaited: dict[str, float] = {}
        """Topics that another member has to enter: since when we wait, in monotonic seconds."""

    def note(self, partitions: Collection[TopicPartition]) -> None:
        """These are ours, and have a place to begin."""
        self._known |= {partition.topic for partition in partitions}

    async def to_store(
        self, source: RecordSource, given: Collection[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, int], set[str]]:
        """Which topics have to be entered before their partitions can begin.

        Returns:
            The begins that we have to store, and the topics that another member has to enter.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        if self._start == "earliest" or not given:
            return {}, set()
        topics = {partition.topic for partition in given}
        places = {topic: _of(topic, given) | set(source.partitions_of(topic)) for topic in topics}
        stored = await source.stored_positions(set().union(*places.values()))
        fresh = {topic for topic in topics if all(stored[place].offset is None for place in places[topic])}
        ours = {topic for topic in fresh if TopicPartition(topic, 0) in given}
        self._begins = {place: begin for place, begin in self._begins.items() if place.topic in ours}
        unknown = set().union(*(places[topic] for topic in ours)) - self._begins.keys()
        if unknown:
            self._begins |= await self._find(source, unknown)
        now = time.monotonic()
        self._awaited = {topic: self._awaited.get(topic, now) for topic in fresh - ours}
        return dict(self._begins), fresh - ours

    def late(self) -> list[str]:
        """The topics that another member has not entered for too long."""
        now = time.monotonic()
        return sorted(topic for topic, since in self._awaited.items() if now - since > self._patience_seconds)

    async def _find(self, source: RecordSource, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        begins: dict[TopicPartition, int] = {}
        for partition, (first, end) in (await source.log_bounds(partitions)).items():
            if partition.topic in self._known:
                begins[partition] = first
            elif isinstance(self._start, datetime):
                found = await source.offset_at(partition, int(self._start.timestamp() * 1000))
                begins[partition] = end if found is None else found
            else:
                begins[partition] = end
        return begins


def _of(topic: str, partitions: Collection[TopicPartition]) -> set[TopicPartition]:
    return {partition for partition in partitions if partition.topic == topic}
