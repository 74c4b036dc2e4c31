"""Records in, positions and dead letters out. This module alone speaks to the Kafka client.

The client is asyncio only and its group protocol is eager: at every rebalance all partitions are revoked and each one
starts again from its committed position. What we work around here, each measured or read in the client's source:

- Deserialisers would lose records of other partitions when one raises; there are none, values stay bytes.
- ``getmany`` with an empty selection means *all* partitions; `Source.poll` never passes one by accident.
- An assignment is live before the callback is told, so what is read across it is thrown away and read again.
- While the assignment callback runs there are no heartbeats, so it only takes note; state is restored outside of it.
- A join is judged by the request timeout: it is kept above the rebalance timeout.
- ``commit`` retries for ever and keeps the caller waiting; every commit has a timeout here, and every outcome a name.
- The bootstrap hides why it failed behind "unable to bootstrap"; `preflight` finds the reason.
"""

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InvalidCommitOffsetSizeError,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.admin import ApiVersionRequest

from streamer.core.errors import SettingsError, StreamerError, UnavailableError
from streamer.core.model import Record
from streamer.kafka_options import client_options, describe_kafka_error, is_set_up_fault
from streamer.settings import KafkaSettings

__all__ = [
    "CommitResult",
    "DeadLetterProducer",
    "PollError",
    "PositionsGoneError",
    "Source",
    "StoredPosition",
    "TopicPartition",
    "create_topics",
    "missing_topics",
    "preflight",
    "retention_seconds",
]

STOP_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for leaving the group: the client may sit in a join or in a callback."""

COMMIT_TIMEOUT_SECONDS: Final = 5.0
"""Longest wait for one commit; a later one supersedes it."""

WRITE_REQUEST_TIMEOUT_MS: Final = 7_000
"""The client gives a dead letter up that was not sent in this time, or not confirmed in as much again. Callers wait a
little longer, so that none is written anew while the client still has the last try in its hands: that makes copies."""

MAX_POLL_INTERVAL_MS: Final = 43_200_000
"""The client leaves the group by itself after this idle time. A held destination must not cause that: half a day."""

NO_OFFSET: Final = -1


class PollError(StreamerError):
    """Reading raised; records of other partitions may have been drained with it, so every partition must seek back."""


class PositionsGoneError(StreamerError):
    """The positions of these partitions no longer exist on the broker: deleted by retention, or truncated."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"positions gone in {len(partitions)} partitions")
        self.partitions = frozenset(partitions)


class CommitResult(enum.StrEnum):
    """How a commit ended."""

    STORED = "stored"
    MEMBERSHIP_CHANGED = "membership_changed"
    """Refused: a rebalance is on. What was not stored is read again by whoever owns the partition then."""
    METADATA_TOO_LARGE = "metadata_too_large"
    NOT_AUTHORISED = "not_authorised"
    TIMED_OUT = "timed_out"
    """No answer in time; it may still land, which is harmless: it only claims what was true."""
    FAILED = "failed"


