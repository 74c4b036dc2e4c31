"""The way of an integration into its consumer group: brokers, topics, clients; tried until it is done."""

import asyncio
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.kafka import DeadLetterProducer, Source, create_topics, missing_topics, preflight
from streamer.logs import Event, logger
from streamer.settings import IntegrationSettings, KafkaSettings

CONNECT_RETRY_SECONDS: Final = 3.0


class TopicsMissingError(UnavailableError):
    """Topics that the configuration names do not exist."""


async def join(
    name: str,
    kafka: KafkaSettings,
    integration: IntegrationSettings,
    *,
    producer: DeadLetterProducer,
    source: Source,
) -> None:
    """Start the clients and join the group, however long that takes.

    Raises:
        SettingsError: a broker and our set-up refuse each other.
    """
    failures = 0
    while True:
        try:
            await preflight(kafka)
            await ensure_topics(kafka, integration)
            await producer.start()
            await source.join()
        except UnavailableError as error:
            failures += 1
            event = Event.TOPICS_MISSING if isinstance(error, TopicsMissingError) else Event.KAFKA_UNAVAILABLE
            logger().emit(event, integration=name, detail=str(error))
            await producer.stop()
            await asyncio.sleep(CONNECT_RETRY_SECONDS)
        else:
            if failures:
                logger().emit(Event.KAFKA_RECOVERED, integration=name)
            return


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
