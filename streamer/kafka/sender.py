"""Writes the records of an operator, in order, and says where each one is. It ends at the first failure."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from streamer.core.errors import UnavailableError
from streamer.kafka.closing import close, drop_producer, take_exception
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.producer import REFUSALS, RefusedWriteError, new_client
from streamer.settings import KafkaSettings

REQUEST_SECONDS: Final = 10.0
"""Longest wait for the answer to one request."""

CLOSE_SECONDS: Final = 2.0
"""Longest wait for the client to close its connections."""


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


Confirmation = asyncio.Future[RecordMetadata]
"""Ends when all in-sync replicas have the record."""


class Sender:
    """One idempotent producer: no record is written twice, whatever is tried again.

    After a failure, what it has not confirmed may be written or not, and nothing more can be written with it.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        """Prepare; nothing is connected before the context begins."""
        self._client = new_client(kafka, request_timeout_seconds=REQUEST_SECONDS, acks="all", enable_idempotence=True)
        self._unconfirmed = 0

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            UnavailableError: the brokers are not available.
        """
        try:
            await self._client.start()
        except KafkaError as error:
            await drop_producer(self._client, timeout_seconds=CLOSE_SECONDS)
            raise UnavailableError(describe_kafka_error(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect at once. What is not confirmed by now is given up: the client would wait for it."""
        if self._unconfirmed:
            await drop_producer(self._client, timeout_seconds=CLOSE_SECONDS)
        else:
            await close(self._client.stop)

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Confirmation:
        """Hand a record over; the key decides on its partition, and without one the client does.

        Raises:
            UnavailableError: the brokers do not take records at the moment.
            RefusedWriteError: this one can never be written.
        """
        try:
            confirmation: Confirmation = await self._client.send(topic, value, key=key, headers=list(headers))
        except KafkaError as error:
            raise self._failure(error) from error
        self._unconfirmed += 1
        confirmation.add_done_callback(self._note)
        return confirmation

    async def confirmed(self, confirmation: Confirmation, *, timeout_seconds: float) -> Place:
        """Wait until a record is confirmed.

        Raises:
            UnavailableError: it is not confirmed in time; it may have been written.
            RefusedWriteError: the broker does not take it.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                metadata = await asyncio.shield(confirmation)
        except TimeoutError as error:
            raise UnavailableError(f"the brokers did not confirm a record within {timeout_seconds:g} s") from error
        except KafkaError as error:
            raise self._failure(error) from error
        return Place(metadata.topic, metadata.partition, metadata.offset)

    def _note(self, confirmation: Confirmation) -> None:
        """A record is confirmed, or its producer can write no more: then it stays unconfirmed."""
        take_exception(confirmation)
        if not confirmation.cancelled() and confirmation.exception() is None:
            self._unconfirmed -= 1

    @staticmethod
    def _failure(error: KafkaError) -> UnavailableError | RefusedWriteError:
        refusal = REFUSALS.get(type(error))
        if refusal is not None:
            return RefusedWriteError(refusal, describe_kafka_error(error))
        return UnavailableError(describe_kafka_error(error))
