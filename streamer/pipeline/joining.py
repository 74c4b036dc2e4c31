"""The way of an integration into its consumer group: brokers, topics, clients; tried until it is done."""

import asyncio
import contextlib
from collections.abc import Collection

from streamer.core.errors import UnavailableError
from streamer.logs import Event, logger
from streamer.pipeline.contact import Contact
from streamer.pipeline.ports import Brokers, LetterWriter, RecordSource
from streamer.pipeline.subscription import Subscription
from streamer.timings import Timings


class TopicsMissingError(UnavailableError):
    """Topics that the configuration names do not exist."""


async def join(
    subscription: Subscription,
    *,
    brokers: Brokers,
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
            await ensure_topics(subscription, brokers=brokers)
            if not subscription.is_paused:
                await writer.start()
            await _join_group(source, contact, timings)
        except UnavailableError as error:
            if isinstance(error, TopicsMissingError):
                logger().emit(Event.TOPICS_MISSING, integration=subscription.name, detail=str(error))
            else:
                contact.missed(str(error))
            await writer.stop()
            await asyncio.sleep(timings.connect_retry)
        else:
            contact.heard()
            return


async def _join_group(source: RecordSource, contact: Contact, timings: Timings) -> None:
    timeout_seconds = timings.join
    told = asyncio.get_running_loop().call_later(timings.join_told, contact.missed, _no_assignment(timings.join_told))
    try:
        async with asyncio.timeout(timeout_seconds):
            await source.join()
    except TimeoutError:
        await source.leave()
        raise UnavailableError(_no_assignment(timeout_seconds)) from None
    finally:
        told.cancel()


def _no_assignment(seconds: float) -> str:
    return (
        f"the consumer group gave no assignment within {seconds:g} s; one of the brokers may not answer, or another"
        " member may be slow to let go"
    )


async def ensure_topics(subscription: Subscription, *, brokers: Brokers) -> list[str]:
    """Create missing dead-letter topics if the configuration says so, with settings that suit their topics.

    A paused integration needs none: it reads nothing.

    Returns:
        The topics of the integration that do not exist, or that we have no right to see. There is another one.

    Raises:
        TopicsMissingError: none of the topics exists, or the dead-letter topic of one that exists does not.
        UnavailableError: the brokers cannot be asked.
    """
    topics = subscription.topics
    letters_of = {} if subscription.is_paused else subscription.dead_letter_topics
    missing = set(await brokers.missing_topics({*topics, *letters_of.values()}))
    existing = [topic for topic in topics if topic not in missing]
    to_create: dict[str, list[str]] = {}
    for topic, letters in letters_of.items():
        if letters in missing and topic in existing:
            to_create.setdefault(letters, []).append(topic)
    if subscription.create_topics:
        for letters, sources in to_create.items():
            created = await brokers.create_dead_letter_topic(letters, sources=sources)
            if created is not None:
                logger().emit(
                    Event.TOPIC_CREATED, integration=subscription.name, dead_letter_topic=letters, detail=str(created)
                )
    if not existing or (to_create and not subscription.create_topics):
        raise TopicsMissingError(f"{_named(missing)}; the integration reads nothing until they exist")
    return [topic for topic in topics if topic in missing]


async def watch_topics(
    subscription: Subscription,
    *,
    brokers: Brokers,
    source: RecordSource,
    timings: Timings,
) -> None:
    """Say which topics are missing, and when they are there again, until cancelled.

    The client takes a topic that appears by itself; its dead-letter topic may have to be created.
    """
    told: list[str] = []
    while True:
        missing = list(source.missing_topics())
        if missing:
            source.look_for_topics()
        if missing and missing != told:
            logger().emit(
                Event.TOPICS_MISSING,
                integration=subscription.name,
                detail=f"{_named(missing)}; the other topics of the integration are read as before",
            )
        if set(told) - set(missing):
            with contextlib.suppress(UnavailableError):
                await ensure_topics(subscription, brokers=brokers)
            logger().emit(
                Event.TOPICS_FOUND, integration=subscription.name, detail=", ".join(sorted(set(told) - set(missing)))
            )
        told = missing
        await asyncio.sleep(timings.connect_retry)


def _named(missing: Collection[str]) -> str:
    return f"topics that do not exist, or that streamer has no right to see: {', '.join(sorted(missing))}"
