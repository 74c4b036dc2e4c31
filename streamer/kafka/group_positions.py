"""Reads and stores the positions of a consumer group."""

import asyncio
import enum
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    IllegalStateError,
    InvalidCommitOffsetSizeError,
    KafkaError,
    NotCoordinatorForGroupError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from streamer.core.errors import UnavailableError
from streamer.core.records.obstacles import PartitionFault
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.partition_faults import fault_of

COMMIT_RETRY_SECONDS: Final = 0.1
"""Wait before a commit is sent again because the coordinator has moved or is still loading."""

OFFSETS_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for the group's stored positions, or for where partitions begin and end."""

NO_OFFSET: Final = -1

_OF_ONE_TOPIC: Final = (TopicAuthorizationFailedError, UnknownTopicOrPartitionError)
"""Errors in an answer about positions that say nothing about the other topics in it."""


class CommitResult(enum.StrEnum):
    """How a commit ended."""

    STORED = "stored"
    MEMBERSHIP_CHANGED = "membership_changed"
    """Rejected because of a rebalance. The next owner of the partition reads again what was not stored."""
    METADATA_TOO_LARGE = "metadata_too_large"
    NOT_AUTHORISED = "not_authorised"
    TIMED_OUT = "timed_out"
    """No answer in time. It may still be stored, which is harmless: it only states what was true."""
    FAILED = "failed"


class StoredPosition(NamedTuple):
    """The position that the broker has stored for a partition."""

    offset: int | None
    """None: nothing stored."""
    metadata: str


async def fetch(
    consumer: AIOKafkaConsumer, group_id: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, StoredPosition | PartitionFault]:
    """The committed positions of a group, with their metadata; or why that of a partition may not be asked.

    We send a request of our own, because the client's calls drop the metadata or, worse, the error of the whole answer:
    a coordinator that is still loading its offsets would look as if nothing were stored.

    Raises:
        UnavailableError: the coordinator cannot be asked, or has not loaded the positions yet.
    """
    topics: dict[str, list[int]] = {}
    for partition in partitions:
        topics.setdefault(partition.topic, []).append(partition.partition)
    coordinator = consumer._coordinator  # noqa: SLF001 - knows which broker to ask
    try:
        async with asyncio.timeout(OFFSETS_TIMEOUT_SECONDS):
            await coordinator.ensure_coordinator_known()
            answer = await coordinator._send_req(  # noqa: SLF001
                OffsetFetchRequest(group_id, list(topics.items()))
            )
    except (KafkaError, TimeoutError) as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    stored, faults = read_answer(answer)
    if any(issubclass(fault, NotCoordinatorForGroupError) for fault in faults):
        coordinator.coordinator_dead()
    check_answer(stored, faults, partitions)
    return stored


def read_answer(answer: Any) -> tuple[dict[TopicPartition, StoredPosition | PartitionFault], list[type[KafkaError]]]:
    """What a coordinator says of positions, and the errors that make its answer useless."""
    stored: dict[TopicPartition, StoredPosition | PartitionFault] = {}
    faults = [for_code(code) for code in {getattr(answer, "error_code", 0)} if code]
    for topic, entries in answer.topics:
        for number, offset, metadata, code in entries:
            position = StoredPosition(None, "") if offset == NO_OFFSET else StoredPosition(offset, metadata or "")
            fault = for_code(code)
            if fault in _OF_ONE_TOPIC:
                stored[TopicPartition(topic, number)] = fault_of(fault())
                continue
            if code:
                faults.append(fault)
            stored[TopicPartition(topic, number)] = position
    return stored, faults


def check_answer(
    stored: Mapping[TopicPartition, object],
    faults: Collection[type[KafkaError]],
    partitions: Collection[TopicPartition],
) -> None:
    """See that everything that was asked for is known.

    Raises:
        UnavailableError: it is not, or the coordinator has not loaded the positions yet.
    """
    if faults or stored.keys() != set(partitions):
        raise UnavailableError(
            ", ".join(sorted({fault.__name__ for fault in faults}))
            or "the group coordinator's reply omitted some partitions; streamer asks again"
        )


async def store(
    consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, tuple[int, str]], *, timeout_seconds: float
) -> CommitResult:
    """Store positions with their metadata; never raises for what a broker may answer."""
    assigned = consumer.assignment()
    # No await between the filter and the call: with one partition that is not ours, all would be rejected.
    ours = {partition: position for partition, position in positions.items() if partition in assigned}
    return await store_for_group(consumer, ours, timeout_seconds=timeout_seconds)


async def store_for_group(
    consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, tuple[int, str]], *, timeout_seconds: float
) -> CommitResult:
    """Store positions of any partitions, also of those that other members have.

    The broker looks at the generation of the sender only: after a rebalance it refuses what an earlier owner stores.
    """
    if not positions:
        return CommitResult.STORED
    try:
        async with asyncio.timeout(timeout_seconds):
            await _store(consumer, {partition: OffsetAndMetadata(*one) for partition, one in positions.items()})
    except (TimeoutError, KafkaError) as error:
        return next(result for kinds, result in _COMMIT_ENDS if isinstance(error, kinds))
    return CommitResult.STORED


async def _store(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
    """Do what the client's ``commit`` does, in the task of the caller.

    The client shields the request with a task of its own. After we have stopped waiting for that task, its error would
    be reported as one that was never retrieved.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - see above
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            async with coordinator._commit_lock:  # noqa: SLF001
                await coordinator._do_commit_offsets(None, positions)  # noqa: SLF001
        except KafkaError as error:
            if not error.retriable:
                raise
        else:
            return
        await asyncio.sleep(COMMIT_RETRY_SECONDS)


_COMMIT_ENDS: Final = (
    (TimeoutError, CommitResult.TIMED_OUT),
    (
        (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError, IllegalStateError),
        CommitResult.MEMBERSHIP_CHANGED,
    ),
    ((OffsetMetadataTooLargeError, InvalidCommitOffsetSizeError), CommitResult.METADATA_TOO_LARGE),
    ((GroupAuthorizationFailedError, TopicAuthorizationFailedError), CommitResult.NOT_AUTHORISED),
    (KafkaError, CommitResult.FAILED),
)
"""The first row that matches wins."""
