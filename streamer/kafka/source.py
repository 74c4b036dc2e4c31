"""Records in, positions out: one member of a consumer group."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
)

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.records.group_member import GroupMember
from streamer.core.records.obstacles import PartitionFault
from streamer.kafka import group_positions, log_bounds, log_ends, members, unreadable
from streamer.kafka.adjusting import hold_until_sought, join_without_all_topics
from streamer.kafka.closing import close, stop_consumer
from streamer.kafka.finding import keep_finding
from streamer.kafka.group_positions import OFFSETS_TIMEOUT_SECONDS, CommitResult, StoredPosition
from streamer.kafka.log_bounds import Bounds
from streamer.kafka.log_ends import EndsAnswer
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.partition_faults import fault_in_metadata
from streamer.kafka.polling import Polling
from streamer.kafka.starting import keep_whole
from streamer.kafka.unreadable import Salvaged
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION

MAX_POLL_INTERVAL_MS: Final = 43_200_000
"""The client leaves the group by itself after this idle time. A held destination must not cause that: half a day."""

MIN_FETCH_BYTES: Final = 1 << 20
"""Least that a consumer fetches at a time, however many integrations share a process."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client is untyped
    def __init__(
        self,
        on_assigned: Callable[[frozenset[TopicPartition]], None],
        on_revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]],
    ) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._on_assigned(frozenset(assigned))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._on_revoked(frozenset(revoked))


class Source:
    """The topics of one integration, read as a member of its consumer group."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        group_id: str,
        topics: Sequence[str],
        fetch_share: float = 1.0,
        commit_timeout_seconds: float = PRODUCTION.commit_timeout,
        on_assigned: Callable[[frozenset[TopicPartition]], None],
        on_revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]],
    ) -> None:
        """Prepare the client; nothing is sent before `join`.

        Args:
            kafka: where the brokers are, and the client's timeouts.
            group_id: the integration's consumer group.
            topics: what to read.
            fetch_share: the part of what may be fetched ahead that is this integration's.
            commit_timeout_seconds: longest wait for one commit.
            on_assigned: called with an assignment that is already live; must not block.
            on_revoked: called before partitions are taken; may commit, and bounds its own time.
        """
        self._kafka = kafka
        self._group_id = group_id
        self._topics = list(topics)
        self._fetch_share = fetch_share
        self._commit_timeout_seconds = commit_timeout_seconds
        self._listener = _Listener(on_assigned, on_revoked)
        self._read_committed = kafka.isolation_level == "read_committed"
        self._consumer: AIOKafkaConsumer | None = None
        self._polling: Polling

    async def join(self) -> None:
        """Connect and join the group; returns with the first assignment, which may be empty.

        Topics that are missing, or that we have no right on, are part of an assignment as soon as the client hears of
        them (``kafka.metadata_max_age_ms``).

        Raises:
            UnavailableError: the brokers are away; it may be tried again.
        """
        options = client_options(self._kafka, is_lasting=True)
        self._consumer = consumer = self._new_consumer(options)
        self._polling = Polling(consumer)
        keep_whole(consumer)
        keep_finding(consumer, options)
        join_without_all_topics(consumer)
        hold_until_sought(consumer)
        consumer.subscribe(topics=self._topics, listener=self._listener)
        try:
            await consumer.start()
        except KafkaError as error:
            await self.leave()
            raise UnavailableError(describe_kafka_error(error)) from error
        unreadable.watch_for_damage(consumer, self._polling.note_damage)

    def _new_consumer(self, options: Mapping[str, Any]) -> AIOKafkaConsumer:
        kafka = self._kafka
        # Ten integrations of a process with 16 MiB each took 400 MB. A broker sends one batch whatever its size.
        fetch_max_bytes = max(int(kafka.fetch_max_bytes * self._fetch_share), MIN_FETCH_BYTES)
        return AIOKafkaConsumer(
            **options,
            group_id=self._group_id,
            group_instance_id=kafka.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=kafka.isolation_level,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            rebalance_timeout_ms=kafka.rebalance_timeout_ms,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            fetch_max_bytes=fetch_max_bytes,
            max_partition_fetch_bytes=min(kafka.max_partition_fetch_bytes, fetch_max_bytes),
            # Exactly one: with k assignors the client sends k joins, one after the other.
            partition_assignment_strategy=(RangePartitionAssignor,),
        )

    async def leave(self) -> None:
        """Leave the group. The client neither revokes nor commits here: both must have been done."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close(functools.partial(stop_consumer, consumer))

    @property
    def _joined(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "join first"
        return self._consumer

    async def poll(
        self, partitions: Collection[TopicPartition], *, max_records: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Read from some of the assigned partitions.

        During a rebalance this blocks until the new assignment, whatever the timeout says.

        Args:
            partitions: which; without any, nothing is read, but errors of the group's coordination surface.
            max_records: most records returned; fewer when these have `MAX_POLL_BYTES`.
            timeout_seconds: how long to wait for the first one.

        Raises:
            PositionsGoneError: seek these partitions before the next poll.
            DamagedError: `salvage` these partitions, or seek them, before the next poll.
            LeftOutError: leave these partitions out, and seek them to try again.
            PollError: seek every partition back to the next record expected before the next poll.
        """
        return await self._polling.poll(partitions, max_records=max_records, timeout_seconds=timeout_seconds)

    async def salvage(self, partition: TopicPartition, offset: int, *, max_records: int) -> Salvaged | PartitionFault:
        """What can be read from ``offset`` on where the client cannot; see `streamer.kafka.unreadable`.

        Seek the partition to where that ends before the next poll.
        """
        return await unreadable.salvage(
            self._joined,
            partition,
            offset,
            max_records=max_records,
            isolation_level=int(self._read_committed),
        )

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are ours now."""
        return frozenset(self._joined.assignment())

    def gone(self, partitions: Collection[TopicPartition]) -> list[TopicPartition]:
        """Those whose topics the brokers no longer have, as far as the client has heard."""
        return [place for place in partitions if self._joined.partitions_for_topic(place.topic) is None]

    def missing_topics(self) -> list[str]:
        """Topics of which nothing can be assigned: the client has heard that they are missing, or may not see them."""
        if self._consumer is None:
            return []
        return [topic for topic in self._topics if not self._consumer.partitions_for_topic(topic)]

    def look_for_topics(self) -> None:
        """Have the client ask soon which topics there are; by itself it does so every `metadata_max_age_ms`."""
        self._joined._client.force_metadata_update()  # noqa: SLF001 - has no other way to ask

    def fault(self, partition: TopicPartition) -> PartitionFault | None:
        """What keeps a partition from being read, as far as the client has heard; None: nothing is known."""
        return fault_in_metadata(self._joined._client.cluster, partition)  # noqa: SLF001 - has no other way to ask

    async def stored_positions(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, StoredPosition | PartitionFault]:
        """What the group has committed, with its metadata; or why that of a partition may not be asked.

        Raises:
            UnavailableError: the coordinator cannot be asked, or cannot tell yet.
        """
        return await group_positions.fetch(self._joined, self._group_id, partitions)

    async def members(self, *, timeout_seconds: float) -> list[GroupMember]:
        """The members of the group, this one first.

        Raises:
            UnavailableError: the coordinator does not answer, or not with the members.
        """
        return await members.members(self._joined, self._group_id, timeout_seconds=timeout_seconds)

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """All partitions of a topic, whoever has them, as far as the client has heard."""
        return [TopicPartition(topic, number) for number in self._joined.partitions_for_topic(topic) or ()]

    async def log_ends(self, partitions: Collection[TopicPartition], *, timeout_seconds: float) -> EndsAnswer:
        """Where partitions end (without any: all of the topics), asked now; never raises for what brokers do."""
        return await log_ends.ends(
            self._joined, partitions, read_committed=self._read_committed, timeout_seconds=timeout_seconds
        )

    async def timestamp_at(self, partition: TopicPartition, offset: int, *, timeout_seconds: float) -> int | None:
        """The time of the record at ``offset``, in ms since the epoch, read beside `poll`; None: not known."""
        return await log_ends.timestamp_at(self._joined, partition, offset, timeout_seconds=timeout_seconds)

    async def log_bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | PartitionFault]:
        """First offset that still exists and the high watermark of each partition; or why they are not known.

        The high watermark, also for who reads what is committed: a position beyond the last stable offset waits for an
        open transaction, and is no reason to read anything again.
        """
        return await log_bounds.fetch(self._joined, partitions)

    async def offset_at(self, partition: TopicPartition, epoch_ms: int) -> int | None:
        """The offset of the first record at or after a time; None: there is none yet.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        found = await log_ends.offsets(self._joined, {partition: epoch_ms}, timeout_seconds=OFFSETS_TIMEOUT_SECONDS)
        return found[partition] if found[partition] != log_ends.NO_OFFSET else None

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read from ``offset`` next, afresh; nothing happens when the partition is no longer ours."""
        with contextlib.suppress(IllegalStateError):
            self._polling.forget_damage(partition)
            self._joined.seek(partition, offset)
            self._joined.resume(partition)

    def leave_out(self, partition: TopicPartition) -> None:
        """Fetch nothing from a partition until the next `seek`."""
        with contextlib.suppress(IllegalStateError):
            self._joined.pause(partition)

    async def position(self, partition: TopicPartition) -> int | None:
        """Where the client would read next, past markers that are no records; None: not ours, or not known yet."""
        with contextlib.suppress(IllegalStateError, TimeoutError, KafkaError):
            async with asyncio.timeout(1):
                return cast("int", await self._joined.position(partition))
        return None

    def fetched_at(self, partition: TopicPartition) -> float | None:
        """Epoch seconds of the last answer to a fetch of the partition, empty ones included; None before the first.

        It does not advance while records wait to be polled: see `has_fetched`.
        """
        if partition not in self._joined.assignment():
            return None
        milliseconds = cast("int | None", self._joined.last_poll_timestamp(partition))
        return milliseconds / 1000 if milliseconds else None

    def has_fetched(self, partition: TopicPartition) -> bool:
        """Whether records of the partition wait in the client to be polled; until they are, it fetches no more."""
        return partition in self._joined._fetcher._records  # noqa: SLF001 - has no other way to ask

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> CommitResult:
        """Store positions with their metadata; never raises for what a broker may answer."""
        return await group_positions.store(self._joined, positions, timeout_seconds=self._commit_timeout_seconds)

    async def store_begins(self, begins: Mapping[TopicPartition, int]) -> CommitResult:
        """Store where the group begins, also in partitions of other members; never raises for what a broker answers."""
        positions = {partition: (begin, "") for partition, begin in begins.items()}
        return await group_positions.store_for_group(
            self._joined, positions, timeout_seconds=self._commit_timeout_seconds
        )
