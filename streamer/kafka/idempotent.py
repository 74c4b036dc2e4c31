"""One idempotent producer of the client, and its end. `streamer.kafka.publisher` says why it must end."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownProducerId,
)

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import UnavailableError
from streamer.kafka.closing import drop_producer, take_exception
from streamer.kafka.options import describe_kafka_error
from streamer.kafka.producer import new_client
from streamer.logs import Event, logger, place_of
from streamer.settings import KafkaSettings
from streamer.timings import Timings

MAX_BATCH_BYTES: Final = 256 << 10
"""Records of one partition that travel together, before compression. A larger record travels alone."""

CLOSE_SECONDS: Final = 2.0
"""Longest wait for a client to close its connections, once everything that it had is dropped."""

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)

_OF_THE_PRODUCER: Final = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)
"""Errors that say nothing about a record or a broker: the next producer can write the same record."""


class IdempotentProducer:
    """One idempotent producer of the client, from its start to its first failure."""

    def __init__(self, kafka: KafkaSettings, timings: Timings) -> None:
        self._client = new_client(
            kafka,
            request_timeout_seconds=timings.publish_request_timeout,
            acks="all",
            enable_idempotence=True,
            max_batch_size=MAX_BATCH_BYTES,
        )
        self._timings = timings
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self.failed = asyncio.Event()
        """Set by the first failure: no further request may use it."""
        self.has_confirmed = False
        """Whether a record was confirmed: what fails afterwards is a new fault."""

    async def start(self) -> None:
        """Connect.

        Raises:
            UnavailableError: the brokers are not available.
        """
        try:
            await self._client.start()
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error

    async def write(self, records: Sequence[OutgoingRecord], suspects: list[OutgoingRecord]) -> list[OutgoingRecord]:
        """Write records and wait for all of them.

        Args:
            records: to be written.
            suspects: gets those that were refused for their size, or for that of a record in the same batch.

        Returns:
            Those that the next producer must write, because this one can no longer.

        Raises:
            UnavailableError: one of them was rejected.
        """
        with self._use():
            try:
                # Before anything is sent: a topic that does not exist is no failure of the producer.
                for topic in dict.fromkeys(record.topic for record in records):
                    await self._client.partitions_for(topic)
            except KafkaError as error:
                raise UnavailableError(describe_kafka_error(error)) from error
            try:
                errors = await self._send(records)
            except BaseException:
                self.failed.set()
                raise
        self.has_confirmed |= None in errors
        if any(error is not None for error in errors):
            self.failed.set()
        again = []
        for record, found in zip(records, errors, strict=True):
            if isinstance(found, _TOO_LARGE):
                suspects.append(record)
            elif isinstance(found, _OF_THE_PRODUCER):
                again.append(record)
            elif found is not None:
                raise UnavailableError(describe_kafka_error(found)) from found
        return again

    async def _send(self, records: Sequence[OutgoingRecord]) -> list[BaseException | None]:
        """The error of each record; None: it is confirmed."""
        sent: list[asyncio.Future[object]] = []
        try:
            for record in records:
                future: asyncio.Future[object]
                try:
                    future = await self._client.send(
                        record.topic,
                        key=record.key,
                        value=record.value,
                        headers=list(record.headers),
                        timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                    )
                except KafkaError as error:
                    future = asyncio.get_running_loop().create_future()
                    future.set_exception(error)
                sent.append(future)
            await asyncio.wait(sent)
        finally:
            # Whoever waited may be gone before the client knows how these end.
            for future in sent:
                future.add_done_callback(take_exception)
        return [future.exception() for future in sent]

    @contextlib.contextmanager
    def _use(self) -> Iterator[None]:
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def end(self) -> None:
        """Let the requests that use it finish within their time, then drop what it has, and disconnect."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timings.publish):
                    await self._unused.wait()
        finally:
            try:
                await drop_producer(self._client, timeout_seconds=CLOSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - a client that ends badly must not end what has replaced it
                logger().emit(
                    Event.TASK_FAILED, logger="aiokafka", error_type=type(error).__name__, stack=place_of(error)
                )
