"""A connection for questions to the brokers, outside of any consumer group."""

import contextlib
from collections.abc import AsyncIterator

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.core.errors import UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings


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
