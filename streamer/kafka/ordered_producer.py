"""Publishes records in their order, by one writer at a time, whoever believes to be that writer.

The producer is transactional. Its first request fences every older producer with the same ``transactional_id``, and
ends the transaction that one may have left open: a process that was frozen in the middle of its work, and replaced,
cannot publish anything any more when it wakes. The client numbers the records of each partition, so none is written
twice or out of order within one producer.

Whoever reads these topics with ``isolation.level: read_committed`` sees nothing of a transaction that failed.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
)

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import Outgoing
from streamer.kafka.closing import drop_producer, take_exception
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.producer import RefusedWriteError, new_client
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION, Timings

CLOSE_SECONDS: Final = 2.0
"""Longest wait for connections to close; what was not confirmed is published again by the next producer."""

_REFUSALS: Final = {
    MessageSizeTooLargeError: Refusal.TOO_LARGE,
    RecordListTooLargeError: Refusal.TOO_LARGE,
    # A record damaged on its way, and one that breaks a rule of the broker's that the client does not know.
    CorruptRecordException: Refusal.UNCLEAR,
    UnknownError: Refusal.UNCLEAR,
}
"""What may be the fault of a record. All other errors end by themselves, or when a person does something."""


class FencedError(UnavailableError):
    """Another process publishes now."""


class OrderedProducer:
    """One transactional producer, from its start to its first failure: after that it is of no use, and is stopped."""

    def __init__(self, kafka: KafkaSettings, *, transactional_id: str, timings: Timings = PRODUCTION) -> None:
        """Prepare; nothing is connected before `start`.

        Args:
            kafka: where the brokers are.
            transactional_id: the same for all processes of which one is to publish.
            timings: how long to wait for a confirmation.
        """
        self._timings = timings
        self._client = new_client(
            kafka,
            request_timeout_seconds=timings.relay_request,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(timings.relay_transaction * 1000),
        )

    async def start(self) -> None:
        """Connect, and fence those before.

        Raises:
            UnavailableError: the brokers are not available, or do not let us publish in transactions.
        """
        try:
            async with asyncio.timeout(self._timings.relay_publish):
                await self._client.start()
        except TimeoutError as error:
            raise UnavailableError(_not_in_time(self._timings.relay_publish)) from error
        except KafkaError as error:
            raise UnavailableError(_describe(error)) from error

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Write records in one transaction; they are confirmed when this returns.

        Records with the same key come in their order, in one partition.

        Raises:
            RefusedWriteError: the broker does not take one of them. None of them is published.
            FencedError: another producer with this id has started. None of them is published.
            UnavailableError: not confirmed in time; they may be published or not.
        """
        try:
            async with asyncio.timeout(self._timings.relay_publish):
                await self._client.begin_transaction()
                await self._send(records)
                await self._client.commit_transaction()
        except TimeoutError as error:
            raise UnavailableError(_not_in_time(self._timings.relay_publish)) from error
        except ProducerFenced as error:
            raise FencedError("another instance publishes now") from error
        except KafkaError as error:
            refusal = _REFUSALS.get(type(error))
            if refusal is not None:
                raise RefusedWriteError(refusal, type(error).__name__) from error
            raise UnavailableError(_describe(error)) from error

    async def _send(self, records: Sequence[Outgoing]) -> None:
        """The commit must wait for every confirmation: the client would commit without a record that was rejected."""
        sent: list[asyncio.Future[object]] = []
        try:
            for record in records:
                future = await self._client.send(
                    record.topic,
                    key=record.key.encode(),
                    value=record.value,
                    headers=[(name, text.encode()) for name, text in record.headers],
                )
                sent.append(future)
            for future in sent:
                await future
        finally:
            for future in sent:
                future.add_done_callback(take_exception)

    async def stop(self) -> None:
        """Disconnect, without another attempt to write."""
        await drop_producer(self._client, timeout_seconds=CLOSE_SECONDS)


def _not_in_time(seconds: float) -> str:
    return f"the brokers did not confirm the records within {seconds:g} s; check them, and the network"


def _describe(error: KafkaError) -> str:
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return "a right is missing; grant WRITE and DESCRIBE on the transactional id <inbound.group_id>.relay"
    return describe_kafka_error(error)
