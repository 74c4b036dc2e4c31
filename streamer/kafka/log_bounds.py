"""Where the logs of partitions begin and end, asked of each leader by itself.

The client's own question waits for all partitions: one without a leader, in a deleted topic or without a right keeps
back the answer about all others for as long as the fault lasts.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest

from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka.log_ends import EARLIEST, LATEST
from streamer.kafka.partition_faults import fault_in_metadata, fault_of

ANSWER_TIMEOUT_SECONDS: Final = 5.0
"""Longest wait for news of the cluster's layout, and for the answer of one leader to one question."""

READ_UNCOMMITTED: Final = 0
"""So asked, a log ends at the high watermark."""

Bounds = tuple[int, int]
"""First offset that still exists, and the one after the last."""


async def fetch(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Bounds | PartitionFault]:
    """The bounds of each partition, or why they cannot be had now.

    Args:
        consumer: knows the cluster and its connections.
        partitions: any, of any topics.
    """
    client = consumer._client  # noqa: SLF001 - its connections, for requests that it has no method for
    if any(fault_in_metadata(client.cluster, partition) for partition in partitions):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await client.force_metadata_update()
    found: dict[TopicPartition, Bounds | PartitionFault] = {}
    by_leader: defaultdict[int, list[TopicPartition]] = defaultdict(list)
    for partition in partitions:
        fault = fault_in_metadata(client.cluster, partition)
        if fault is not None:
            found[partition] = fault
        else:
            by_leader[client.cluster.leader_for_partition(partition)].append(partition)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(_ask_both(consumer, leader, led)) for leader, led in by_leader.items()]
    for task in asking:
        found |= task.result()
    omitted = PartitionFault(Obstacle.READ_FAILED, "the leader's answer omitted the partition")
    return dict.fromkeys(partitions, omitted) | found


async def _ask_both(
    consumer: AIOKafkaConsumer, leader: int, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, Bounds | PartitionFault]:
    found: dict[TopicPartition, Bounds | PartitionFault] = {}
    firsts: dict[TopicPartition, int] = {}
    for partition, first in (await _ask(consumer, leader, partitions, EARLIEST)).items():
        if isinstance(first, PartitionFault):
            found[partition] = first
        else:
            firsts[partition] = first
    ends = await _ask(consumer, leader, list(firsts), LATEST) if firsts else {}
    for partition, end in ends.items():
        found[partition] = end if isinstance(end, PartitionFault) else (firsts[partition], end)
    return found


async def _ask(
    consumer: AIOKafkaConsumer, leader: int, partitions: Sequence[TopicPartition], when: int
) -> Mapping[TopicPartition, int | PartitionFault]:
    """One end of partitions with the same leader."""
    client = consumer._client  # noqa: SLF001 - see above
    topics: dict[str, list[tuple[int, int]]] = {}
    for partition in partitions:
        topics.setdefault(partition.topic, []).append((partition.partition, when))
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            answer = await client.send(leader, OffsetRequest(-1, READ_UNCOMMITTED, list(topics.items())))
    except (KafkaError, TimeoutError) as error:
        client.force_metadata_update()
        return dict.fromkeys(partitions, fault_of(error))
    found: dict[TopicPartition, int | PartitionFault] = {}
    for topic, entries in answer.topics:
        for number, code, _, offset in entries:
            if code:
                client.force_metadata_update()
            found[TopicPartition(topic, number)] = fault_of(for_code(code)()) if code else offset
    return found
