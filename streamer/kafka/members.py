"""Asks the coordinator of a consumer group who its members are.

The request goes over the member's own connection for data: the one for coordination is occupied while a rebalance
waits, and what fails on it makes the client look for another coordinator.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest

from streamer.core.errors import UnavailableError
from streamer.core.records.group_member import GroupMember
from streamer.kafka.administration import administration
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, describe_kafka_error
from streamer.settings import KafkaSettings

MAX_MEMBERS: Final = 100
"""Most members that are told of; this process is the first."""


async def members(consumer: AIOKafkaConsumer, group_id: str, *, timeout_seconds: float) -> list[GroupMember]:
    """The members of a group.

    Args:
        consumer: a member.
        group_id: of its group.
        timeout_seconds: longest wait.

    Raises:
        UnavailableError: the coordinator does not answer, or not with the members.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - knows which broker to ask
    node, own_id = coordinator.coordinator_id, coordinator.member_id
    if node is None:
        raise UnavailableError("the coordinator of the group is not known now")
    request = DescribeGroupsRequest([group_id], include_authorized_operations=False)
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await consumer._client.send(node, request)  # noqa: SLF001 - has no other way to ask
    except (KafkaError, TimeoutError) as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    return _members_in(answer, own_id)


async def members_of(kafka: KafkaSettings, group_ids: Collection[str]) -> dict[str, list[GroupMember]]:
    """The members of groups, asked without being one of them. A group that does not exist has no members.

    Raises:
        SettingsError: a file that the connection needs cannot be used.
        UnavailableError: the brokers cannot be asked, or a right on a group is missing.
    """
    async with administration(kafka) as admin:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return {
                    group_id: _members_in(answer, None)
                    for group_id in group_ids
                    for answer in await admin.describe_consumer_groups([group_id])
                }
        except TimeoutError as error:
            raise UnavailableError("the coordinator of the group gave no answer in time") from error


def _members_in(answer: Any, own_id: str | None) -> list[GroupMember]:
    """The members that an answer about one group names; ``own_id``: the name that the group has for this process."""
    [(code, _, _, _, _, found, *_)] = answer.groups
    if code:
        raise UnavailableError(describe_kafka_error(for_code(code)()))
    told = [
        GroupMember(client_id or "", (host or "").lstrip("/"), _partitions(assignment), member_id == own_id)
        for member_id, client_id, host, _, assignment in found
    ]
    return sorted(told, key=lambda member: (not member.is_this, member.host, member.client_id))[:MAX_MEMBERS]


def _partitions(assignment: bytes) -> int:
    """How many partitions a member has; none while a rebalance is under way."""
    if not assignment:
        return 0
    try:
        decoded: Any = ConsumerProtocolMemberAssignment.decode(assignment)
        return len(decoded.partitions())
    except Exception:  # noqa: BLE001 - another kind of client may write what it likes
        return 0
