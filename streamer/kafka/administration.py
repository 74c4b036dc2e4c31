"""A connection for questions to the brokers, outside of any consumer group."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.core.errors import UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings

Answer = TypeVar("Answer")

RETRY_SECONDS: Final = 0.1
"""Wait before a coordinator is asked again that has moved or is still loading, or that the cluster has yet to name."""


async def until_ready(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask a coordinator, again and again while it cannot answer yet; the caller bounds the time.

    A cluster in which no group ever stored anything has no coordinators before the first question for one.

    Raises:
        KafkaError: it will not answer.
    """
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(RETRY_SECONDS)


@contextlib.asynccontextmanager
async def administration(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that is connected while the context lasts.

    Raises:
        UnavailableError: the brokers cannot be asked, now or within the context.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    keep_whole(admin)
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await close(admin.close)
