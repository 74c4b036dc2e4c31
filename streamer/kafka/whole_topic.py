"""Follows one small topic from its beginning, without a consumer group: every instance reads all of it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close, stop_consumer
from streamer.kafka.finding import keep_finding
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings

MAX_POLLED_RECORDS: Final = 500

FETCH_BYTES: Final = 1 << 20
"""Most bytes fetched ahead."""

LOOK_SECONDS: Final = 5.0
"""How often it is asked where the topic ends. The client's fetcher can die unnoticed."""


class ForbiddenTopicError(UnavailableError):
    """We may see the topic and not read it."""


class WholeTopic:
    """One connection for reading; ``async with`` opens and closes it. After an error, open another one."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Prepare; nothing is connected."""
        self._kafka = kafka
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._looked_at = 0.0
        self._positions: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SettingsError: a file that the connection needs cannot be used.
            UnavailableError: the brokers are not available.
        """
        options = client_options(self._kafka)
        self._consumer = consumer = AIOKafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        keep_whole(consumer)
        keep_finding(consumer, options)
        try:
            await consumer.start()
        except KafkaError as error:
            await self._stop()
            raise UnavailableError(describe_kafka_error(error)) from error
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._stop()

    async def _stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close(lambda: stop_consumer(consumer))

    async def find(self) -> bool:
        """Whether the topic exists, as far as we may see it; if so, go to its beginning.

        Raises:
            ForbiddenTopicError: it exists, and we may not read it.
            UnavailableError: the brokers cannot be asked.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                partitions = [TopicPartition(self._topic, number) for number in await self._partitions()]
                if not partitions:
                    return False
                self._open.assign(partitions)
                await self._open.seek_to_beginning(*partitions)
                await self._look()
        except (KafkaError, TimeoutError) as error:
            raise _ours(error) from error
        return True

    async def poll(self, seconds: float) -> Sequence[Record]:
        """What has arrived, in the order of each partition; waits at most ``seconds``.

        Raises:
            ForbiddenTopicError: we may not read it.
            UnavailableError: it cannot be read now.
        """
        try:
            polled = await self._open.getmany(timeout_ms=int(seconds * 1000), max_records=MAX_POLLED_RECORDS)
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                if time.monotonic() - self._looked_at > LOOK_SECONDS:
                    await self._look_again()
        except (KafkaError, TimeoutError) as error:
            raise _ours(error) from error
        return [record for records in polled.values() for record in records]

    async def is_caught_up(self) -> bool:
        """Whether everything has been read that the topic had when it was last looked where it ends.

        Raises:
            UnavailableError: that cannot be said now.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return not await self._behind()
        except (KafkaError, TimeoutError) as error:
            raise _ours(error) from error

    async def _partitions(self) -> list[int]:
        """The numbers of its partitions. Asked for in another way, brokers may create the topic."""
        client = self._open._client  # noqa: SLF001 - no public way to ask without creating it
        node = client.get_random_node()
        if node is None:
            raise UnavailableError("no broker is known")
        request = MetadataRequest([self._topic], allow_auto_topic_creation=False)
        answer = await client.send(node, request)
        for code, topic, *_, partitions in answer.topics:
            if topic == self._topic and not code:
                return sorted(number for _, number, *_ in partitions)
        return []

    async def _look(self) -> None:
        self._looked_at = time.monotonic()
        self._ends = await self._open.end_offsets(self._open.assignment())

    async def _look_again(self) -> None:
        """Look where it ends, and whether what was there at the last look has arrived."""
        behind = await self._behind()
        if behind and all(self._positions.get(place) == position for place, position in behind.items()):
            raise UnavailableError("the topic has more records, and none arrives")
        self._positions = behind
        await self._look()

    async def _behind(self) -> dict[TopicPartition, int]:
        """Positions in partitions that are not read to their end."""
        positions = {place: await self._open.position(place) for place in self._ends}
        return {place: position for place, position in positions.items() if position < self._ends[place]}

    @property
    def _open(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "open it first"
        return self._consumer


def _ours(error: KafkaError | TimeoutError) -> UnavailableError:
    if isinstance(error, TopicAuthorizationFailedError):
        return ForbiddenTopicError(describe_kafka_error(error))
    return UnavailableError(describe_kafka_error(error))
