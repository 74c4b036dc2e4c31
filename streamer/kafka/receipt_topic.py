"""The topic of receipts, as the sharing of receipts needs it: it exists, is written to, and is followed."""

from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.records.receipt_topic import values_for
from streamer.kafka.cluster import create_topics, missing_topics
from streamer.kafka.publisher import Publisher
from streamer.kafka.topic_follower import TopicFollower
from streamer.settings import KafkaSettings
from streamer.timings import PRODUCTION, Timings

PARTITIONS: Final = 6
"""Of a topic that streamer creates. Every instance reads all of them; they spread the writing over the brokers."""


class ReceiptTopic:
    """The topic in the cluster of the configuration."""

    def __init__(
        self, kafka: KafkaSettings, name: str, *, window_seconds: float, timings: Timings = PRODUCTION
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            kafka: where the brokers are, and whether topics may be created.
            name: of the topic.
            window_seconds: how long receipts count; a topic that is created keeps them for as long.
            timings: how long to wait for a confirmation.
        """
        self.name = name
        self._kafka = kafka
        self._window_seconds = window_seconds
        self._timings = timings

    async def ensure(self) -> None:
        """Return if the topic exists now; create it if that is asked for.

        Raises:
            UnavailableError: it does not exist, or the brokers cannot be asked.
        """
        if not await missing_topics(self._kafka, [self.name]):
            return
        if not self._kafka.create_topics:
            raise UnavailableError(
                f"the topic {self.name} does not exist, or the right to DESCRIBE it is missing; create it, or set"
                " kafka.create_topics: true"
            )
        await create_topics(self._kafka, [self.name], partitions=PARTITIONS, values=values_for(self._window_seconds))

    def follower(self) -> TopicFollower:
        """Reads the topic."""
        return TopicFollower(self._kafka, self.name)

    def publisher(self) -> Publisher:
        """Writes to it."""
        return Publisher(self._kafka, self._timings)
