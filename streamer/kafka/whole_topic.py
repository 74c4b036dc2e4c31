"""One small topic that every instance reads as a whole, and that may not exist yet.

`streamer.kafka.topic_follower` reads topics that exist. This looks for one without creating it, over connections that
stay: that may go on for as long as the service runs.
"""

import asyncio
import functools
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka.closing import close, stop_consumer
from streamer.kafka.finding import keep_finding
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, client_options, describe_kafka_error
from streamer.kafka.starting import keep_whole
from streamer.kafka.topic_follower import TopicFollower
from streamer.settings import KafkaSettings

MAX_POLLED_RECORDS: Final = 500

LOOK_SECONDS: Final = 5.0
"""How often it is asked where the topic ends. The client's fetcher can die unnoticed."""


class ForbiddenTopicError(UnavailableError):
    """We may see the topic and not read it."""


class WholeTopic:
    """Finds and follows the topic; ``async with`` opens and closes it. After an error, open another one."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Prepare; nothing is connected."""
        self._kafka = kafka
        self._topic = topic
        self._open = AsyncExitStack()
        self._client: AIOKafkaClient
        self._follower: TopicFollower
        self._ends: Mapping[int, int] = {}
        self._looked_at = 0.0
        self._behind: Mapping[int, int] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SettingsError: a file that the connection needs cannot be used.
            UnavailableError: the brokers are not available.
        """
        options = client_options(self._kafka, is_lasting=True)
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        keep_whole(consumer)
        keep_finding(consumer, options)
        self._client = consumer._client  # noqa: SLF001 - no public way to ask without creating the topic
        self._open.push_async_callback(close, functools.partial(stop_consumer, consumer))
        try:
            await consumer.start()
        except BaseException as error:
            await self._open.aclose()
            if isinstance(error, KafkaError):
                raise UnavailableError(describe_kafka_error(error)) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._open.aclose()

    async def find(self) -> bool:
        """Whether the topic exists, as far as we may see it; if so, go to its beginning. Call it until it does.

        Raises:
            UnavailableError: the brokers cannot be asked.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                exists = await self._exists()
        except KafkaError as error:
            raise UnavailableError(describe_kafka_error(error)) from error
        except TimeoutError as error:
            raise UnavailableError(f"no answer within {ANSWER_TIMEOUT_SECONDS:g} s") from error
        if exists:
            await self._open.aclose()
            self._follower = await self._open.enter_async_context(TopicFollower(self._kafka, self._topic))
            bounds = await self._follower.bounds()
            self._looked_at = time.monotonic()
            self._ends = {number: end for number, (_, end) in bounds.items()}
            self._follower.seek({number: first for number, (first, _) in bounds.items()})
        return exists

    async def poll(self, seconds: float) -> Sequence[Record]:
        """What has arrived, in the order of each partition; waits at most ``seconds``. Call it once it is found.

        Raises:
            ForbiddenTopicError: we may not read it.
            UnavailableError: it cannot be read now.
        """
        try:
            polled = await self._follower.poll(max_records=MAX_POLLED_RECORDS, timeout_seconds=seconds)
        except UnavailableError as error:
            if isinstance(error.__cause__, TopicAuthorizationFailedError):
                raise ForbiddenTopicError(str(error)) from error
            raise
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            await self._look_again()
        return [record for records in polled.values() for record in records]

    async def is_caught_up(self) -> bool:
        """Whether everything has been read that the topic had when it was last looked where it ends.

        Raises:
            UnavailableError: that cannot be said now.
        """
        return not await self._find_behind()

    async def _exists(self) -> bool:
        """Asked for its layout in another way, brokers may create a topic that does not exist."""
        node = self._client.get_random_node()
        if node is None:
            raise UnavailableError("no broker is known")
        answer = await self._client.send(node, MetadataRequest([self._topic], allow_auto_topic_creation=False))
        return any(topic == self._topic and not code for code, topic, *_ in answer.topics)

    async def _look_again(self) -> None:
        """Look where it ends, and whether what was there at the last look has arrived."""
        behind = await self._find_behind()
        if any(self._behind.get(number) == position for number, position in behind.items()):
            raise UnavailableError("the topic has more records, and none arrives")
        self._behind = behind
        self._looked_at = time.monotonic()
        self._ends = {number: end for number, (_, end) in (await self._follower.bounds()).items()}

    async def _find_behind(self) -> dict[int, int]:
        """The positions in partitions that are not read to their end."""
        reached = await self._follower.reached()
        return {number: position for number, position in reached.items() if position < self._ends[number]}
