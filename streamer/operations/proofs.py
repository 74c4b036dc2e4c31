"""Reads what proves how records ended: the topic of receipts, and the dead-letter topics."""

import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Final, NamedTuple

from streamer.core.audit import Oldest
from streamer.core.dead_letters.redrive_note import read_note
from streamer.core.dead_letters.told import ToldLetter, read_told
from streamer.core.model import Record
from streamer.core.records.receipt_record import ReceiptBatch, decode
from streamer.kafka.topic_reader import Bounds, TopicReader

CLOCK_SECONDS: Final = 60.0
"""How far the clocks of brokers and instances may differ: so much earlier it is read."""

OnRecords = Callable[[int], object]
"""Called with the number of records that were read since it was last called."""


class FoundLetter(NamedTuple):
    """A dead letter and its place in the dead-letter topic."""

    told: ToldLetter
    topic: str
    partition: int
    offset: int


async def proof_bounds(
    reader: TopicReader, topics: Collection[str], since: float
) -> dict[tuple[str, int], tuple[int, int]]:
    """Where the proofs are of records of this time (seconds since the epoch) or later: none is older than its record.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    return await reader.bounds_between(topics, max(since - CLOCK_SECONDS, 0.0), None) if topics else {}


async def receipts(
    reader: TopicReader, bounds: Bounds, on_records: OnRecords, digests: Collection[bytes] = ()
) -> AsyncGenerator[ReceiptBatch, None]:
    """The receipts within bounds of a topic of receipts.

    Args:
        reader: connected.
        bounds: where to read.
        on_records: told of the progress.
        digests: only batches with one of these; none: all.

    Raises:
        UnavailableError: a record cannot be read.
    """
    async with contextlib.aclosing(reader.read(bounds)) as polls:
        async for records in polls:
            for record in records:
                value = record.value
                if digests and (value is None or not any(digest in value for digest in digests)):
                    continue
                batch = decode(record.key, value)
                if batch is not None:
                    yield batch
            on_records(len(records))


async def letters(
    reader: TopicReader, bounds: Bounds, on_records: OnRecords
) -> AsyncGenerator[FoundLetter | Sequence[tuple[str, int, int]], None]:
    """The dead letters within bounds, and of each note of a redrive the places of the dead letters that it names.

    Raises:
        UnavailableError: a record cannot be read.
    """
    async with contextlib.aclosing(reader.read(bounds)) as polls:
        async for records in polls:
            for record in records:
                spans = read_note(record)
                if spans is not None:
                    first = bounds[record.topic, record.partition][0]
                    yield [
                        (record.topic, record.partition, offset)
                        for span in spans
                        for offset in range(max(span.start, first), span.stop)
                    ]
                elif (told := read_told(record)) is not None:
                    yield FoundLetter(told, record.topic, record.partition, record.offset)
            on_records(len(records))


async def oldest_of(reader: TopicReader, topics: Collection[str]) -> list[Oldest]:
    """The oldest record of each partition of some topics.

    Raises:
        UnavailableError: the brokers cannot be asked, or a record cannot be read.
    """
    oldest = []
    for place, (first, end) in (await reader.bounds(topics)).items() if topics else ():
        record = await record_at(reader, place, first, end)
        oldest.append(Oldest(first, math.inf if record is None else record.timestamp / 1000))
    return oldest


async def record_at(reader: TopicReader, partition: tuple[str, int], offset: int, end: int) -> Record | None:
    """The first record of a partition at or after an offset and below ``end``; None: there is none.

    Raises:
        UnavailableError: the record cannot be read.
    """
    async with contextlib.aclosing(reader.read({partition: (offset, end)})) as polls:
        async for records in polls:
            return records[0]
    return None
