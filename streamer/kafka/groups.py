"""Deletes consumer groups that nobody needs any more."""

import asyncio

from aiokafka.errors import GroupIdNotFound, KafkaError, NonEmptyGroup, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from streamer.core.errors import UnavailableError
from streamer.kafka.administration import administration
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, describe_kafka_error
from streamer.settings import KafkaSettings


async def delete_group(kafka: KafkaSettings, group_id: str) -> str:
    """Delete a consumer group with all that it has stored.

    Args:
        kafka: where the brokers are.
        group_id: one that does not exist counts as deleted.

    Returns:
        Why the group still exists; "": it does not.

    Raises:
        SettingsError: a file that the connection needs cannot be used.
        UnavailableError: the brokers cannot be asked.
    """
    async with administration(kafka) as admin:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                coordinator = await admin.find_coordinator(group_id)
                client = admin._client  # noqa: SLF001 - its connections, for a request that it has no method for
                answer = await client.send(coordinator, DeleteGroupsRequest([group_id]))
        except TimeoutError as error:
            raise UnavailableError(f"the coordinator of the group {group_id} gave no answer in time") from error
    [(_, code)] = answer.results
    fault: type[KafkaError] = for_code(code)
    if not code or fault is GroupIdNotFound:
        return ""
    if fault is NonEmptyGroup:
        return "it has members: another process runs with it"
    return describe_kafka_error(fault())
