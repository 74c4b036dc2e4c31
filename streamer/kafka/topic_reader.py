"""Reads topics from one offset to another, without a consumer group and without commits."""

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings

Bounds = Mapping[tuple[str, int], tuple[int, int]]
"""For each topic and partition: the first offset to read, and the one after the last."""

POLL_SECONDS: Final = 1.0

MAX_STALL_SECONDS: Final = 30.0
"""Longest wait for something to arrive. The client itself would wait for its brokers without end."""

FETCH_WAIT_MS: Final = 20
"""How long the broker holds an answer back while there is nothing to send. What is read is there already, but the
client also asks at the end of a partition, and the question about the next one waits behind that answer."""

MAX_POLLED_RECORDS: Final = 500

MAX_TIMESTAMP_MS: Final = (1 << 63) - 1
"""The largest time that a request has room for."""


class TopicReader:
    """One connection for reading; ``async with`` opens and closes it."""

    def __init__(self, kafka: KafkaSettings, *, max_stall_seconds: float = MAX_STALL_SECONDS) -> None:
        """Prepare; ``max_stall_seconds`` is the longest wait for anything to arrive."""
        self._kafka = kafka
        self._max_stall_seconds = max_stall_seconds
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SettingsError: a file that the connection needs cannot be used.
            UnavailableError: the brokers are not available.
        """
        kafka = self._kafka
        self._consumer = AIOKafkaConsumer(
            **client_options(kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # retention may delete records while we read: continue with the rest
            isolation_level=kafka.isolation_level,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=kafka.fetch_max_bytes,
            max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
        )
        keep_whole(self._consumer)
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._stop()
            raise UnavailableError(describe_kafka_error(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._stop()

    async def _stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close(consumer.stop)

    async def bounds(self, topics: Collection[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """The present bounds of every partition of those topics that exist.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        return await self.bounds_between(topics, None, None)

    async def bounds_between(
        self, topics: Collection[str], since: float | None, until: float | None
    ) -> dict[tuple[str, int], tuple[int, int]]:
        """Where the records of a time are, in every partition of those topics that exist.

        The broker finds a time by the times that records carry. If a partition's records are not in the order of their
        times, the bounds begin at the first record that is not older than ``since`` and end before the first one that
        is not older than ``until``; some records behind them may be of that time as well. Whoever needs exactly the
        records of a time widens the range and compares each record's ``timestamp``.

        Args:
            topics: those that do not exist are left out.
            since: seconds since the epoch; None: from where each partition begins.
            until: seconds since the epoch, not included; None: to where each partition ends at present.

        Returns:
            For each partition the first offset, and the one after the last. They are equal if it has no such record,
            also when ``since`` is later than its newest record. The end never lies behind the partition's present end.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        try:
            partitions = [
                TopicPartition(found["topic"], partition["partition"])
                for found in await self._describe(topics)
                for partition in found["partitions"]
            ]
            async with asyncio.timeout(self._max_stall_seconds):
                await self._learn({place.topic for place in partitions})
                firsts = await self._open.beginning_offsets(partitions)
                ends = await self._open.end_offsets(partitions)
                begun = firsts if since is None else await self._at(since, ends)
                ended = ends if until is None else await self._at(until, ends)
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error
        except TimeoutError as error:
            raise UnavailableError(self._stalled("the brokers sent no offsets")) from error
        return {
            (place.topic, place.partition): (begun[place], max(begun[place], ended[place]))
            for place in sorted(partitions)
        }

    async def _learn(self, topics: Collection[str]) -> None:
        """Have the client ask who leads these topics now; by itself, it finds out after attempts that fail."""
        client = self._open._client  # noqa: SLF001 - has no method for topics that are not subscribed to
        await asyncio.gather(*(client.add_topic(topic) for topic in topics))

    async def _at(self, epoch_seconds: float, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The first offset of each partition with a record of that time or later; its end if there is none."""
        epoch_ms = math.ceil(min(max(epoch_seconds * 1000, 0.0), MAX_TIMESTAMP_MS))
        found = await self._open.offsets_for_times(dict.fromkeys(ends, epoch_ms))
        return {
            place: end if found[place] is None else min(found[place].offset, end)  # records arrive while we ask
            for place, end in ends.items()
        }

    async def read(self, bounds: Bounds) -> AsyncGenerator[Sequence[Record], None]:
        """The records within the bounds, one partition after another, in the order of their offsets.

        One partition at a time: if a response for several holds a record that the client rejects for its size, the
        client drops what it read from the others.

        Raises:
            UnavailableError: nothing arrived for ``max_stall_seconds``, or a record cannot be read.
        """
        consumer = self._open
        for place, (first, end) in bounds.items():
            partition = TopicPartition(*place)
            consumer.assign([partition])
            consumer.seek(partition, first)
            position = first
            while position < end:
                records, position = await self._poll(partition, position)
                within = [record for record in records if record.offset < end]
                if within:
                    yield within

    async def _poll(self, partition: TopicPartition, position: int) -> tuple[Sequence[Record], int]:
        """The next records, and the position behind them, which also passes markers of transactions."""
        try:
            async with asyncio.timeout(self._max_stall_seconds):
                reached = position
                records: Sequence[Record] = ()
                while reached == position:
                    polled = await self._open.getmany(
                        partition, timeout_ms=int(POLL_SECONDS * 1000), max_records=MAX_POLLED_RECORDS
                    )
                    records = polled.get(partition, ())
                    reached = await self._open.position(partition)
        except KafkaError as error:
            raise UnavailableError(f"{partition.topic}: {describe_kafka_error(error)}") from error
        except TimeoutError as error:
            raise UnavailableError(self._stalled(f"{partition.topic}: no record arrived")) from error
        return records, reached

    async def _describe(self, topics: Collection[str]) -> list[dict[str, Any]]:
        admin = AIOKafkaAdminClient(**client_options(self._kafka))
        keep_whole(admin)
        try:
            await admin.start()
            # All topics: asking for one by name would create it if the brokers create topics on demand.
            described = cast("list[dict[str, Any]]", await admin.describe_topics())
        finally:
            await close(admin.close)
        found = [topic for topic in described if topic["topic"] in topics]
        for topic in found:
            if topic["error_code"]:
                raise for_code(topic["error_code"])(topic["topic"])
        return found

    @property
    def _open(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "open it first"
        return self._consumer

    def _stalled(self, what: str) -> str:
        waited = f"{what} for {self._max_stall_seconds:g} s"
        return f"{waited}; check that the brokers run, and that streamer may READ the topic"
