"""Polls: records of several partitions, in portions, and errors with the partitions that they concern."""

import contextlib
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)

from streamer.core.model import Record
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.partition_faults import fault_of
from streamer.kafka.poll_errors import DamagedError, LeftOutError, PollError, PositionsGoneError

MAX_POLL_BYTES: Final = 8 << 20
"""A poll ends once its values have so many bytes. The limits of a fetch do not bound them: what is read out of a
compressed batch may be a hundred times what was fetched."""

MAX_PORTION_RECORDS: Final = 20
"""Records taken from the client at once, before a look at how large they are: it counts no bytes."""


_NOWHERE: Final = TopicPartition("", -1)
"""What is selected for nothing to be read; the client would take an empty selection for all partitions. Pausing them
instead makes it drop what it has fetched, and fetch that again as soon as they are resumed: 26 MB each time, which stay
until the garbage collector looks at cycles that old. It hardly ever does while a full service waits."""


_OF_PARTITIONS: Final = (
    OffsetOutOfRangeError,
    NoOffsetForPartitionError,
    TopicAuthorizationFailedError,
    RecordTooLargeError,
)
"""Errors that concern some partitions. The client raises them before it has drained anything, so nothing is lost."""


class Polling:
    """The polls of one consumer, and what they know of partitions from one to the next."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Begin; ``consumer`` may be started later."""
        self._consumer = consumer
        self._damaged: set[TopicPartition] = set()
        """Partitions in which the client has come to something that it cannot read."""
        self._kept: PositionsGoneError | LeftOutError | None = None
        """Raised by the next poll: it was found when records had been taken already."""

    async def poll(
        self, partitions: Collection[TopicPartition], *, max_records: int, timeout_seconds: float
    ) -> dict[TopicPartition, list[Record]]:
        """Read; see `streamer.kafka.Source.poll`."""
        kept, self._kept = self._kept, None
        if kept is not None and not kept.partitions.isdisjoint(partitions):
            raise kept
        timeout_ms = int(timeout_seconds * 1000)
        self._raise_for_damage(partitions)
        try:
            taken = await self._take(partitions or (_NOWHERE,), max_records, timeout_ms)
        except (KafkaError, ValueError, AssertionError) as error:
            raise PollError(describe_kafka_error(error)) from error
        if not taken:
            self._raise_for_damage(partitions)
        return taken

    def _raise_for_damage(self, partitions: Collection[TopicPartition]) -> None:
        if self._damaged and (damaged := self._damaged.intersection(partitions)):
            raise DamagedError(damaged)

    def note_damage(self, partition: TopicPartition) -> None:
        """What follows in a partition cannot be read: fetch nothing from it until the next seek."""
        self._damaged.add(partition)
        with contextlib.suppress(IllegalStateError):
            self._consumer.pause(partition)  # it would fetch the same again and again

    def forget_damage(self, partition: TopicPartition) -> None:
        """The partition was sought."""
        self._damaged.discard(partition)

    async def _take(
        self, partitions: Collection[TopicPartition], max_records: int, timeout_ms: int
    ) -> dict[TopicPartition, list[Record]]:
        taken: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        value_bytes = 0
        while max_records > 0 and value_bytes < MAX_POLL_BYTES:
            try:
                portion = await self._consumer.getmany(
                    *partitions,
                    timeout_ms=0 if taken else timeout_ms,
                    max_records=min(max_records, MAX_PORTION_RECORDS),
                )
            except _OF_PARTITIONS as error:
                ours = self._of_partitions(error)
                if not taken:
                    raise ours from error
                # The client drained nothing for it, and has forgotten it; while others are busy, it might never be
                # the first thing of a poll.
                self._kept = ours
                break
            if not portion:
                break
            for partition, records in portion.items():
                taken[partition] += records
                max_records -= len(records)
                value_bytes += sum(len(record.value) for record in records if record.value is not None)
        return taken

    def _of_partitions(self, error: KafkaError) -> PositionsGoneError | LeftOutError:
        """An error of the client that concerns some partitions, and none of the others."""
        if isinstance(error, OffsetOutOfRangeError):
            return PositionsGoneError(error.args[0].keys())
        if isinstance(error, NoOffsetForPartitionError):
            return PositionsGoneError(error.args)
        if isinstance(error, TopicAuthorizationFailedError):
            [topic] = error.args
            affected = [place for place in self._consumer.assignment() if place.topic == topic]
            return LeftOutError(affected, fault_of(error))
        _, partition, *_ = error.args
        return LeftOutError(
            [partition], PartitionFault(Obstacle.READ_FAILED, "what the broker sends is no complete batch")
        )
