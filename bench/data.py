"""What waits on Kafka when a row begins: topics, filled once and read by every run with a consumer group of its own."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from bench.events import EventMaker
from streamer.kafka import create_topics
from streamer.settings import KafkaSettings

PARTITIONS: Final = 6

BATCH_RECORDS: Final = 200
"""Records of one batch of the producer; batches go to the partitions in turn. Uncompressed."""

MAX_BATCH_BYTES: Final = 1_000_000
MAX_UNCONFIRMED: Final = 64
"""Batches on their way to the broker."""

DUPLICATE_EVERY: Final = 5
NEAR: Final = 4
FAR: Final = 50_000
"""One record in five is a copy: of the one four before, which is still on its way then, or, every other time, of one
50,000 before, which was delivered long ago."""

POISON_EVERY: Final = 1_000
POISON: Final = b'{"event": "Response Submitted", "userId": "cut off in the mi'


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Records of one form, by number."""

    form: str = "getuserfeedback"
    events: int
    """Records in all topics together."""
    partitions: int = PARTITIONS
    """Of each topic."""
    topics: int = 1
    has_copies: bool = False
    has_poison: bool = False

    @property
    def calls(self) -> int:
        """How many of them become calls."""
        copies = sum(_original(number) != number for number in range(self.events)) if self.has_copies else 0
        return self.events - copies - (self.events // POISON_EVERY if self.has_poison else 0)

    @property
    def topic_names(self) -> list[str]:
        """Names of its topics, which no other data have."""
        marks = f"{'-copies' if self.has_copies else ''}{'-poison' if self.has_poison else ''}"
        stem = f"{self.form}-{self.events}-{self.topics}x{self.partitions}{marks}"
        return [f"{stem}-{number}" for number in range(self.topics)]

    def values(self) -> Iterator[bytes]:
        """The values of all records."""
        make = EventMaker(self.form)
        for number in range(self.events):
            if self.has_poison and number % POISON_EVERY == POISON_EVERY - 1:
                yield POISON
            else:
                yield make(_original(number) if self.has_copies else number)


class _Place(NamedTuple):
    topic: str
    partition: int


async def fill(servers: str, data: Data) -> None:
    """Make the topics and write all records into them."""
    await create_topics(KafkaSettings(bootstrap_servers=servers), data.topic_names, partitions=data.partitions)
    places = [_Place(topic, number) for number in range(data.partitions) for topic in data.topic_names]
    values = data.values()
    unconfirmed: set[asyncio.Future[object]] = set()
    async with new_producer(servers) as producer:
        for index in range(-(-data.events // BATCH_RECORDS)):
            batch = list(itertools.islice(values, BATCH_RECORDS))
            place = places[index % len(places)]
            unconfirmed.add(await send_batch(producer, place.topic, place.partition, batch))
            if len(unconfirmed) >= MAX_UNCONFIRMED:
                done, unconfirmed = await asyncio.wait(unconfirmed, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
        await asyncio.gather(*unconfirmed)


def new_producer(servers: str) -> AIOKafkaProducer:
    """A producer of batches, see `send_batch`; not started."""
    return AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=MAX_BATCH_BYTES)


async def send_batch(
    producer: AIOKafkaProducer, topic: str, partition: int, values: list[bytes]
) -> asyncio.Future[object]:
    """Write a batch, which costs a tenth of writing its records one by one; the future is its confirmation."""
    batch = producer.create_batch()
    now_ms = int(time.time() * 1_000)
    for value in values:
        appended = batch.append(key=None, value=value, timestamp=now_ms)
        assert appended is not None, "a batch has room for all its records"
    future: asyncio.Future[object] = await producer.send_batch(batch, topic, partition=partition)
    return future


def _original(number: int) -> int:
    """The number of the record that the record with this number is a copy of; its own, if it is none."""
    if number % DUPLICATE_EVERY != DUPLICATE_EVERY - 1:
        return number
    is_far = number // DUPLICATE_EVERY % 2 == 1 and number > FAR
    return number - FAR - NEAR if is_far else number - NEAR
