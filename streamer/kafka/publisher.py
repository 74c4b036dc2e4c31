"""Writes many records at once, each one confirmed by all in-sync replicas (``acks=all``).

The client's idempotent producer has two traps. After one rejected batch its sequence numbers have a gap, and the broker
rejects everything that it writes to that partition afterwards. And its batches never expire: while brokers are away, it
keeps them, and a late one may be written hours later. So after any failure a producer is replaced: requests that use it
may finish within their time, new ones wait for the next producer, and what it still has is dropped.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from streamer.core.dead_letters.letter import Refusal
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.idempotent import IdempotentProducer
from streamer.kafka.producer import DeadLetterProducer, RefusedWriteError
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION, Timings

START_SECONDS: Final = 10.0
"""Longest wait for a new producer to connect."""

FIRST_BACKOFF_SECONDS: Final = 0.1
"""Wait before the second of consecutive producers that confirmed nothing; it doubles with each one."""


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
        self._current: IdempotentProducer | None = None
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
                producer = IdempotentProducer(self._kafka, self._timings)
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

    async def _serve_with(self, producer: "IdempotentProducer") -> None:
        """Let requests use a producer until it fails."""
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
        self._current = producer
        self.fault = None
        self._connected.set()
        await producer.failed.wait()
