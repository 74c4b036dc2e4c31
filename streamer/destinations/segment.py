"""One attempt to deliver one batch. This module alone speaks HTTP to Segment.

Whatever happens on the wire becomes an `Answer`; nothing of it is an exception outside. What an answer means for the
events is decided in `streamer.core.delivery.destination`.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import aiohttp
import orjson
from isal import isal_zlib

from streamer import __version__
from streamer.core.delivery.answers import (
    Answer,
    AnswerKind,
    NetworkFault,
    answer_of_fault,
    answer_of_status,
    parse_retry_after,
)
from streamer.settings import DestinationSettings

GZIP_FROM_BYTES: Final = 1_400
"""Bodies below this fit one network packet anyway: compressing them pays nobody."""

GZIP_LEVEL: Final = 1
GZIP_WINDOW_BITS: Final = 31
"""zlib's notation for "with a gzip header"."""

MAX_ANSWER_BYTES: Final = 65_536
"""Most of an answer's body that is read; the connection of a longer one is closed. Its content is never looked at."""

MAX_CONNECTION_AGE_SECONDS: Final = 300.0
"""Connections are replaced after this time: Segment's addresses change, and a kept one never asks the name again."""

ENVELOPE_BYTES: Final = 256
"""Room kept in a batch for what surrounds the calls: write key, ``sentAt`` and punctuation."""


class Exchange(NamedTuple):
    """One request and what came of it."""

    answer: Answer
    seconds: float
    sent_bytes: int
    """Bytes of the body on the wire, compressed or not."""


class SegmentClient:
    """Sends batches to one Segment source."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._settings = settings
        self._url = f"{settings.url}/v1/batch"
        self._session: aiohttp.ClientSession | None = None
        self._session_since = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._open_requests: dict[aiohttp.ClientSession, int] = {}
        self.reread_write_key()

    def reread_write_key(self) -> None:
        """Take the write key anew, from its file if it has one.

        Raises:
            UnavailableError: the file cannot be read or holds no write key.
        """
        write_key = self._settings.read_write_key()
        basic = b64encode(f"{write_key}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/json",
            "User-Agent": f"streamer/{__version__}",
        }
        self._envelope = b'{"writeKey":' + orjson.dumps(write_key) + b',"sentAt":"'

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        """Make one request of serialised calls.

        Args:
            bodies: the calls, each a JSON object in UTF-8.
            resend_count: how often these calls were sent before; 0 on the first attempt.
        """
        body, headers = self._request(bodies, resend_count)
        session = self._current_session()
        self._open_requests[session] += 1
        started = time.monotonic()
        try:
            answer = await self._exchange(session, body, headers)
        finally:
            self._open_requests[session] -= 1
            self._retire(session)
        return Exchange(answer, time.monotonic() - started, len(body))

    def renew_connections(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""
        session, self._session = self._session, None
        if session is not None:
            self._retire(session)

    async def close(self) -> None:
        """Close all connections."""
        self.renew_connections()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)

    def _request(self, bodies: Sequence[bytes], resend_count: int) -> tuple[bytes, dict[str, str]]:
        # Stamped anew at each attempt: Segment corrects an event's time by the difference of sentAt and its own clock.
        sent_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        body = b"".join((self._envelope, sent_at.encode(), b'","batch":[', b",".join(bodies), b"]}"))
        headers = self._headers
        if resend_count:
            headers = headers | {"X-Retry-Count": str(resend_count)}
        if self._settings.gzip and len(body) >= GZIP_FROM_BYTES:
            body = isal_zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
            headers = headers | {"Content-Encoding": "gzip"}
        return body, headers

    async def _exchange(self, session: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                wait = parse_retry_after(response.headers.get("Retry-After"), _now_at(response))
                answer = answer_of_status(response.status, wait)
                if answer.kind is AnswerKind.ACCEPTED:
                    # A 2xx that breaks off is an unknown outcome, so the body is read to its end; it is not parsed.
                    await _read_to_end(response.content)
                return answer
        except aiohttp.ClientPayloadError:
            return answer_of_fault(NetworkFault.CUT_OFF)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return answer_of_fault(_fault_of(error))

    def _current_session(self) -> aiohttp.ClientSession:
        now = time.monotonic()
        if self._session is not None and now - self._session_since > MAX_CONNECTION_AGE_SECONDS:
            self.renew_connections()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._session_since = now
            self._open_requests[self._session] = 0
        return self._session

    def _retire(self, session: aiohttp.ClientSession) -> None:
        if session is self._session or self._open_requests.get(session) != 0:
            return
        del self._open_requests[session]
        closing = asyncio.get_running_loop().create_task(session.close(), name="close connections")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _read_to_end(body: aiohttp.StreamReader) -> None:
    """Read a body to its end or our limit, and forget it; a single ``read`` returns with what has arrived by then."""
    left = MAX_ANSWER_BYTES
    while left > 0 and (part := await body.read(left)):
        left -= len(part)


def _now_at(response: aiohttp.ClientResponse) -> float:
    """Epoch seconds by the answer's own clock where it tells, because a Retry-After date is by that clock."""
    with contextlib.suppress(TypeError, ValueError):
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    return time.time()


def _fault_of(error: Exception) -> NetworkFault:
    cause = getattr(error, "os_error", error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
        return NetworkFault.DNS_UNKNOWN_HOST if unknown else NetworkFault.DNS_TEMPORARY
    return next(
        (fault for kinds, fault in _FAULTS if isinstance(error, kinds) or isinstance(cause, kinds)), NetworkFault.OTHER
    )


_FAULTS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], NetworkFault], ...]] = (
    (TimeoutError, NetworkFault.TIMEOUT),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), NetworkFault.TLS_VERIFICATION),
    ((aiohttp.ClientSSLError, ssl.SSLError), NetworkFault.TLS_RESET),
    (ConnectionRefusedError, NetworkFault.REFUSED),
    ((aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError), NetworkFault.RESET),
)
"""The first row that fits wins."""
