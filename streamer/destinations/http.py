"""What any HTTP API that calls go to needs: connections, their age, and one name for each way a request can end.

Whatever happens on the wire becomes an `Answer`; none of it is an exception outside. What an answer means for the
events is decided in `streamer.core.delivery.destination`.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from streamer.core.delivery.answers import (
    Answer,
    AnswerKind,
    NetworkFault,
    answer_of_fault,
    answer_of_status,
    classify,
    clock_of,
    is_web_page,
    parse_retry_after,
)
from streamer.core.errors import UnavailableError
from streamer.destinations.connector import Connector, Response, UnaskedAnswerError
from streamer.destinations.way_out import tls_context
from streamer.tracing import tracer

MAX_ANSWER_BYTES: Final = 65_536
"""Most of an answer's body that is read; the connection of a longer one is closed. Its content is not looked at, unless
a document was asked for."""

MAX_CONNECTION_AGE_SECONDS: Final = 300.0
"""Connections are replaced after this time: addresses of a host change, and a kept connection never asks again."""

MAX_DOCUMENT_BYTES: Final = 1_048_576
"""Most of a document that is read."""

CLOSE_SECONDS: Final = 5.0
"""Longest wait for connections to close."""


class Exchange(NamedTuple):
    """One request and what came of it."""

    answer: Answer
    seconds: float
    sent_bytes: int
    """Bytes of the body on the wire, compressed or not."""


class HttpConnections:
    """The connections to one HTTP API."""

    def __init__(self, *, timeout_seconds: float, proxy: str | None = None, ca_file: Path | None = None) -> None:
        """Connect when the first request is made.

        Args:
            timeout_seconds: the longest that one request may take.
            proxy: URL of the proxy that requests go through; see `streamer.destinations.way_out.proxy_for`.
            ca_file: authorities whose certificates count; None: those that this machine trusts. It is read again for
                new connections, so that it can be corrected while a destination is held.

        Raises:
            UnavailableError: ``ca_file`` cannot be read.
        """
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy
        self._ca_file = ca_file
        self._tls = tls_context(ca_file)
        self._session: aiohttp.ClientSession | None = None
        self._session_since = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._open_requests: dict[aiohttp.ClientSession, int] = {}

    async def request(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        document: bytearray | None = None,
        *,
        resend_count: int = 0,
        shown_url: str | None = None,
    ) -> Exchange:
        """Make one request; redirects are not followed.

        Args:
            method: of the request.
            url: where it goes.
            body: sent as it is; empty: none.
            headers: beside those of HTTP itself, and of the trace that it is a part of.
            document: the body of a 2xx is appended to it.
            resend_count: how often what it carries was sent before.
            shown_url: what traces show as its address, if the address holds a value of a record.
        """
        session = self._current_session()
        self._open_requests[session] += 1
        started = time.monotonic()
        try:
            with tracer().request(method, shown_url or url, resend_count) as span:
                answer = await _exchange(session, method, url, body, span.pass_on(headers), document)
                if answer.status is not None:
                    span.answered(answer.status)
                if answer.error:
                    span.fail(answer.error)
        finally:
            self._open_requests[session] -= 1
            self._retire(session)
        return Exchange(answer, time.monotonic() - started, len(body))

    def renew(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""
        session, self._session = self._session, None
        if session is not None:
            self._retire(session)

    async def close(self) -> None:
        """Close all connections."""
        self.renew()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    def _current_session(self) -> aiohttp.ClientSession:
        now = time.monotonic()
        if self._session is not None and now - self._session_since > MAX_CONNECTION_AGE_SECONDS:
            self.renew()
        if self._session is None:
            if self._ca_file is not None:
                with contextlib.suppress(UnavailableError):  # the one read before counts
                    self._tls = tls_context(self._ca_file)
            self._session = aiohttp.ClientSession(
                connector=Connector(limit=0, ttl_dns_cache=60, ssl=self._tls),
                proxy=self._proxy,
                response_class=Response,
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
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


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    document: bytearray | None,
) -> Answer:
    try:
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            wait = _wait_asked_for(response)
            answer = answer_of_status(response.status, wait)
            if answer.kind is AnswerKind.ACCEPTED:
                if is_web_page(response.headers.get("Content-Type")):
                    return answer_of_fault(NetworkFault.WEB_PAGE)
                # A 2xx that breaks off is an unknown outcome, so the body is read to its end; it is not parsed.
                await _read_to_end(response.content, document)
            return answer
    except aiohttp.ClientPayloadError:
        return answer_of_fault(NetworkFault.CUT_OFF)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return answer_of_fault(_fault_of(error))


async def _read_to_end(body: aiohttp.StreamReader, document: bytearray | None) -> None:
    """Read a body to its end or our limit; a single ``read`` returns with what has arrived by then."""
    left = MAX_ANSWER_BYTES if document is None else MAX_DOCUMENT_BYTES
    while left > 0 and (part := await body.read(left)):
        left -= len(part)
        if document is not None:
            document += part


def _wait_asked_for(response: aiohttp.ClientResponse) -> float | None:
    """Seconds; None: no wait is asked for. Several headers are one list."""
    retry_after = ",".join(response.headers.getall("Retry-After", ()))
    if not retry_after:  # nearly every answer; reading its Date would cost more than all else that is done with it
        return None
    return parse_retry_after(retry_after, clock_of(response.headers.get("Date"), time.time()))


def _fault_of(error: Exception) -> NetworkFault:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        has_judged = classify(error.status) is not AnswerKind.UNHAPPY
        return NetworkFault.PROXY_REFUSED if has_judged else NetworkFault.OTHER
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and cause.errno is None and cause.__cause__ is not None:
        cause = cause.__cause__  # aiohttp's error of a body that it could not write has no errno of its own
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
        return NetworkFault.DNS_UNKNOWN_HOST if unknown else NetworkFault.DNS_TEMPORARY
    if isinstance(cause, OSError) and cause.errno in _RESETS:
        return NetworkFault.RESET  # aiohttp's own error of this errno is no ConnectionResetError
    return next(
        (fault for kinds, fault in _FAULTS if isinstance(error, kinds) or isinstance(cause, kinds)), NetworkFault.OTHER
    )


_RESETS: Final = frozenset({errno.ECONNABORTED, errno.ECONNRESET, errno.EPIPE})

_FAULTS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], NetworkFault], ...]] = (
    (TimeoutError, NetworkFault.TIMEOUT),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), NetworkFault.TLS_VERIFICATION),
    ((aiohttp.ClientSSLError, ssl.SSLError), NetworkFault.TLS_RESET),
    (ConnectionRefusedError, NetworkFault.REFUSED),
    ((aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError), NetworkFault.RESET),
    (UnaskedAnswerError, NetworkFault.UNASKED_ANSWER),
)
"""The first row that fits wins."""
