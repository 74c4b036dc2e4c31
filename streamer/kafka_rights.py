"""What the brokers allow us on consumer groups, asked without joining one."""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, IncompatibleBrokerVersion, KafkaError

from streamer.core.errors import UnavailableError
from streamer.kafka_options import client_options, describe_kafka_error
from streamer.settings import KafkaSettings

_READ: Final = 1 << 3
"""The bit of READ among a group's authorised operations. Source: Kafka, AclOperation."""

_NOT_TOLD: Final = -(2**31)
"""What a broker gives instead of operations that it does not tell."""

_RETRY_SECONDS: Final = 0.3


async def unreadable_groups(kafka: KafkaSettings, groups: Collection[str]) -> list[str]:
    """Which consumer groups we have no right to READ, which is to join and to commit in; in order.

    A broker too old to tell (before Kafka 2.3) counts as allowing it.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        return [group for group in sorted(groups) if not await _may_read(admin, group)]
    except IncompatibleBrokerVersion:
        return []
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await admin.close()


async def _may_read(admin: Any, group: str) -> bool:
    while True:
        try:
            (response,) = await admin.describe_consumer_groups([group], include_authorized_operations=True)
        except GroupAuthorizationFailedError:
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            # A young cluster makes the topic of its coordinators when one is first asked for.
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            (description,) = response.to_object()["groups"]
            if description["error_code"] == GroupAuthorizationFailedError.errno:
                return False
            operations: int = description["authorized_operations"]
            return operations == _NOT_TOLD or bool(operations & _READ)
