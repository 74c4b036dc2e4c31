"""Segment's HTTP API: batches of calls to one source, as its own libraries send them."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import orjson
from isal import isal_zlib

from streamer import __version__
from streamer.destinations.http import Exchange, HttpConnections
from streamer.destinations.source_settings import KeyAnswer, ask_about_key
from streamer.destinations.way_out import proxy_for
from streamer.settings import DestinationSettings

GZIP_FROM_BYTES: Final = 1_400
"""Bodies below this size fit one network packet anyway: compressing them saves nothing."""

GZIP_LEVEL: Final = 1
GZIP_WINDOW_BITS: Final = 31
"""zlib's notation for "with a gzip header"."""

ENVELOPE_BYTES: Final = 256
"""Room kept in a batch for what surrounds the calls: write key, ``sentAt`` and punctuation."""


class SegmentClient:
    """Sends batches to one Segment source: a `streamer.destinations.client.Client`."""

    envelope_bytes = ENVELOPE_BYTES

    def __init__(self, settings: DestinationSettings) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            UnavailableError: the write key or the CA file cannot be read, or a variable names an unusable proxy.
        """
        self._settings = settings
        self._url = f"{settings.url}/v1/batch"
        self._connections = HttpConnections(
            timeout_seconds=settings.timeout,
            proxy=proxy_for(self._url, settings.proxy_url),
            ca_file=settings.ca_file,
        )
        self._envelope = b""
        self.reread_credentials()

    def reread_credentials(self) -> bool:
        """Read the write key again, from its file if it has one; whether it is another one.

        Raises:
            UnavailableError: the file cannot be read or holds no write key.
        """
        write_key = self._write_key = self._settings.read_key()
        basic = b64encode(f"{write_key}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/json",
            "User-Agent": f"streamer/{__version__}",
        }
        envelope = b'{"writeKey":' + orjson.dumps(write_key) + b',"sentAt":"'
        has_changed, self._envelope = envelope != self._envelope, envelope
        return has_changed

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        """Make one request of serialised calls.

        Args:
            bodies: the calls, each a JSON object in UTF-8.
            resend_count: how often these calls were sent before; 0 on the first attempt.
        """
        body, headers = self._request(bodies, resend_count)
        return await self._connections.request("POST", self._url, body, headers, resend_count=resend_count)

    async def ask_about_key(self, timeout_seconds: float) -> KeyAnswer:
        """Ask whether the write key exists, where `DestinationSettings.asks_about_key`.

        Args:
            timeout_seconds: the longest that this may take.

        Raises:
            UnavailableError: the CA file cannot be read.
        """
        return await ask_about_key(self._settings, self._write_key, timeout_seconds=timeout_seconds)

    def renew_connections(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""
        self._connections.renew()

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    def _request(self, bodies: Sequence[bytes], resend_count: int) -> tuple[bytes, dict[str, str]]:
        # New at each attempt: Segment corrects an event's time by the difference of sentAt and its own clock.
        sent_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        body = b"".join((self._envelope, sent_at.encode(), b'","batch":[', b",".join(bodies), b"]}"))
        headers = self._headers
        if resend_count:
            headers = headers | {"X-Retry-Count": str(resend_count)}
        if self._settings.gzip and len(body) >= GZIP_FROM_BYTES:
            body = isal_zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
            headers = headers | {"Content-Encoding": "gzip"}
        return body, headers
