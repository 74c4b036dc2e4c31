"""One cluster, as an integration needs it: what is asked of it, and the clients that read and write."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from aiokafka import TopicPartition

from streamer.core.dead_letters.topic_settings import TopicSettings
from streamer.kafka import cluster
from streamer.kafka.producer import DeadLetterProducer
from streamer.kafka.source import Source
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION, Timings


class Brokers:
    """The brokers of the configuration."""

    def __init__(self, kafka: KafkaSettings, *, fetch_share: float = 1.0, timings: Timings = PRODUCTION) -> None:
        """Prepare; nothing is connected.

        Args:
            kafka: where the brokers are, and how to connect.
            fetch_share: the part of ``kafka.fetch_max_bytes`` that is this integration's.
            timings: how long to wait for commits and dead letters.
        """
        self._kafka = kafka
        self._fetch_share = fetch_share
        self._timings = timings

    async def preflight(self) -> None:
        """Open one connection; see `streamer.kafka.cluster.preflight`."""
        await cluster.preflight(self._kafka)

    async def missing_topics(self, topics: Collection[str]) -> Sequence[str]:
        """Which of the topics do not exist, in order."""
        return await cluster.missing_topics(self._kafka, topics)

    async def create_dead_letter_topic(self, topic: str, *, sources: Collection[str]) -> TopicSettings | None:
        """Create a topic for the dead letters of others; see `streamer.kafka.cluster.create_dead_letter_topic`."""
        return await cluster.create_dead_letter_topic(self._kafka, topic, sources=sources)

    async def retention_seconds(self, topics: Collection[str]) -> Mapping[str, float]:
        """How long the brokers keep the records of topics, where that is limited and known."""
        return await cluster.retention_seconds(self._kafka, topics)

    def writer(self) -> DeadLetterProducer:
        """A producer of dead letters, not connected yet."""
        return DeadLetterProducer(self._kafka, request_timeout_seconds=self._timings.letter_request_timeout)

    def source(
        self,
        *,
        group_id: str,
        topics: Sequence[str],
        on_assigned: Callable[[frozenset[TopicPartition]], None],
        on_revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]],
    ) -> Source:
        """A member of a consumer group, not connected yet; the arguments are those of `streamer.kafka.Source`."""
        return Source(
            self._kafka,
            group_id=group_id,
            topics=topics,
            fetch_share=self._fetch_share,
            commit_timeout_seconds=self._timings.commit_timeout,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )
