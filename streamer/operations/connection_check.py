"""What ``streamer check --connect`` checks: brokers, topics, groups, the directory, destinations, write keys."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamer.core.dead_letters.topic_settings import (
    CLEANUP_POLICY,
    MAX_MESSAGE_BYTES,
    RETENTION_MS,
    fault_of,
    remarks_on,
)
from streamer.core.delivery.answers import NetworkFault
from streamer.core.delivery.key_watch import KeyFinding
from streamer.core.errors import SettingsError, UnavailableError
from streamer.destinations.http import HttpConnections
from streamer.destinations.source_settings import ask_about_key
from streamer.destinations.way_out import proxy_for
from streamer.kafka import describe_topics, missing_topics, preflight
from streamer.kafka.rights import forbidden_groups
from streamer.operations.findings import Findings
from streamer.operations.inbound_check import ask_brokers_about_inbound, ask_directory
from streamer.operations.receipts_check import ask_brokers_about_receipts
from streamer.settings import DestinationSettings, KafkaSettings, Settings

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


async def look(settings: Settings) -> Findings:
    """Look at everything that the configuration names outside of this machine."""
    findings = Findings()
    found = findings.problems
    async with _collecting(found, "kafka"):
        await _ask_brokers(settings, findings)
    if settings.receipts.topic is not None:
        async with _collecting(found, "receipts"):
            await ask_brokers_about_receipts(
                settings.kafka, settings.receipts.topic, findings, window_seconds=settings.receipts.window
            )
    if settings.inbound is not None:
        async with _collecting(found, "inbound"):
            await ask_brokers_about_inbound(
                settings.kafka, settings.inbound, findings, applies=settings.directory is not None
            )
    is_asked = settings.inbound is not None or any(one.identify_devices for one in settings.integrations.values())
    if is_asked and settings.directory is not None:
        async with _collecting(found, "directory"):
            await ask_directory(settings.directory, findings)
    for name, destination in settings.destinations.items():
        async with _collecting(found, f"destinations.{name}"):
            key = destination.read_key()
            proxy, ca_file = destination.proxy_url, destination.ca_file
            await connect(destination.url, proxy=proxy_for(destination.url, proxy), ca_file=ca_file)
            if destination.asks_about_key:
                await check_key(destination, key)
    return findings


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


async def _ask_brokers(settings: Settings, findings: Findings) -> None:
    kafka, integrations, found = settings.kafka, settings.integrations, findings.problems
    await preflight(kafka)
    topics = {topic: name for name, integration in integrations.items() for topic in integration.topics}
    dead_letter_topics = _dead_letter_topics(settings)
    missing = await missing_topics(kafka, {*topics, *dead_letter_topics})
    for topic in missing:
        if topic in topics:
            found.append(
                f"integrations.{topics[topic]}.topics: {topic} does not exist, or the right to DESCRIBE it is"
                " missing; create the topic or grant the right"
            )
        elif not kafka.create_topics:
            found.append(
                f"{dead_letter_topics[topic].setting}: {topic} does not exist; create it,"
                " or set kafka.create_topics: true"
            )
    groups = {integration.group_id: name for name, integration in integrations.items()}
    found.extend(
        f"integrations.{groups[group]}.group_id: a right on the consumer group {group} is missing; grant READ"
        for group in await forbidden_groups(kafka, groups)
    )
    await _compare_topics(kafka, dead_letter_topics, missing, findings)


@dataclass(frozen=True, slots=True)
class _Use:
    """How a dead-letter topic is used."""

    setting: str
    """Path of the setting that names it."""
    sources: list[str] = field(default_factory=list)
    """Topics whose dead letters it gets."""


def _dead_letter_topics(settings: Settings) -> dict[str, _Use]:
    uses: dict[str, _Use] = {}
    for name, integration in settings.integrations.items():
        for topic in integration.topics:
            use = uses.setdefault(integration.dead_letter_topic(topic), _Use(f"integrations.{name}.dead_letters.topic"))
            use.sources.append(topic)
    return uses


async def _compare_topics(
    kafka: KafkaSettings, dead_letter_topics: Mapping[str, _Use], missing: Collection[str], findings: Findings
) -> None:
    """Compare the settings of dead-letter topics with those of the topics whose dead letters they get."""
    names = {*dead_letter_topics, *(source for use in dead_letter_topics.values() for source in use.sources)}
    known = {topic.topic: topic for topic in await describe_topics(kafka, sorted(names.difference(missing)))}
    for name, use in dead_letter_topics.items():
        sources = [known[source] for source in use.sources if source in known]
        if name in known and sources:
            fault = fault_of(known[name])
            findings.problems.extend([f"{use.setting}: {fault}"] if fault else [])
            findings.warnings.extend(f"{use.setting}: {remark}" for remark in remarks_on(known[name], sources))
    hidden = [name for name, topic in known.items() if topic.values is None]
    if hidden:
        findings.warnings.append(
            f"kafka: the settings of {', '.join(hidden)} could not be looked at, so nobody knows whether dead letters"
            " stay as long as their records: the right DESCRIBE_CONFIGS is missing; grant it on all topics and"
            f" dead-letter topics, or compare {RETENTION_MS}, {CLEANUP_POLICY} and {MAX_MESSAGE_BYTES} yourself"
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
