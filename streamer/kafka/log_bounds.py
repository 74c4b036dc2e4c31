"""Where the logs of partitions begin and end, asked of each leader by itself.

The client's own question waits for all partitions: one without a leader, in a deleted topic or without a right keeps
back the answer about all others for as long as the fault lasts.
"""

import asyncio
import contextlib
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.core.records.obstacles import PartitionFault
from streamer.kafka.log_ends import EARLIEST, LATEST, Unknown, list_offsets
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS
from streamer.kafka.partition_faults import fault_in_metadata, fault_of

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
    for partition in partitions:
        if (fault := fault_in_metadata(client.cluster, partition)) is not None:
            found[partition] = fault
    firsts = await _ask(consumer, set(partitions) - found.keys(), EARLIEST, found)
    ends = await _ask(consumer, firsts.keys(), LATEST, found)
    return found | {partition: (firsts[partition], end) for partition, end in ends.items()}


async def _ask(
    consumer: AIOKafkaConsumer,
    partitions: Collection[TopicPartition],
    when: int,
    faults: dict[TopicPartition, Bounds | PartitionFault],
) -> dict[TopicPartition, int]:
    """One end of each partition; why it is not known goes into ``faults``."""
    times = dict.fromkeys(partitions, when)
    answer = await list_offsets(consumer, times, timeout_seconds=ANSWER_TIMEOUT_SECONDS)
    known: dict[TopicPartition, int] = {}
    for partition, found in answer.found.items():
        if isinstance(found, Unknown):
            faults[partition] = fault_of(found.error)
        else:
            known[partition] = found
    if len(known) < len(times):
        consumer._client.force_metadata_update()  # noqa: SLF001 - the leader may be another one now
    return known
