"""The way of an integration into its consumer group: brokers, topics, clients; tried until it is done."""

import asyncio

from streamer.core.errors import UnavailableError
from streamer.logs import Event, logger
from streamer.pipeline.contact import Contact
from streamer.pipeline.ports import Brokers, LetterWriter, RecordSource
from streamer.settings import IntegrationSettings
from streamer.timings import Timings


class TopicsMissingError(UnavailableError):
    """Topics that the configuration names do not exist."""


async def join(
    name: str,
    integration: IntegrationSettings,
    *,
    brokers: Brokers,
    create_topics: bool,
    writer: LetterWriter,
    source: RecordSource,
    contact: Contact,
    timings: Timings,
) -> None:
    """Start the clients and join the group, however long that takes.

    Raises:
        SettingsError: a broker refuses our credentials or protocol, or we refuse its certificate.
    """
    while True:
        try:
            await brokers.preflight()
            await ensure_topics(brokers, integration, create=create_topics)
            if not integration.is_paused:
                await writer.start()
            await _join_group(source, timings.join)
        except UnavailableError as error:
            if isinstance(error, TopicsMissingError):
                logger().emit(Event.TOPICS_MISSING, integration=name, detail=str(error))
            else:
                contact.missed(str(error))
            await writer.stop()
            await asyncio.sleep(timings.connect_retry)
        else:
            contact.heard()
            return


async def _join_group(source: RecordSource, timeout_seconds: float) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            await source.join()
    except TimeoutError:
        await source.leave()
        raise UnavailableError(
            f"the consumer group gave no assignment within {timeout_seconds:g} s; another member may be slow to let go"
        ) from None


async def ensure_topics(brokers: Brokers, integration: IntegrationSettings, *, create: bool) -> None:
    """Create missing dead-letter topics if the configuration says so, each with as many partitions as its topic.

    A paused integration needs none: it reads nothing.

    Raises:
        TopicsMissingError: a topic does not exist.
        UnavailableError: the brokers cannot be asked.
    """
    topics = integration.topics
    dead_letter_topics = {} if integration.is_paused else {integration.dead_letter_topic(one): one for one in topics}
    missing = await brokers.missing_topics({*topics, *dead_letter_topics})
    if create and not set(topics).intersection(missing):
        for topic in missing:
            await brokers.create_topics([topic], like=dead_letter_topics[topic])
        return
    if missing:
        hint = "" if create else " (kafka.create_topics: true creates dead-letter topics)"
        raise TopicsMissingError(f"topics that do not exist: {', '.join(missing)}; create them{hint}")
