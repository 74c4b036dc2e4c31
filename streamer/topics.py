"""The topics an integration needs before it can run."""

from streamer.core.errors import UnavailableError
from streamer.kafka import create_topics, missing_topics
from streamer.settings import IntegrationSettings, KafkaSettings


class TopicsMissingError(UnavailableError):
    """Topics that the configuration names do not exist."""


async def ensure_topics(kafka: KafkaSettings, integration: IntegrationSettings) -> None:
    """Make missing dead-letter topics if the configuration says so, each with as many partitions as its topic.

    Raises:
        TopicsMissingError: a topic does not exist.
        UnavailableError: the brokers cannot be asked.
    """
    topics = integration.topics
    dead_letter_topics = {integration.dead_letter_topic(topic): topic for topic in topics}
    missing = await missing_topics(kafka, {*topics, *dead_letter_topics})
    if kafka.create_topics and not set(topics).intersection(missing):
        for topic in missing:
            await create_topics(kafka, [topic], like=dead_letter_topics[topic])
        return
    if missing:
        hint = "" if kafka.create_topics else " (kafka.create_topics: true makes dead-letter topics)"
        raise TopicsMissingError(f"topics that do not exist: {', '.join(missing)}; create them{hint}")