class StoredPosition(NamedTuple):
    """What the broker has stored for a partition."""

    offset: int | None
    """None: nothing stored."""
    metadata: str


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
        on_assigned: Callable[[frozenset[TopicPartition]], None],
        on_revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]],
    ) -> None:
        """Prepare the client; nothing is sent before `join`.

        Args:
            kafka: where the brokers are, and the client's timeouts.
            group_id: the integration's consumer group.
            topics: what to read.
            on_assigned: told of an assignment that is already live; must not block.
            on_revoked: called before partitions are taken; may commit, and bounds its own time.
        """
        self._kafka = kafka
        self._group_id = group_id
        self._topics = list(topics)
        self._listener = _Listener(on_assigned, on_revoked)
        self._read_committed = kafka.isolation_level == "read_committed"
        self._consumer: AIOKafkaConsumer | None = None

    async def join(self) -> None:
        """Connect and join the group; returns with the first assignment, which may be empty.

        Raises:
            UnavailableError: the brokers are away or a topic is missing; it may be tried again.
        """
        self._consumer = consumer = self._new_consumer()
        consumer.subscribe(topics=self._topics, listener=self._listener)
        try:
            await consumer.start()
        except KafkaError as error:
            await self.leave()
            raise UnavailableError(describe_kafka_error(error)) from error

    def _new_consumer(self) -> AIOKafkaConsumer:
        kafka = self._kafka
        return AIOKafkaConsumer(
            **client_options(kafka),
            group_id=self._group_id,
            group_instance_id=kafka.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=kafka.isolation_level,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            rebalance_timeout_ms=kafka.rebalance_timeout_ms,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            fetch_max_bytes=kafka.fetch_max_bytes,
            max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
            # Exactly one: with k assignors the client sends k joins, one after the other.
            partition_assignment_strategy=(RangePartitionAssignor,),
        )

    async def leave(self) -> None:
        """Leave the group. The client neither revokes nor commits here: both must have been done."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await consumer.stop()

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
            max_records: most records returned.
            timeout_seconds: how long to wait for the first one.

        Raises:
            PositionsGoneError: seek these partitions before the next poll.
            PollError: seek every partition back to the next record expected before the next poll.
        """
        timeout_ms = int(timeout_seconds * 1000)
        selected = partitions or self._joined.assignment()
        if not partitions and selected:
            self._joined.pause(*selected)
        try:
            polled = await self._joined.getmany(*selected, timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise PositionsGoneError(error.args[0].keys()) from error
        except NoOffsetForPartitionError as error:
            raise PositionsGoneError(error.args) from error
        except (KafkaError, ValueError, AssertionError) as error:
            raise PollError(describe_kafka_error(error)) from error
        finally:
            if not partitions and selected:
                self._joined.resume(*(selected & self._joined.assignment()))
        return cast("Mapping[TopicPartition, Sequence[Record]]", polled)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are ours now."""
        return frozenset(self._joined.assignment())

    async def stored_positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, StoredPosition]:
        """What the group has committed, with its metadata.

        The public call returns the offset alone; the coordinator's own, which it wraps, has both.

        Raises:
            UnavailableError: the coordinator cannot be asked.
        """
        try:
            coordinator = self._joined._coordinator  # noqa: SLF001 - the public call drops the metadata
            stored = await coordinator.fetch_committed_offsets(list(partitions))
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error
        return {
            partition: StoredPosition(stored[partition].offset, stored[partition].metadata or "")
            if partition in stored and stored[partition].offset != NO_OFFSET
            else StoredPosition(None, "")
            for partition in partitions
        }

    async def log_bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First offset that still exists and the one after the last, for each partition.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        try:
            first = await self._joined.beginning_offsets(list(partitions))
            end = await self._joined.end_offsets(list(partitions))
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error
        return {partition: (first[partition], end[partition]) for partition in partitions}

    async def offset_at(self, partition: TopicPartition, epoch_ms: int) -> int | None:
        """The offset of the first record at or after a time; None: there is none yet.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        try:
            found = await self._joined.offsets_for_times({partition: epoch_ms})
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error
        place = found.get(partition)
        return place.offset if place is not None else None

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read from ``offset`` next; nothing happens when the partition is no longer ours."""
        with contextlib.suppress(IllegalStateError):
            self._joined.seek(partition, offset)

    async def position(self, partition: TopicPartition) -> int | None:
        """Where the client would read next, past markers that are no records; None: not ours, or not known yet."""
        with contextlib.suppress(IllegalStateError, TimeoutError, KafkaError):
            async with asyncio.timeout(1):
                return cast("int", await self._joined.position(partition))
        return None

    def high_watermark(self, partition: TopicPartition) -> int | None:
        """The end of what may be read, as of the last fetch; None before the first."""
        if partition not in self._joined.assignment():
            return None
        read = self._joined.last_stable_offset if self._read_committed else self._joined.highwater
        return cast("int | None", read(partition))

    def fetched_at(self, partition: TopicPartition) -> float | None:
        """Epoch seconds of the last answer to a fetch of the partition, empty ones included; None before the first.

        It stands still while fetched records wait to be polled.
        """
        if partition not in self._joined.assignment():
            return None
        milliseconds = cast("int | None", self._joined.last_poll_timestamp(partition))
        return milliseconds / 1000 if milliseconds else None

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> CommitResult:
        """Store positions with their metadata; never raises for what a broker may answer."""
        assigned = self._joined.assignment()
        # No await between the filter and the call: one partition that is not ours would refuse them all.
        ours = {partition: position for partition, position in positions.items() if partition in assigned}
        if not ours:
            return CommitResult.STORED
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                await self._joined.commit(ours)
        except (TimeoutError, KafkaError) as error:
            return next(result for kinds, result in _COMMIT_ENDS if isinstance(error, kinds))
        return CommitResult.STORED


_COMMIT_ENDS: Final = (
    (TimeoutError, CommitResult.TIMED_OUT),
    ((CommitFailedError, IllegalStateError), CommitResult.MEMBERSHIP_CHANGED),
    ((OffsetMetadataTooLargeError, InvalidCommitOffsetSizeError), CommitResult.METADATA_TOO_LARGE),
    ((GroupAuthorizationFailedError, TopicAuthorizationFailedError), CommitResult.NOT_AUTHORISED),
    (KafkaError, CommitResult.FAILED),
)
"""The first row that fits wins."""


class DeadLetterProducer:
    """Writes dead letters, each confirmed by all in-sync replicas (``acks=all``)."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            UnavailableError: the brokers are away; it may be tried again.
        """
        kafka = self._kafka
        self._producer = AIOKafkaProducer(
            **client_options(kafka) | {"request_timeout_ms": WRITE_REQUEST_TIMEOUT_MS},
            acks="all",
            # Not idempotent: after one refused batch the client leaves a gap in its sequence numbers, and the broker
            # refuses whatever it writes to that partition from then on. A copy in rare cases is the lesser evil.
            enable_idempotence=False,
            # The broker decides what is too large: a dead letter carries the record and its headers.
            max_request_size=max(kafka.max_partition_fetch_bytes, kafka.fetch_max_bytes),
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            await self.stop()
            raise UnavailableError(describe_kafka_error(error)) from error

    async def stop(self) -> None:
        """Disconnect; whatever is unconfirmed by then stays open and is read again."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await producer.stop()

    async def write(
        self, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]], *, timeout_seconds: float
    ) -> None:
        """Write one dead letter and wait until it is confirmed.

        Key, value and timestamp are the record's own; it goes to the partition of the same number where there is one.
        The client cannot send a record without key and value: that one gets an empty value and the header
        ``streamer.value.null``.

        Raises:
            MessageTooLargeError: the broker takes no message of this size.
            UnavailableError: not confirmed in time, or refused; it may be written all the same, so a copy is possible.
        """
        producer = self._producer
        if producer is None:
            raise UnavailableError("not connected")
        value = record.value
        if value is None and record.key is None:
            value, headers = b"", [*headers, ("streamer.value.null", b"1")]
        try:
            async with asyncio.timeout(timeout_seconds):
                partitions = await producer.partitions_for(topic)
                await producer.send_and_wait(
                    topic,
                    key=record.key,
                    value=value,
                    headers=list(headers),
                    timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                    partition=record.partition if record.partition in partitions else None,
                )
        except MessageSizeTooLargeError as error:
            raise MessageTooLargeError(str(type(error).__name__)) from error
        except TimeoutError as error:
            raise UnavailableError(f"not confirmed within {timeout_seconds:g} s") from error
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error


class MessageTooLargeError(StreamerError):
    """The broker takes no message of this size."""


async def preflight(kafka: KafkaSettings) -> None:
    """Open one connection, to learn in plain words why there is none.

    Raises:
        SettingsError: a broker answered and refuses our credentials, certificate or protocol, or we its certificate.
        UnavailableError: no broker can be reached.
    """
    options = client_options(kafka)
    servers = options.pop("bootstrap_servers")
    faults: list[str] = []
    reasons: list[str] = []
    for server in servers.split(",") if isinstance(servers, str) else servers:
        host, _, port = server.strip().rpartition(":")
        try:
            await _log_in(host.strip("[]"), int(port), _connection_options(options))
        except (OSError, TimeoutError, KafkaError) as error:
            text = f"{server.strip()}: {describe_kafka_error(error)}"
            (faults if is_set_up_fault(error) else reasons).append(text)
        else:
            return
    if faults:
        raise SettingsError([f"kafka: {fault}" for fault in faults])
    raise UnavailableError("; ".join(reasons))


async def _log_in(host: str, port: int, options: Mapping[str, Any]) -> None:
    """Connect and disconnect.

    One more request after the login shows that it holds: a refused bearer token comes as an answer that asks for a
    word more (RFC 7628), and aiokafka 0.14 takes it for a success.
    """
    connection = await create_conn(host, port, **options)
    try:
        answer = await connection.send(ApiVersionRequest())
    finally:
        connection.close()
    if answer.error_code:
        raise SaslAuthenticationFailed


def _connection_options(options: Mapping[str, Any]) -> dict[str, Any]:
    names = ("client_id", "request_timeout_ms", "ssl_context", "security_protocol")
    return {name: options[name] for name in options if name in names or name.startswith("sasl_")}


async def missing_topics(kafka: KafkaSettings, topics: Collection[str]) -> list[str]:
    """Which of the topics do not exist, in order.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with _admin(kafka) as admin:
        existing = set(await admin.list_topics())
    return sorted(set(topics) - existing)


async def create_topics(
    kafka: KafkaSettings, topics: Collection[str], *, like: str | None = None, partitions: int = 1
) -> None:
    """Create topics with the cluster's own replication factor; those that exist are left alone.

    Args:
        kafka: where the brokers are.
        topics: their names.
        like: a topic whose number of partitions they get.
        partitions: their number of partitions otherwise.

    Raises:
        UnavailableError: a broker refused or cannot be asked.
    """
    async with _admin(kafka) as admin:
        if like is not None:
            [description] = await admin.describe_topics([like])
            partitions = len(description["partitions"]) or partitions
        # -1 is the cluster's own replication factor, which the client takes only together with an (empty) assignment.
        answer = await admin.create_topics(
            [NewTopic(topic, partitions, -1, replica_assignments={}) for topic in topics]
        )
    refused = {topic: for_code(code) for topic, code, *_ in answer.topic_errors if code}
    reasons = [f"{topic}: {error.__name__}" for topic, error in refused.items() if error is not TopicAlreadyExistsError]
    if reasons:
        raise UnavailableError(f"topics that could not be made: {', '.join(reasons)}")


async def retention_seconds(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, float]:
    """How long the brokers keep the records of topics; topics that keep them for ever, or do not tell us, are left out.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with _admin(kafka) as admin:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": ""}) for topic in topics]
        )
    return {
        name: int(entry[1]) / 1000
        for answer in answers
        for _, _, _, name, entries in answer.resources
        for entry in entries
        if entry[0] == "retention.ms" and entry[1] is not None and int(entry[1]) >= 0
    }


@contextlib.asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await admin.close()
