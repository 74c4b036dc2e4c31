"""What ``streamer check --connect`` asks of the world: brokers, topics, groups, and Segment about the write keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka import missing_topics, preflight
from streamer.kafka.rights import forbidden_groups
from streamer.settings import Settings

TIMEOUT_SECONDS: Final = 20.0
"""Longest wait for the brokers, and for each write key."""


async def problems(settings: Settings) -> list[str]:
    """Everything outside that would keep streamer from delivering, a line each; no line holds a secret."""
    found: list[str] = []
    async with _collecting(found, "kafka"):
        await _ask_brokers(settings, found)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for name, destination in settings.destinations.items():
            async with _collecting(found, f"destinations.{name}"):
                write_key = destination.read_write_key()
                url = destination.settings_url(write_key)
                if url is not None:
                    await ask_for_source(session, url)
    return found


@asynccontextmanager
async def _collecting(found: list[str], subject: str) -> AsyncIterator[None]:
    """Note what ends the block instead of passing it on, so that the next subject is looked at too."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield
    except SettingsError as error:
        found.extend(error.faults)
    except UnavailableError as error:
        found.append(f"{subject}: {error}")
    except TimeoutError:
        found.append(f"{subject}: no answer within {TIMEOUT_SECONDS:g} s; look at addresses, DNS and firewalls")


async def _ask_brokers(settings: Settings, found: list[str]) -> None:
    kafka, integrations = settings.kafka, settings.integrations
    await preflight(kafka)
    topics = {topic: name for name, integration in integrations.items() for topic in integration.topics}
    dead_letter_topics = {
        integration.dead_letter_topic(topic): name
        for name, integration in integrations.items()
        for topic in integration.topics
    }
    for topic in await missing_topics(kafka, {*topics, *dead_letter_topics}):
        if topic in topics:
            found.append(
                f"integrations.{topics[topic]}.topics: {topic} does not exist, or streamer has no right to DESCRIBE it;"
                " create it or grant the right"
            )
        elif not kafka.create_topics:
            found.append(
                f"integrations.{dead_letter_topics[topic]}.dead_letters.topic: {topic} does not exist; create it,"
                " or set kafka.create_topics to true"
            )
    groups = {integration.group_id: name for name, integration in integrations.items()}
    found.extend(
        f"integrations.{groups[group]}.group_id: no right on the consumer group {group}; grant READ"
        for group in await forbidden_groups(kafka, groups)
    )


async def ask_for_source(session: aiohttp.ClientSession, url: str) -> None:
    """Ask Segment whether a source exists; return if it does.

    Args:
        session: makes the request.
        url: where the source's settings are. Holds the write key, so no error may carry it.

    Raises:
        UnavailableError: there is no such source, or no answer that tells.
    """
    try:
        async with session.get(url, allow_redirects=False) as response:
            status = response.status
    except aiohttp.ClientError as error:
        # The text of some of these errors holds the address: only the kind is passed on, and nothing chained.
        raise UnavailableError(
            f"Segment cannot be asked about the write key ({type(error).__name__}); look at DNS, firewall and proxy"
        ) from None
    if status == 404:  # noqa: PLR2004 - the status is the subject
        raise UnavailableError("Segment knows no source with this write key; copy it again from the source's API keys")
    if status != 200:  # noqa: PLR2004 - the status is the subject
        raise UnavailableError(f"Segment gave status {status} when asked about the write key; try again later")
