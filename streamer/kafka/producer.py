"""Writes dead letters, each one confirmed by the brokers."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    UnknownError,
    UnsupportedForMessageFormatError,
)

from streamer.core.dead_letters.dead_letter import VALUE_NULL
from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import StreamerError, UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close
from streamer.kafka.finding import keep_finding
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION

COMPRESSION: Final = "zstd"
"""A record that its producer compressed may be too large for the broker without compression."""

MAX_REQUEST_BYTES: Final = (1 << 31) - 1
"""Largest record that the client passes on: the broker decides what is too large, after compression."""

REFUSALS: Final = {
    MessageSizeTooLargeError: Refusal.TOO_LARGE,
    RecordListTooLargeError: Refusal.TOO_LARGE,
    InvalidTimestampError: Refusal.TIME,
    PolicyViolationError: Refusal.RULE,
    UnsupportedForMessageFormatError: Refusal.RULE,
    # Brokers up to 2.x answer so to a record without a key in a compacted topic, and all to one damaged on its way.
    CorruptRecordException: Refusal.UNCLEAR,
    # The client does not know INVALID_RECORD, which newer brokers answer, and takes it for an error without a name.
    UnknownError: Refusal.UNCLEAR,
}
"""Errors that mean: the broker does not take the record as it is."""


def new_client(kafka: KafkaSettings, *, request_timeout_seconds: float, **options: Any) -> AIOKafkaProducer:
    """The client's producer with our remedies, not started.

    Args:
        kafka: where the brokers are.
        request_timeout_seconds: longest wait for the answer to one of its requests.
        options: what else the client takes; they say how safely it writes.
    """
    shared = client_options(kafka, is_lasting=True) | {"request_timeout_ms": int(request_timeout_seconds * 1000)}
    client = AIOKafkaProducer(**shared, **options, max_request_size=MAX_REQUEST_BYTES, compression_type=COMPRESSION)
    keep_whole(client)
    keep_finding(client, shared)
    return client


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
        self._request_timeout_seconds = request_timeout_seconds
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            UnavailableError: the brokers are not available; `start` may be called again.
        """
        self._producer = new_client(
            self._kafka,
            request_timeout_seconds=self._request_timeout_seconds,
            acks="all",
            # Not idempotent: after one rejected batch the client leaves a gap in its sequence numbers, and the broker
            # rejects everything that it writes to that partition afterwards. A rare copy is better than that.
            enable_idempotence=False,
        )
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
        """Write one record and wait until it is confirmed.

        Key, value and timestamp are the record's own (a negative timestamp: the present time); it goes to the partition
        of the same number where there is one. The client cannot send a record without key and value: that one gets an
        empty value and the header ``streamer.value.null``. Records that are written at the same time may travel
        together, and then a refusal of one is a refusal of all.

        Raises:
            RefusedWriteError: the broker does not take the record as it is.
            UnavailableError: not confirmed in time, or rejected; it may have been written, so a copy is possible.
        """
        producer = self._producer
        if producer is None:
            raise UnavailableError("not connected to the brokers")
        value = record.value
        if value is None and record.key is None:
            value, headers = b"", [*headers, (VALUE_NULL, b"1")]
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
        except TimeoutError as error:
            raise UnavailableError(f"the brokers did not confirm the write within {timeout_seconds:g} s") from error
        except KafkaError as error:
            refusal = REFUSALS.get(type(error))
            if refusal is not None:
                raise RefusedWriteError(refusal, type(error).__name__) from error
            raise UnavailableError(describe_kafka_error(error)) from error


class RefusedWriteError(StreamerError):
    """The broker does not take a record as it is; ``refusal`` says why."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
