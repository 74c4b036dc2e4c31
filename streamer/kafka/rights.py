"""What the brokers allow us on consumer groups, asked without joining one."""

import asyncio
from collections.abc import Collection
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from streamer.core.errors import UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.settings import KafkaSettings

_RETRY_SECONDS: Final = 0.3


async def forbidden_groups(kafka: KafkaSettings, groups: Collection[str]) -> list[str]:
    """Which consumer groups are closed to us, in order.

    What is asked is where the group's coordinator is. That takes the right to DESCRIBE the group, which READ includes:
    who may not even ask, may not join. (The authorised operations themselves are lost in aiokafka 0.14, which reads
    version 3 of DescribeGroups' answer as version 2.)

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        return [group for group in sorted(groups) if not await _may_ask(admin, group)]
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await close(admin.close)


async def _may_ask(admin: AIOKafkaAdminClient, group: str) -> bool:
    while True:  # the caller bounds the time
        try:
            await admin.find_coordinator(group)
        except GroupAuthorizationFailedError:
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            # A young cluster makes the topic of its coordinators when one is first asked for.
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return True
