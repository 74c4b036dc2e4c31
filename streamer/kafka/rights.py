"""Which rights we have on consumer groups, found out without joining one."""

import asyncio
from collections.abc import Collection
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from streamer.core.errors import UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings

RETRY_SECONDS: Final = 0.3
"""Wait before a question is asked again that the cluster could not answer yet."""


async def forbidden_groups(
    kafka: KafkaSettings, groups: Collection[str], *, retry_seconds: float = RETRY_SECONDS
) -> list[str]:
    """The consumer groups that we have no right to join, sorted.

    The question is where the group's coordinator is. It needs the right to DESCRIBE the group, which READ includes: a
    client that may not ask may not join. (The authorised operations themselves are lost in aiokafka 0.14, which reads
    version 3 of the answer to DescribeGroups as version 2.)

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    keep_whole(admin)
    try:
        await admin.start()
        return [group for group in sorted(groups) if not await _may_ask(admin, group, retry_seconds)]
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await close(admin.close)


async def _may_ask(admin: AIOKafkaAdminClient, group: str, retry_seconds: float) -> bool:
    while True:  # the caller sets a timeout
        try:
            await admin.find_coordinator(group)
        except GroupAuthorizationFailedError:
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            # A new cluster creates the topic of its coordinators at the first question.
            await asyncio.sleep(retry_seconds)
        else:
            return True
