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

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import CommitResult, StoredPosition, TopicPartition
from streamer.pipeline.commits import Commits
from streamer.pipeline.ports import RecordSource

AWAITED: Final = PartitionFault(
    Obstacle.READ_FAILED,
    "the instance with partition 0 of the topic has not stored yet where the group begins; its log says why",
)


class Starts:
    """What one integration knows of the topics that its group has entered."""

    def __init__(self, start: str | datetime) -> None:
        """Know nothing yet.

        Args:
            start: where to begin with a topic: ``earliest``, ``latest`` or a time.
        """
        self._start = start
        self._known: set[str] = set()
        """Topics of which partitions were ours before: nothing stored means that they were made anew."""
        self._begins: dict[TopicPartition, int] = {}
        """Where partitions begin of topics that we enter; kept until that is stored."""

    def note(self, partitions: Collection[TopicPartition]) -> None:
        """These are ours, and have a place to begin."""
        self._known |= {partition.topic for partition in partitions}

    async def enter(
        self,
        source: RecordSource,
        given: Collection[TopicPartition],
        is_current: Callable[[], bool],
        commits: Commits,
    ) -> Mapping[str, PartitionFault]:
        """Have the group enter topics of which it has stored nothing.

        Args:
            source: asks the brokers, and stores.
            given: all partitions of ours in some topics; nothing changes for other topics.
            is_current: whether they are still ours.
            commits: counts what is stored.

        Returns:
            The topics that have to wait, and why.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        begins, waiting = await self.to_store(source, given)
        if not begins or not is_current():
            return waiting
        result = await commits.enter(source, begins)
        if result is CommitResult.STORED:
            return waiting
        unstored = PartitionFault(Obstacle.READ_FAILED, f"where the group begins could not be stored: {result}")
        return {**waiting, **{partition.topic: unstored for partition in begins}}

    async def to_store(
        self, source: RecordSource, given: Collection[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, int], Mapping[str, PartitionFault]]:
        """Which topics have to be entered before their partitions can begin.

        Args:
            source: asks the brokers.
            given: all partitions of ours in some topics; nothing changes for other topics.

        Returns:
            The begins that we have to store, and the topics that cannot be entered now: another member has to, or a
            partition of the topic cannot be asked. The other topics do not wait for them.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        if self._start == "earliest" or not given:
            return {}, {}
        topics = {partition.topic for partition in given}
        places = {topic: _of(topic, given) | set(source.partitions_of(topic)) for topic in topics}
        stored = await source.stored_positions(set().union(*places.values()))
        waiting: dict[str, PartitionFault] = {}
        fresh: set[str] = set()
        for topic in topics:
            answers = [stored[place] for place in places[topic]]
            if any(isinstance(answer, StoredPosition) and answer.offset is not None for answer in answers):
                continue
            fresh.add(topic)
            if fault := next((answer for answer in answers if isinstance(answer, PartitionFault)), None):
                waiting[topic] = fault
        ours = {topic for topic in fresh - waiting.keys() if TopicPartition(topic, 0) in given}
        self._begins = {
            place: begin for place, begin in self._begins.items() if place.topic in ours or place.topic not in topics
        }
        unknown = set().union(*(places[topic] for topic in ours)) - self._begins.keys()
        for place, begin in (await self._find(source, unknown)).items() if unknown else ():
            if isinstance(begin, PartitionFault):
                waiting[place.topic] = begin
            else:
                self._begins[place] = begin
        waiting |= dict.fromkeys(fresh - ours - waiting.keys(), AWAITED)
        begins = {place: at for place, at in self._begins.items() if place.topic in ours - waiting.keys()}
        return begins, waiting

    async def _find(
        self, source: RecordSource, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int | PartitionFault]:
        begins: dict[TopicPartition, int | PartitionFault] = {}
        for partition, ends in (await source.log_bounds(partitions)).items():
            if isinstance(ends, PartitionFault):
                begins[partition] = ends
            elif partition.topic in self._known:
                begins[partition] = ends[0]
            elif isinstance(self._start, datetime):
                found = await source.offset_at(partition, int(self._start.timestamp() * 1000))
                begins[partition] = ends[1] if found is None else found
            else:
                begins[partition] = ends[1]
        return begins


def _of(topic: str, partitions: Collection[TopicPartition]) -> set[TopicPartition]:
    return {partition for partition in partitions if partition.topic == topic}
