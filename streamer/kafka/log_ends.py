"""Asks the leaders of partitions where these end, apart from fetching and without the client's retries.

A fetch tells the ends too, but only while records are fetched: with a full buffer, a held destination or a broker that
hangs, what it said last would be taken for the truth. The requests go over the member's own connections, so nothing is
opened for them; one that is given up leaves its connection as it is.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from streamer.core.errors import UnavailableError
from streamer.core.records.log_ends import LogEnds
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.partition_faults import leader_of

LATEST: Final = -1
EARLIEST: Final = -2
"""Times that stand for the ends of a partition in a request."""

NO_OFFSET: Final = -1
"""Stands in an answer for "no such record"."""

READ_UNCOMMITTED: Final = 0
READ_COMMITTED: Final = 1

RETRY_SECONDS: Final = 0.1
"""Wait before leaders are asked again that have changed."""


class OmittedError(KafkaError):  # type: ignore[misc]  # the client is untyped
    """A leader's answer says nothing of a partition that it was asked about."""

    retriable = True


class Unknown(NamedTuple):
    """Why an offset is not known."""

    error: BaseException
    is_answer: bool
    """Whether a broker said so; False: the leader did not answer, or there is none."""


class EndsAnswer(NamedTuple):
    """What the brokers said about the ends of partitions."""

    ends: Mapping[TopicPartition, LogEnds]
    faults: Mapping[TopicPartition, str]
    """Why nothing is known of the other partitions that were asked about."""
    heard_at: float | None
    """When a broker last answered, be it with an error, in monotonic seconds; None: none did."""


Found = int | Unknown
"""An offset (`NO_OFFSET`: there is none), or why it is not known."""


class Offsets(NamedTuple):
    """What leaders said about offsets."""

    found: Mapping[TopicPartition, Found]
    heard_at: float | None
    """As in `EndsAnswer`."""


async def ends(
    consumer: AIOKafkaConsumer,
    partitions: Collection[TopicPartition],
    *,
    read_committed: bool,
    timeout_seconds: float,
) -> EndsAnswer:
    """Where partitions end. One partition without a leader, or a leader that hangs, hides no other partition.

    Args:
        consumer: a started client that knows the topics.
        partitions: which ones; without any, all of the topics that it subscribes to.
        read_committed: whether the last stable offset counts for who reads.
        timeout_seconds: longest wait.
    """
    partitions = partitions or _all_of(consumer)
    # The last stable offset is asked for last, so that what is written in between never looks like a transaction.
    asking = [list_offsets(consumer, dict.fromkeys(partitions, LATEST), timeout_seconds=timeout_seconds)]
    if read_committed:
        stable = list_offsets(
            consumer, dict.fromkeys(partitions, LATEST), timeout_seconds=timeout_seconds, isolation=READ_COMMITTED
        )
        asking.append(stable)
    answers = await asyncio.gather(*asking)
    found: dict[TopicPartition, LogEnds] = {}
    faults: dict[TopicPartition, str] = {}
    for partition in partitions:
        end, last_stable = answers[0].found[partition], answers[-1].found[partition]
        if isinstance(end, int) and isinstance(last_stable, int):
            found[partition] = LogEnds(max(end, last_stable), last_stable)
        else:
            unknown = end if isinstance(end, Unknown) else last_stable
            assert isinstance(unknown, Unknown), "one of the two is"
            faults[partition] = describe_kafka_error(unknown.error)
    return EndsAnswer(found, faults, _latest(answer.heard_at for answer in answers))


async def list_offsets(
    consumer: AIOKafkaConsumer,
    times: Mapping[TopicPartition, int],
    *,
    timeout_seconds: float,
    isolation: int = READ_UNCOMMITTED,
) -> Offsets:
    """The first offset at or after a time, for each partition; all leaders are asked at the same time.

    Args:
        consumer: a started client that knows the topics.
        times: in ms since the epoch, or `LATEST` or `EARLIEST`.
        timeout_seconds: longest wait for an answer.
        isolation: `READ_UNCOMMITTED` to look at all records, `READ_COMMITTED` to end at the last stable offset.
    """
    client = consumer._client  # noqa: SLF001 - what the consumer offers asks for all partitions or none
    found: dict[TopicPartition, Found] = {}
    by_leader: defaultdict[int, dict[TopicPartition, int]] = defaultdict(dict)
    for partition, epoch_ms in times.items():
        leader = leader_of(client.cluster, partition)
        if leader is None:
            found[partition] = Unknown(LeaderNotAvailableError(partition), is_answer=False)
            client.force_metadata_update()
        else:
            by_leader[leader][partition] = epoch_ms
    asking = [_ask(consumer, leader, asked, isolation, timeout_seconds) for leader, asked in by_leader.items()]
    answers = await asyncio.gather(*asking)
    for answer in answers:
        found |= answer.found
    if any(isinstance(entry, Unknown) and entry.is_answer for entry in found.values()):
        client.force_metadata_update()  # as the client does: the leader may be another one now
    return Offsets(found, _latest(answer.heard_at for answer in answers))


