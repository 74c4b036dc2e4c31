"""Writes many records at once, each one confirmed by all in-sync replicas (``acks=all``).

The client's idempotent producer has two traps. After one rejected batch its sequence numbers have a gap, and the broker
rejects everything that it writes to that partition afterwards. And its batches never expire: while brokers are away, it
keeps them, and a late one may be written hours later. So after any failure a producer is replaced: requests that use it
may finish within their time, new ones wait for the next producer, and what it still has is dropped.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
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

from streamer.core.dead_letters.letter import Refusal
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.finding import keep_finding
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.producer import COMPRESSION, MAX_REQUEST_BYTES, DeadLetterProducer, RefusedWriteError
from streamer.kafka.starting import keep_whole
from streamer.logs import Event, logger, place_of
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION, Timings

MAX_BATCH_BYTES: Final = 256 << 10
"""Records of one partition that travel together, before compression. A larger record travels alone."""

START_SECONDS: Final = 10.0
"""Longest wait for a new producer to connect."""

CLOSE_SECONDS: Final = 2.0
"""Longest wait for a client to close its connections, once everything that it had is dropped."""

FIRST_BACKOFF_SECONDS: Final = 0.1
"""Wait before the second of consecutive producers that confirmed nothing; it doubles with each one."""

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


class Publisher:
    """Shares one producer between all requests, and replaces it when it failed. Call `run` in a task of its own.

    Memory: the records of the requests in progress, and, for as long as a request may last, those of requests that
    failed. After that a failed producer is closed and holds nothing.
    """

    def __init__(self, kafka: KafkaSettings, timings: Timings = PRODUCTION) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            kafka: where the brokers are.
            timings: how long to wait for an answer, for a request, and before a producer is replaced.
        """
        self._kafka = kafka
        self._timings = timings
        self._current: _Producer | None = None
        self._connected = asyncio.Event()
        self._one_by_one = DeadLetterProducer(kafka, request_timeout_seconds=timings.publish_request_timeout)
        self._can_write_one_by_one = asyncio.Event()
        self._alone = asyncio.Lock()
        self.fault: str | None = "not connected to the brokers yet"
        """Why nothing can be written now, in plain words; None: a producer is connected."""

    async def run(self) -> None:
        """Keep a producer connected, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._connect_one_by_one(), name="producer of single records")
                await self._replace_producers(tasks)
        finally:
            await self._one_by_one.stop()

    async def publish(self, records: Sequence[OutgoingRecord], *, timeout_seconds: float) -> list[OutgoingRecord]:
        """Write records and wait until all of them are confirmed.

        The partition of a record is ignored: its key decides. A record without a key goes to any partition.

        Returns:
            Those that the broker refuses because they are too large for their topic. All others are confirmed.

        Raises:
            UnavailableError: not all are confirmed in time, or one was rejected. Some may be written, so copies are
                possible.
        """
        pending, suspects = list(records), list[OutgoingRecord]()
        try:
            async with asyncio.timeout(timeout_seconds):
                while pending:
                    await self._connected.wait()
                    assert self._current is not None, "it is connected"
                    pending = await self._current.write(pending, suspects)
                # Records travel together, and then the refusal of one is the refusal of all.
                return [record for record in suspects if not await self._fits(record)]
        except TimeoutError as error:
            raise UnavailableError(
                self.fault or f"the brokers did not confirm the records within {timeout_seconds:g} s"
            ) from error

    async def _fits(self, record: OutgoingRecord) -> bool:
        """Write a record alone, by a producer that such refusals do not harm; False: it is too large."""
        await self._can_write_one_by_one.wait()
        try:
            async with self._alone:
                await self._one_by_one.write(
                    record.topic, record, record.headers, timeout_seconds=2 * self._timings.publish_request_timeout
                )
        except RefusedWriteError as error:
            if error.refusal is Refusal.TOO_LARGE:
                return False
            raise UnavailableError(f"the brokers refuse the record: {error}") from error
        return True

    async def _connect_one_by_one(self) -> None:
        while not self._can_write_one_by_one.is_set():
            try:
                await self._one_by_one.start()
            except (SettingsError, UnavailableError):
                await asyncio.sleep(self._timings.publish_backoff)
            else:
                self._can_write_one_by_one.set()

    async def _replace_producers(self, tasks: asyncio.TaskGroup) -> None:
        failures = 0
        while True:
            try:
                producer = _Producer(self._kafka, self._timings)
            except SettingsError as error:  # a file that was there at the start
                self.fault = str(error)
                await asyncio.sleep(self._timings.publish_backoff)
                continue
            try:
                await self._serve_with(producer)
            except (UnavailableError, TimeoutError) as error:
                self.fault = str(error) or "the brokers did not answer in time"
            except BaseException:
                await producer.end()
                raise
            finally:
                self._current = None
                self._connected.clear()
            ending = tasks.create_task(producer.end(), name="end of a producer")
            if failures:
                await asyncio.wait({ending})  # at most two of them at a time
            failures = 0 if producer.has_confirmed else failures + 1
            if failures:
                wait = FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10)
                await asyncio.sleep(min(wait, self._timings.publish_backoff))

    async def _serve_with(self, producer: "_Producer") -> None:
        """Let requests use a producer until it fails."""
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
        self._current = producer
        self.fault = None
        self._connected.set()
        await producer.failed.wait()


class _Producer:
    """One idempotent producer of the client, from its start to its first failure."""

    def __init__(self, kafka: KafkaSettings, timings: Timings) -> None:
        options = client_options(kafka, is_lasting=True)
        options["request_timeout_ms"] = int(timings.publish_request_timeout * 1000)
        self._client = AIOKafkaProducer(
            **options,
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_REQUEST_BYTES,
            max_batch_size=MAX_BATCH_BYTES,
            compression_type=COMPRESSION,
        )
        keep_whole(self._client)
        keep_finding(self._client, options)
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
                future.add_done_callback(_take_exception)
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
                await self._drop()
            except Exception as error:  # noqa: BLE001 - a client that ends badly must not end what has replaced it
                logger().emit(
                    Event.TASK_FAILED, logger="aiokafka", error_type=type(error).__name__, stack=place_of(error)
                )

    async def _drop(self) -> None:
        """Close the client without another attempt to write: its own ``stop`` waits for its batches, for ever."""
        accumulator = self._client._message_accumulator  # noqa: SLF001 - no public way, see above
        accumulator.reenqueue = lambda _batch: None
        accumulator.fail_all(ProducerClosed())
        await close(self._client.client.close, timeout_seconds=CLOSE_SECONDS)
        await close(self._client.stop, timeout_seconds=CLOSE_SECONDS)


def _take_exception(future: "asyncio.Future[object]") -> None:
    """Tell asyncio that somebody has looked, so that it does not log the exception as lost."""
    if not future.cancelled():
        future.exception()
