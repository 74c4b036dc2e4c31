"""Counts dead letters, and writes chosen ones back to the topics that they were read from.

A record counts as written back when all in-sync replicas have confirmed it. After each batch, a note in the dead-letter
topic says which dead letters were redriven, so that a repeated run continues where an interrupted one ended. If
something happens between the two (a kill, a broker that stops), at most one batch is written twice. The copies have
the same messageIds, and the integration drops copies of delivered events as duplicates. Two redrives at the same time
do not know of each other, so they may write copies too.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Final, Protocol

from streamer.core.dead_letters.casebook import Casebook
from streamer.core.dead_letters.dead_letter import DeadLetter, Partition, Selection, read_dead_letter
from streamer.core.dead_letters.letter import Refusal
from streamer.core.dead_letters.redrive import OutgoingRecord, Plan, Skip, redriven_record
from streamer.core.dead_letters.redrive_note import note_header
from streamer.core.dead_letters.stock import Key, Stock
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka import DeadLetterProducer, RefusedWriteError
from streamer.kafka.topic_reader import Bounds
from streamer.settings import KafkaSettings, Settings
from streamer.settings.inbound import INBOUND

WRITE_TIMEOUT_SECONDS: Final = 15.0
"""Longest wait for the confirmation of one record; after it, we do not know whether the record was written."""

MAX_BATCH_RECORDS: Final = 100
"""Most records between two notes, and so the most records that are written twice after a kill."""

MAX_BATCH_BYTES: Final = 8 << 20
"""A batch ends with the record with which its values reach this size."""

Progress = Callable[[int, int], None]
"""Called with the progress of a work: how much is done, and how much there is in all."""

_Batch = list[tuple[Record, DeadLetter]]


class ReadsTopics(Protocol):
    """Reads topics from one offset to another; `streamer.kafka.topic_reader.TopicReader` does."""

    async def bounds(self, topics: Collection[str]) -> Bounds:
        """The present bounds of every partition of those topics that exist."""

    def read(self, bounds: Bounds) -> AsyncGenerator[Sequence[Record], None]:
        """The records within the bounds, one partition after another, in the order of their offsets."""


def names_of(settings: Settings) -> list[str]:
    """What may have dead letters: the integrations, and the way back."""
    return [*settings.integrations, *([] if settings.inbound is None else [INBOUND])]


def dead_letter_topics(settings: Settings, integrations: Collection[str]) -> list[str]:
    """The dead-letter topics of some of `names_of`, each once."""
    topics = {
        integration.dead_letter_topic(topic)
        for name, integration in settings.integrations.items()
        if name in integrations
        for topic in integration.topics
    }
    if settings.inbound is not None and INBOUND in integrations:
        topics.add(settings.inbound.dead_letters.topic)
    return sorted(topics)


def is_read(settings: Settings, name: str, topic: str) -> bool:
    """Whether an integration of this name delivers records of a topic, now or after it is resumed.

    A profile that is written back would be an old state behind newer ones, for everybody who reads the topic.
    """
    if settings.inbound is not None and name == INBOUND:
        # Whether calls are applied by this process or by another one.
        return topic == settings.inbound.topic
    integration = settings.integrations.get(name)
    if integration is None or topic not in integration.topics or integration.dialect == "profiles":
        return False
    return not settings.mapping(name).discard


async def take_stock(
    reader: ReadsTopics,
    topics: Collection[str],
    selection: Selection,
    key_of: Callable[[Record, DeadLetter], Key],
    on_progress: Progress,
) -> tuple[Stock[Key], list[str]]:
    """Read dead-letter topics to their present end.

    All of each topic is read, whatever the selection: a dead letter may have the old time of its record, so the broker
    cannot find it by the time at which it was set aside, and notes stand behind what they are about.

    Returns:
        The selected dead letters, and those of the topics that do not exist.

    Raises:
        UnavailableError: the brokers do not answer.
    """
    bounds = await reader.bounds(topics)
    stock = Stock(selection, key_of)
    async for record in each_record(reader, bounds, on_progress):
        stock.take(record)
    existing = {topic for topic, _ in bounds}
    return stock, [topic for topic in topics if topic not in existing]


async def find_cases(reader: ReadsTopics, topics: Collection[str], casebook: Casebook, on_progress: Progress) -> None:
    """Read dead-letter topics to their present end, for single dead letters and what became of them.

    Raises:
        UnavailableError: the brokers do not answer.
    """
    async for record in each_record(reader, await reader.bounds(topics), on_progress):
        casebook.take(record)


async def each_record(reader: ReadsTopics, bounds: Bounds, on_progress: Progress) -> AsyncGenerator[Record, None]:
    """The records within some bounds, one after another.

    Raises:
        UnavailableError: the brokers do not answer.
    """
    total, done = sum(end - first for first, end in bounds.values()), 0
    async with contextlib.aclosing(reader.read(bounds)) as polls:
        async for records in polls:
            for record in records:
                yield record
            done += len(records)
            on_progress(done, total)


async def chosen_letters(reader: ReadsTopics, plan: Plan) -> AsyncGenerator[tuple[Record, DeadLetter], None]:
    """The chosen dead letters with their records, which are read again: only their places were kept.

    Raises:
        UnavailableError: the brokers do not answer.
    """
    bounds = {partition: (offsets[0], offsets[-1] + 1) for partition, offsets in plan.chosen.items()}
    async with contextlib.aclosing(reader.read(bounds)) as polls:
        async for records in polls:
            for record in records:
                if plan.is_chosen((record.topic, record.partition), record.offset):
                    letter = read_dead_letter(record)
                    if letter is not None:  # else the topic was created anew since
                        yield record, letter


class Redrive:
    """Carries out a plan."""

    def __init__(
        self,
        kafka: KafkaSettings,
        plan: Plan,
        *,
        max_per_second: float,
        on_progress: Progress,
        compose: Callable[[Record, DeadLetter], OutgoingRecord] = redriven_record,
    ) -> None:
        """Prepare; nothing is written before `run`.

        Args:
            kafka: where the brokers are.
            plan: what to redrive; it also counts what was redriven.
            max_per_second: most records written in a second, over the whole run.
            on_progress: called after each batch.
            compose: what is written for a dead letter.
        """
        self._compose = compose
        self._plan = plan
        self._max_per_second = max_per_second
        self._max_batch_records = max(1, min(MAX_BATCH_RECORDS, int(max_per_second)))
        self._on_progress = on_progress
        self._producer = DeadLetterProducer(kafka)

    async def run(self, reader: ReadsTopics, stop: asyncio.Event) -> None:
        """Write everything back, or until ``stop`` is set: then the present batch is finished.

        Raises:
            UnavailableError: the brokers do not answer, or reject a write. What was redriven is counted and noted.
        """
        await self._producer.start()
        try:
            await self._write_all(reader, stop)
        finally:
            await self._producer.stop()

    async def _write_all(self, reader: ReadsTopics, stop: asyncio.Event) -> None:
        total = self._plan.left
        clock = asyncio.get_running_loop().time
        begun = clock()
        async with contextlib.aclosing(self._batches(reader)) as batches:
            async for batch in batches:
                await self._write_batch(batch)
                self._on_progress(self._plan.redriven, total)
                due = begun + self._plan.redriven / self._max_per_second
                if self._plan.left:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), due - clock())
                if stop.is_set():
                    return

    async def _batches(self, reader: ReadsTopics) -> AsyncGenerator[_Batch, None]:
        batch: _Batch = []
        held_bytes = 0
        async with contextlib.aclosing(chosen_letters(reader, self._plan)) as letters:
            async for record, letter in letters:
                batch.append((record, letter))
                held_bytes += len(record.value or b"")
                if len(batch) >= self._max_batch_records or held_bytes >= MAX_BATCH_BYTES:
                    yield batch
                    batch, held_bytes = [], 0
        if batch:
            yield batch

    async def _write_batch(self, batch: _Batch) -> None:
        """Write the records, count those that are confirmed, and note them."""
        async with asyncio.TaskGroup() as writes:
            tasks = [writes.create_task(self._write(record, letter)) for record, letter in batch]
        offsets: defaultdict[Partition, list[int]] = defaultdict(list)
        failure: UnavailableError | None = None
        for (record, letter), task in zip(batch, tasks, strict=True):
            error = task.result()
            if isinstance(error, RefusedWriteError):
                # The client sends records that are written together in one request: alone it may be taken.
                error = await self._write(record, letter)
            if error is None:
                self._plan.tally_of(letter).redriven += 1
                offsets[record.topic, record.partition].append(record.offset)
            elif isinstance(error, UnavailableError):
                failure = error
            else:
                is_too_large = error.refusal is Refusal.TOO_LARGE
                self._plan.tally_of(letter).skip(Skip.TOO_LARGE if is_too_large else Skip.REFUSED)
        for partition, redriven in offsets.items():
            await self._note(partition, redriven)
        if failure is not None:
            raise failure

    async def _write(self, record: Record, letter: DeadLetter) -> RefusedWriteError | UnavailableError | None:
        """Write one record back; None: confirmed. Errors are returned, because one must not cancel the other writes."""
        try:
            outgoing = self._compose(record, letter)
        except UnavailableError as error:
            return error
        try:
            await self._producer.write(
                outgoing.topic, outgoing, outgoing.headers, timeout_seconds=WRITE_TIMEOUT_SECONDS
            )
        except RefusedWriteError as error:
            # A record with a key that is refused for an unclear reason: another attempt may be accepted.
            is_for_now = error.refusal is Refusal.UNCLEAR and outgoing.key is not None
            return UnavailableError(f"{letter.topic}: {error}") if is_for_now else error
        except UnavailableError as error:
            return UnavailableError(f"{letter.topic}: {error}")
        return None

    async def _note(self, partition: Partition, offsets: Collection[int]) -> None:
        topic, number = partition
        header = note_header(offsets)
        # A compacted topic takes no record without a key, and removes one whose key comes again.
        note = OutgoingRecord(topic=topic, partition=number, key=header[1], value=b"", headers=[header])
        try:
            await self._producer.write(topic, note, note.headers, timeout_seconds=WRITE_TIMEOUT_SECONDS)
        except (UnavailableError, RefusedWriteError) as error:
            raise UnavailableError(
                f"{topic}: could not note that {len(offsets)} of its dead letters were redriven: {error}. No event is"
                " lost: the next redrive writes them again, and copies of delivered events end as duplicates"
            ) from error
