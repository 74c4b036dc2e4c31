"""The relay: publishes the outbox of the directory, in order, at least once, one relay at a time over all processes.

    lock -> read the next records -> one transaction on Kafka -> delete them -> the next ones

Records are deleted after the brokers have confirmed them, so a kill in between publishes them again: later, but in
order. The lock keeps two relays from working at the same time. A relay that is frozen loses it without noticing; the
next one's producer fences the old one's, so that it cannot publish old profiles after new ones when it wakes.

A record that the brokers refuse for good must not keep all others from being published. Smaller and smaller groups
find it; then it is left out, and the log says so. The directory itself still has what it said.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeVar

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import UnavailableError
from streamer.inbound.availability import Availability, Backoff
from streamer.inbound.ports import Entry, Outbox, Producer, RelayLock
from streamer.kafka import RefusedWriteError
from streamer.logs import Event, logger, place_of
from streamer.timings import Timings

MAX_RECORDS: Final = 500
"""Records of one transaction on Kafka."""

READER: Final = "relay, reading"
WRITER: Final = "relay, writing"
"""Names of these users of the directory. A file that is locked, or a standby, can still be read."""

MAX_UNCLEAR_REFUSALS: Final = 5
"""After so many, an answer that may mean a broker in trouble counts as a refusal for good."""

Answer = TypeVar("Answer")


class Relay:
    """Publishes while it has the lock; otherwise it waits for the lock."""

    def __init__(
        self, outbox: Outbox, *, new_producer: Callable[[], Producer], availability: Availability, timings: Timings
    ) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            outbox: what to publish.
            new_producer: makes one; after a failure a new one is made.
            availability: is told whether the directory can be used.
            timings: how long to wait for what.
        """
        self._outbox = outbox
        self._new_producer = new_producer
        self._availability = availability
        self._timings = timings
        self._backoff = Backoff(timings.relay_retry)
        self._max_records = MAX_RECORDS
        """Fewer while a record is being looked for that the brokers refuse."""
        self._unclear_refusals = 0
        """How often the record that is first now was refused with an answer that may mean a broker in trouble."""
        self._news = asyncio.Event()
        self.has_lock = False
        """Whether this process is the one that publishes."""
        self.fault = ""
        """Why nothing can be published now; empty: nothing is known to be wrong."""
        self.published = 0
        """Records published by this process."""
        self.skipped = 0
        """Records that the brokers refuse for good."""

    def wake(self) -> None:
        """Records were stored: look at once."""
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled. Whatever was not confirmed is published again later."""
        while True:
            try:
                await self._work()
            except UnavailableError as error:
                self.fault = str(error)
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the relay for good
                self.fault = f"a bug in streamer: {type(error).__name__} at {place_of(error)}"
                logger().emit(Event.TASK_FAILED, detail=self.fault, error_type=type(error).__name__)
            await asyncio.sleep(self._backoff.next_seconds())

    async def _work(self) -> None:
        """Publish until something fails, which is raised."""
        lock = self._outbox.relay_lock()
        try:
            while not await self._asked(lock.take()):
                self.fault = ""
                self._availability.rests(WRITER)
                await asyncio.sleep(self._timings.relay_poll)
            self.has_lock = True
            await self._publish_all(lock)
        finally:
            self.has_lock = False
            with contextlib.suppress(UnavailableError):
                await lock.drop()

    async def _publish_all(self, lock: RelayLock) -> None:
        producer: Producer | None = None
        try:
            while True:
                self._news.clear()
                await self._asked(lock.confirm())
                entries = await self._asked(self._outbox.read(self._max_records))
                if not entries:
                    self._availability.rests(WRITER)
                    await self._wait_for_news()
                    continue
                if producer is None:
                    producer = self._new_producer()
                    await producer.start()
                    continue  # this fences all others, so what is published must be read under a lock that is held now
                try:
                    await producer.publish([entry.record for entry in entries])
                except RefusedWriteError as error:
                    await producer.stop()
                    producer = None
                    await self._narrow(entries, error)
                    continue
                await self._asked(self._outbox.delete([entry.number for entry in entries]), WRITER)
                self._worked(entries)
        finally:
            if producer is not None:
                await producer.stop()

    async def _narrow(self, entries: Sequence[Entry], error: RefusedWriteError) -> None:
        """The brokers refuse a group of records: publish a smaller one next, or leave out the one at fault."""
        self.fault = f"the brokers refuse a record for {entries[0].record.topic}: {error}"
        if len(entries) > 1:
            self._max_records = len(entries) // 2
            return
        self._unclear_refusals += error.refusal is Refusal.UNCLEAR
        if error.refusal is Refusal.UNCLEAR and self._unclear_refusals < MAX_UNCLEAR_REFUSALS:
            await asyncio.sleep(self._backoff.next_seconds())
            return
        [entry] = entries
        await self._asked(self._outbox.delete([entry.number]), WRITER)
        self._unclear_refusals = 0
        self.skipped += 1
        logger().emit(
            Event.OUTBOX_SKIPPED,
            topic=entry.record.topic,
            reason=str(error),
            size=len(entry.record.value or b""),
        )

    def _worked(self, entries: Sequence[Entry]) -> None:
        self.published += len(entries)
        self._unclear_refusals = 0
        self.fault = ""
        self._backoff.reset()
        self._max_records = min(2 * self._max_records, MAX_RECORDS)

    async def _wait_for_news(self) -> None:
        self.fault = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timings.relay_poll):
                await self._news.wait()

    async def _asked(self, question: Coroutine[object, object, Answer], user: str = READER) -> Answer:
        """What the directory answers; whether it does is noted."""
        try:
            answer = await question
        except UnavailableError as error:
            self._availability.failed(user, error)
            raise
        self._availability.worked(user)
        return answer
