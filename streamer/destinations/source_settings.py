"""What Segment's settings endpoint says about a write key. `streamer check --connect` asks it, and so does the service.

Segment's HTTP API answers 200 to an unknown write key, and drops the events. The endpoint from which Segment's own
libraries get the settings of their source answers 404 to such a key, and Segment's destination "Segment" tests keys
with it. The settings of a source in the EU name the host that its events go to.
"""

from typing import Final, NamedTuple

import orjson

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.delivery.key_watch import KeyFinding
from streamer.destinations.http import HttpConnections
from streamer.destinations.way_out import proxy_for
from streamer.settings import DestinationSettings

_NOT_FOUND: Final = 404
_EU_HOST: Final = "events.eu1.segmentapis.com"
_UNCOMPRESSED: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class KeyAnswer(NamedTuple):
    """What came of one question."""

    finding: KeyFinding
    error: str = ""
    """Why nothing was found out: an HTTP status or a `NetworkFault`; "" otherwise."""


async def ask_about_key(settings: DestinationSettings, write_key: str, *, timeout_seconds: float) -> KeyAnswer:
    """Ask about a write key, on the way that events go, and over a connection of its own.

    Args:
        settings: of a destination about which somebody can be asked.
        write_key: it becomes a part of the address, which no error and no log line may show.
        timeout_seconds: the longest that this may take.

    Raises:
        UnavailableError: the CA file cannot be read, or a variable names an unusable proxy.
    """
    url = settings.settings_url(write_key)
    assert url is not None, "asked only where somebody can be asked"
    connections = HttpConnections(
        timeout_seconds=timeout_seconds, proxy=proxy_for(url, settings.proxy_url), ca_file=settings.ca_file
    )
    document = bytearray()
    try:
        exchange = await connections.request("GET", url, b"", _UNCOMPRESSED, document)
    finally:
        await connections.close()
    return judge(exchange.answer, bytes(document), settings)


def judge(answer: Answer, document: bytes, settings: DestinationSettings) -> KeyAnswer:
    """What an answer of the settings endpoint means.

    Args:
        answer: how the request ended.
        document: the body of a 2xx.
        settings: of the destination.
    """
    if answer.status == _NOT_FOUND:
        return KeyAnswer(KeyFinding.UNKNOWN)
    if answer.kind is not AnswerKind.ACCEPTED:
        return KeyAnswer(KeyFinding.UNCLEAR, answer.error)
    # Only this host is evidence: it is set on purpose, while the other one is the default of everything at Segment.
    if settings.endpoint is None and settings.region == "us" and _host_for_events(document) == _EU_HOST:
        return KeyAnswer(KeyFinding.WRONG_REGION)
    return KeyAnswer(KeyFinding.KNOWN)


def _host_for_events(document: bytes) -> str | None:
    """The host that the settings of a source name for its events; None: they name none."""
    try:
        host = orjson.loads(document)["integrations"]["Segment.io"]["apiHost"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return host.partition("/")[0] if isinstance(host, str) else None
