"""Writes dead letters, each one confirmed by the brokers."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streamer.core.errors import StreamerError, UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION


class DeadLetterProducer:
    """Writes dead letters, each confirmed by all in-sync replicas (``acks=all``)."""

    def __init__(
        self, kafka: KafkaSettings, *, request_timeout_seconds: float = PRODUCTION.letter_request_timeout
    ) -> None:
        """Prepare; nothing is connected before `start`.

        Args:
            kafka: where the brokers are.
            request_timeout_seconds: the client gives up a dead letter that was not sent in this time, or not confirmed
                in as much again. Callers of `write` wait a little longer: a letter that is written again while the
                client still has its last try in hand becomes two copies.
        """
        self._kafka = kafka
        self._request_timeout_ms = int(request_timeout_seconds * 1000)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            UnavailableError: the brokers are not available; `start` may be called again.
        """
        kafka = self._kafka
        self._producer = AIOKafkaProducer(
            **client_options(kafka) | {"request_timeout_ms": self._request_timeout_ms},
            acks="all",
            # Not idempotent: after one rejected batch the client leaves a gap in its sequence numbers, and the broker
            # rejects everything that it writes to that partition afterwards. A rare copy is better than that.
            enable_idempotence=False,
            # The broker decides what is too large: a dead letter has the record and more headers.
            max_request_size=max(kafka.max_partition_fetch_bytes, kafka.fetch_max_bytes),
        )
        keep_whole(self._producer)
        try:
            await self._producer.start()
        except KafkaError as error:
            await self.stop()
            raise UnavailableError(describe_kafka_error(error)) from error

    async def stop(self) -> None:
        """Disconnect. The records of dead letters that are not confirmed stay open and are read again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close(producer.stop)

    async def write(
        self, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]], *, timeout_seconds: float
    ) -> None:
        """Write one dead letter and wait until it is confirmed.

        Key, value and timestamp are the record's own; it goes to the partition of the same number where there is one.
        The client cannot send a record without key and value: that one gets an empty value and the header
        ``streamer.value.null``.

        Raises:
            MessageTooLargeError: the broker rejects records of this size.
            UnavailableError: not confirmed in time, or rejected; it may have been written, so a copy is possible.
        """
        producer = self._producer
        if producer is None:
            raise UnavailableError("not connected to the brokers")
        value = record.value
        if value is None and record.key is None:
            value, headers = b"", [*headers, ("streamer.value.null", b"1")]
        try:
            async with asyncio.timeout(timeout_seconds):
                partitions = await producer.partitions_for(topic)
                await producer.send_and_wait(
                    topic,
                    key=record.key,
                    value=value,
                    headers=list(headers),
                    timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                    partition=record.partition if record.partition in partitions else None,
                )
        except MessageSizeTooLargeError as error:
            raise MessageTooLargeError(str(type(error).__name__)) from error
        except TimeoutError as error:
            raise UnavailableError(f"the brokers did not confirm the write within {timeout_seconds:g} s") from error
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error


class MessageTooLargeError(StreamerError):
    """The broker rejects records of this size."""
