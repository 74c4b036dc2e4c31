"""What ``streamer check --connect`` checks: brokers, topics, groups, destinations, and write keys at Segment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from streamer.core.delivery.answers import NetworkFault
from streamer.core.errors import SettingsError, UnavailableError
from streamer.destinations.http import HttpConnections
from streamer.destinations.way_out import proxy_for, tls_context
from streamer.kafka import missing_topics, preflight
from streamer.kafka.rights import forbidden_groups
from streamer.settings import Settings

TIMEOUT_SECONDS: Final = 20.0
"""Longest wait for the brokers, and for each connection and write key."""

_CONNECT_SECONDS: Final = 10.0
"""Longest wait for the answer of a destination."""

_MEANINGS: Final = {
    NetworkFault.REFUSED: "no program listens there; correct endpoint, or start the program",
    NetworkFault.TIMEOUT: f"no answer within {_CONNECT_SECONDS:g} s; check firewalls and proxies",
    NetworkFault.DNS_UNKNOWN_HOST: "there is no such host; correct endpoint, or the name servers of this machine",
    NetworkFault.DNS_TEMPORARY: "the host cannot be looked up now; check the name servers of this machine",
    NetworkFault.TLS_VERIFICATION: "its certificate is not trusted for this host; correct endpoint, or the authorities"
    " that this machine trusts, or set ca_file",
    NetworkFault.PROXY_REFUSED: "the proxy does not let the connection through; correct proxy or the proxy's rules",
}


async def problems(settings: Settings) -> list[str]:
    """Everything outside streamer that would keep it from delivering, a line for each; no line holds a secret."""
    found: list[str] = []
    async with _collecting(found, "kafka"):
        await _ask_brokers(settings, found)
    for name, destination in settings.destinations.items():
        async with _collecting(found, f"destinations.{name}"):
            write_key = destination.read_write_key()
            proxy, ca_file = destination.proxy_url, destination.ca_file
            await connect(destination.url, proxy=proxy_for(destination.url, proxy), ca_file=ca_file)
            url = destination.settings_url(write_key)
            if url is not None:
                await ask_for_source(url, proxy=proxy_for(url, proxy), ca_file=ca_file)
    return found


@asynccontextmanager
async def _collecting(found: list[str], subject: str) -> AsyncIterator[None]:
    """Note an error that ends the block instead of raising it, so that the next subject is checked too."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield
    except SettingsError as error:
        found.extend(error.faults)
    except UnavailableError as error:
        found.append(f"{subject}: {error}")
    except TimeoutError:
        found.append(f"{subject}: no answer within {TIMEOUT_SECONDS:g} s; check addresses, DNS and firewalls")


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
                f"integrations.{topics[topic]}.topics: {topic} does not exist, or the right to DESCRIBE it is"
                " missing; create the topic or grant the right"
            )
        elif not kafka.create_topics:
            found.append(
                f"integrations.{dead_letter_topics[topic]}.dead_letters.topic: {topic} does not exist; create it,"
                " or set kafka.create_topics: true"
            )
    groups = {integration.group_id: name for name, integration in integrations.items()}
    found.extend(
        f"integrations.{groups[group]}.group_id: a right on the consumer group {group} is missing; grant READ"
        for group in await forbidden_groups(kafka, groups)
    )


async def connect(url: str, *, proxy: str | None = None, ca_file: Path | None = None) -> None:
    """Connect to a destination as delivery does, and ask for nothing: whatever it answers, it is there.

    Args:
        url: address of the destination.
        proxy: what the connection goes through; None: nothing.
        ca_file: authorities whose certificates count; None: those that this machine trusts.

    Raises:
        UnavailableError: no connection comes about, or it ends without an answer.
    """
    connections = HttpConnections(timeout_seconds=_CONNECT_SECONDS, proxy=proxy, ca_file=ca_file)
    try:
        answer = (await connections.request("HEAD", url, b"", {})).answer
    finally:
        await connections.close()
    # Many servers show a web page at this address, which says nothing about the one that events go to.
    if answer.status is None and answer.error != NetworkFault.WEB_PAGE:
        meaning = _MEANINGS.get(NetworkFault(answer.error), "check firewalls and proxies")
        raise UnavailableError(f"{url} cannot be reached: {meaning} ({answer.error})")


async def ask_for_source(url: str, *, proxy: str | None = None, ca_file: Path | None = None) -> None:
    """Ask Segment whether a source exists; return if it does.

    Args:
        url: address of the source's settings. It holds the write key, so no error may show it.
        proxy: what the request goes through; None: nothing.
        ca_file: authorities whose certificates count; None: those that this machine trusts.

    Raises:
        UnavailableError: there is no such source, or no clear answer.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.get(url, allow_redirects=False, proxy=proxy, ssl=tls_context(ca_file)) as response,
        ):
            status = response.status
    except aiohttp.ClientError as error:
        # The text of some of these errors holds the address: only the type is passed on, without a chained error.
        raise UnavailableError(
            f"Segment cannot be asked about the write key ({type(error).__name__}); check DNS, firewall and proxy"
        ) from None
    if status == 404:  # noqa: PLR2004 - the status is the subject
        raise UnavailableError(
            "Segment has no source with this write key; copy the key again from the API keys of the source"
        )
    if status != 200:  # noqa: PLR2004 - the status is the subject
        raise UnavailableError(f"Segment answered {status} when asked about the write key; run the check again later")
