"""Reads a whole topic, without a consumer group and without commits, and goes on with what is written to it."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close, stop_consumer
from streamer.kafka.finding import keep_finding
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings

FETCH_BYTES: Final = 1 << 20
"""Most bytes that are fetched ahead from one broker; a larger record is fetched alone."""


class TopicFollower:
    """One connection for reading; ``async with`` opens and closes it. Partitions are named by their numbers.

    It reads all partitions that the topic has when it is opened, and nothing before `seek`. When records that it was to
    read next are deleted meanwhile, it goes on with the first one that is left.
    """

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Prepare; nothing is connected."""
        self._kafka = kafka
        self._topic = topic
        self._partitions: dict[int, TopicPartition] = {}
        self._consumer: AIOKafkaConsumer

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SettingsError: a file that the connection needs cannot be used.
            UnavailableError: the brokers are not available, or there is no such topic.
        """
        options = client_options(self._kafka, is_lasting=True)
        self._consumer = consumer = AIOKafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=self._kafka.isolation_level,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        keep_whole(consumer)
        keep_finding(consumer, options)
        try:
            await consumer.start()
            # All topics: asking for one by name would create it if the brokers create topics on demand.
            cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - no public way
        except BaseException as error:
            await close(consumer.stop)
            if isinstance(error, KafkaError):
                raise UnavailableError(describe_kafka_error(error)) from error
            raise
        numbers = cluster.partitions_for_topic(self._topic) or ()
        self._partitions = {number: TopicPartition(self._topic, number) for number in sorted(numbers)}
        if not numbers:
            await close(consumer.stop)
            raise UnavailableError(f"the topic {self._topic} does not exist, or the right to DESCRIBE it is missing")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await close(lambda: stop_consumer(self._consumer))

    @property
    def has_grown(self) -> bool:
        """Whether the topic has partitions that are not read; open another follower."""
        return len(self._consumer.partitions_for_topic(self._topic) or ()) > len(self._partitions)

    async def bounds(self) -> Mapping[int, tuple[int, int]]:
        """The first offset of each partition, and the one after the last.

        Raises:
            UnavailableError: not all of them can be had now.
        """
        first = await self._asked(self._consumer.beginning_offsets(self._partitions.values()))
        end = await self._asked(self._consumer.end_offsets(self._partitions.values()))
        return {number: (first[place], end[place]) for number, place in self._partitions.items()}

    async def found_at(self, epoch_ms: int) -> Mapping[int, tuple[int, int] | None]:
        """The first record of each partition whose time is this or later: its offset and time; None: there is none.

        Raises:
            UnavailableError: not all of them can be had now.
        """
        answer = await self._asked(self._consumer.offsets_for_times(dict.fromkeys(self._partitions.values(), epoch_ms)))
        found = {number: answer[place] for number, place in self._partitions.items()}
        return {number: None if one is None else (one.offset, one.timestamp) for number, one in found.items()}

    async def reached(self) -> Mapping[int, int]:
        """The next offset to be polled of each partition; it passes markers of transactions, which are no records."""
        return {number: await self._asked(self._consumer.position(place)) for number, place in self._partitions.items()}

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from here, each partition."""
        assert positions.keys() == self._partitions.keys(), "every partition is read"
        self._consumer.assign(list(self._partitions.values()))
        for number, offset in positions.items():
            self._consumer.seek(self._partitions[number], offset)

    async def poll(self, *, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        """The next records of each partition; empty: nothing came in this time.

        Raises:
            UnavailableError: the brokers do not let us read, or a record cannot be read.
        """
        try:
            polled = await self._consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        except KafkaError as error:
            raise UnavailableError(f"{self._topic}: {describe_kafka_error(error)}") from error
        return {place.partition: records for place, records in polled.items()}

    async def _asked(self, question: Any) -> Any:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return await question
        except KafkaError as error:
            raise UnavailableError(f"{self._topic}: {describe_kafka_error(error)}") from error
        except TimeoutError as error:
            raise UnavailableError(
                f"{self._topic}: no answer within {ANSWER_TIMEOUT_SECONDS:g} s; check that the brokers run, and that"
                " streamer may READ the topic"
            ) from error
