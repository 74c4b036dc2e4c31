"""What ``streamer check --connect`` checks: brokers, topics, groups, destinations, and write keys at Segment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from streamer.core.delivery.answers import NetworkFault
from streamer.core.delivery.key_watch import KeyFinding
from streamer.core.errors import SettingsError, UnavailableError
from streamer.destinations.http import HttpConnections
from streamer.destinations.source_settings import ask_about_key
from streamer.destinations.way_out import proxy_for
from streamer.kafka import missing_topics, preflight
from streamer.kafka.rights import forbidden_groups
from streamer.settings import DestinationSettings, Settings

TIMEOUT_SECONDS: Final = 20.0
"""Longest wait for the brokers, and for each connection and write key."""

_CONNECT_SECONDS: Final = 10.0
"""Longest wait for the answer of a destination, and for that about its write key."""

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
            if destination.asks_about_key:
                await check_key(destination, write_key)
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


async def check_key(destination: DestinationSettings, write_key: str) -> None:
    """Ask whether a source has this write key; return if one has.

    Args:
        destination: one about whose key somebody can be asked.
        write_key: the key; no error shows it.

    Raises:
        UnavailableError: there is no such source, it takes its events elsewhere, or there is no clear answer.
    """
    finding, error = await ask_about_key(destination, write_key, timeout_seconds=_CONNECT_SECONDS)
    match finding:
        case KeyFinding.UNKNOWN:
            raise UnavailableError(
                "Segment has no source with this write key; copy the key again from the API keys of the source"
            )
        case KeyFinding.WRONG_REGION:
            raise UnavailableError("Segment says that the source of this write key is in the EU; set region: eu")
        case KeyFinding.UNCLEAR if error.isdecimal():
            raise UnavailableError(
                f"Segment answered {error} when asked about the write key; run the check again later"
            )
        case KeyFinding.UNCLEAR:
            raise UnavailableError(
                f"Segment cannot be asked about the write key ({error}); check DNS, firewall and proxy"
            )
        case KeyFinding.KNOWN:
            return
