"""Reads the positions that a consumer group has stored, without being a member of it: nobody in the group notices."""

import asyncio
from collections.abc import Collection
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest

from streamer.core.errors import UnavailableError
from streamer.core.records.obstacles import PartitionFault
from streamer.kafka.administration import administration
from streamer.kafka.group_positions import OFFSETS_TIMEOUT_SECONDS, StoredPosition, check_answer, read_answer
from streamer.settings import KafkaSettings

RETRY_SECONDS: Final = 0.1
"""Wait before a coordinator is asked again that has moved or is still loading."""


async def stored_positions(
    kafka: KafkaSettings, group_id: str, partitions: Collection[tuple[str, int]]
) -> dict[tuple[str, int], StoredPosition]:
    """The stored position of each partition, with its metadata; offset None: nothing is stored.

    Args:
        kafka: where the brokers are.
        group_id: any group, also one that does not exist.
        partitions: topics and partition numbers.

    Raises:
        SettingsError: a file that the connection needs cannot be used.
        UnavailableError: the brokers cannot be asked, or a right on the group or on a topic is missing.
    """
    if not partitions:
        return {}
    wanted = [TopicPartition(*partition) for partition in partitions]
    async with administration(kafka) as admin:
        try:
            async with asyncio.timeout(OFFSETS_TIMEOUT_SECONDS):
                return await _ask_until_loaded(admin, group_id, wanted)
        except TimeoutError as error:
            raise UnavailableError(f"the coordinator of the group {group_id} gave no answer in time") from error


async def _ask_until_loaded(
    admin: AIOKafkaAdminClient, group_id: str, partitions: Collection[TopicPartition]
) -> dict[tuple[str, int], StoredPosition]:
    while True:
        try:
            return await _ask(admin, group_id, partitions)
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _ask(
    admin: AIOKafkaAdminClient, group_id: str, partitions: Collection[TopicPartition]
) -> dict[tuple[str, int], StoredPosition]:
    """Ask once. The client's own method mixes up the errors of partitions with that of the whole answer."""
    topics: dict[str, list[int]] = {}
    for partition in partitions:
        topics.setdefault(partition.topic, []).append(partition.partition)
    coordinator = await admin.find_coordinator(group_id)
    client = admin._client  # noqa: SLF001 - its connections, for a request that it has no usable method for
    answer = await client.send(coordinator, OffsetFetchRequest(group_id, list(topics.items())))
    stored, faults = read_answer(answer)
    for fault in faults:
        raise fault
    check_answer(stored, faults, partitions)
    known: dict[tuple[str, int], StoredPosition] = {}
    for (topic, number), position in stored.items():
        if isinstance(position, PartitionFault):
            raise UnavailableError(f"{topic}: {position.detail}")
        known[topic, number] = position
    return known