async def _ask(
    consumer: AIOKafkaConsumer,
    leader: int,
    times: Mapping[TopicPartition, int],
    isolation: int,
    timeout_seconds: float,
) -> Offsets:
    topics: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for partition, epoch_ms in times.items():
        topics[partition.topic].append((partition.partition, epoch_ms))
    found: dict[TopicPartition, Found]
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await consumer._client.send(leader, OffsetRequest(-1, isolation, list(topics.items())))  # noqa: SLF001
    except (KafkaError, TimeoutError) as error:
        return Offsets(dict.fromkeys(times, Unknown(error, is_answer=False)), None)
    heard_at = time.monotonic()  # not later: another leader may hang, and what this one said gets older meanwhile
    found = dict.fromkeys(times, Unknown(OmittedError("the leader's answer omitted the partition"), is_answer=False))
    for topic, entries in answer.topics:
        for number, code, *_, offset in entries:
            place = TopicPartition(topic, number)
            found[place] = Unknown(for_code(code)(place), is_answer=True) if code else offset
    return Offsets(found, heard_at)


async def offsets(
    consumer: AIOKafkaConsumer, times: Mapping[TopicPartition, int], *, timeout_seconds: float
) -> Mapping[TopicPartition, int]:
    """Like `list_offsets`, all of them: leaders that change are asked for a while.

    Raises:
        UnavailableError: something is missing after ``timeout_seconds``, or is not going to come.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        left = deadline - asyncio.get_running_loop().time()
        found = (await list_offsets(consumer, times, timeout_seconds=max(left, RETRY_SECONDS))).found
        error = next((entry.error for entry in found.values() if isinstance(entry, Unknown)), None)
        if error is None:
            return {place: entry for place, entry in found.items() if isinstance(entry, int)}
        may_come = isinstance(error, KafkaError) and error.retriable
        if not may_come or left < RETRY_SECONDS:
            raise UnavailableError(describe_kafka_error(error)) from error
        await asyncio.sleep(RETRY_SECONDS)


async def timestamp_at(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, *, timeout_seconds: float
) -> int | None:
    """The time of the batch that has the record at ``offset``, or the next one that exists, in ms since the epoch.

    The broker sends that one batch, whatever its size. Only its head is read: nothing is unpacked.

    Returns:
        None when the broker does not say.
    """
    client = consumer._client  # noqa: SLF001 - a read beside the client's own, which moves nothing
    leader = leader_of(client.cluster, partition)
    if leader is None:
        return None
    asked = [(partition.topic, [(partition.partition, offset, 1)])]
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await client.send(leader, FetchRequest(0, 0, 1, READ_UNCOMMITTED, asked))
    except (KafkaError, TimeoutError):
        return None
    for _, entries in answer.topics:
        for _, code, _, *rest in entries:
            return None if code else _first_timestamp(rest[-1])
    return None


def _first_timestamp(batches: bytes) -> int | None:
    records = MemoryRecords(batches)
    batch = records.next_batch() if records.has_next() else None
    if batch is None or not hasattr(batch, "first_timestamp"):
        return None  # nothing there, or a batch of Kafka 0.10
    timestamp = int(batch.max_timestamp if batch.timestamp_type == 1 else batch.first_timestamp)
    return timestamp if timestamp >= 0 else None


def _latest(times: Iterable[float | None]) -> float | None:
    return max((moment for moment in times if moment is not None), default=None)


def _all_of(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in consumer.subscription()
        for number in consumer.partitions_for_topic(topic) or ()
    ]
