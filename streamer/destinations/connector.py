"""Connections on which an answer counts only for the request that it answers.

HTTP/1.1 does not number answers: the next one on a connection is taken for the answer to the next request. A server
that answers twice, or says 408 before it closes an idle connection, would answer for events that it never saw.
aiohttp's client keeps what arrives between two requests for the next one. The classes here close such a connection:

- `Connector` gives out no connection on which something has arrived that nobody asked for, read or not read yet.
- `Response` is no answer if it is a 2xx and TCP has not confirmed all bytes of the request by then. A server that has
  read the request has confirmed it with its answer, or before.

What is said unasked after the request was received, and before its own answer, cannot be told from that answer.
"""

import asyncio
import contextlib
import fcntl
import functools
import select
import struct
import termios
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

MAX_TURNS_FOR_READING: Final = 4
"""Turns of the event loop that a connection gets to read what has arrived: TLS tickets are no answer, so it is read."""


class UnaskedAnswerError(aiohttp.ClientError):
    """The server said something before it had received the request. It answers nothing, and nothing is delivered."""


class _Protocol(ResponseHandler):
    """The client's end of a connection. It closes the connection when something arrives that nobody asked for."""

    has_served = False
    """Whether a request was made on this connection."""
    has_spoken = False
    """Whether something arrived that nobody asked for."""
    _is_asked = False

    def set_response_params(self, **params: Any) -> None:
        """A request begins; aiohttp calls this right before it writes one, and for the proxy's part of a tunnel."""
        self._is_asked = True
        super().set_response_params(**params)

    def end_request(self) -> None:
        """The request has its whole answer, or is given up."""
        self._is_asked = False
        self.has_served = True

    def data_received(self, data: bytes) -> None:
        """Read what has arrived, if a request is out. Without data, aiohttp goes on with what it has read before."""
        if self._is_asked or not data:
            super().data_received(data)
            return
        self.has_spoken = True
        self.force_close()
        if self.transport is not None:
            self.transport.close()


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Protocol(loop)


class Connector(aiohttp.TCPConnector):
    """Connects, and keeps connections for the requests to come."""

    def __init__(self, **options: Any) -> None:
        """Connect later; ``options`` are those of `aiohttp.TCPConnector`."""
        super().__init__(**options)
        self._factory = functools.partial(_protocol, loop=self._loop)

    async def connect(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> "Connection":
        """A connection on which nothing has arrived since its last answer.

        Raises:
            UnaskedAnswerError: the server spoke first on a new connection.
            aiohttp.ServerDisconnectedError: the server closed a new connection at once.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, _Protocol), "made by our factory"
            try:
                is_silent = await _is_silent(protocol)
            except BaseException:
                connection.close()
                raise
            if is_silent:
                connection.add_callback(protocol.end_request)
                return connection
            connection.close()
            if not protocol.has_served:
                raise UnaskedAnswerError if protocol.has_spoken else aiohttp.ServerDisconnectedError


class Response(aiohttp.ClientResponse):
    """An answer that is none if it is a 2xx to a request that the other end has not received yet."""

    async def start(self, connection: "Connection") -> "Response":
        """Wait for the head of the answer.

        Raises:
            UnaskedAnswerError: it is a 2xx, and the request is still on its way. A refusal may come early.
        """
        transport = connection.transport
        await super().start(connection)
        if 200 <= self.status < 300 and transport is not None and _is_sending(transport):  # noqa: PLR2004 - HTTP
            raise UnaskedAnswerError
        return self


def _is_sending(transport: asyncio.Transport) -> bool:
    """Whether bytes are not written yet, or written and not confirmed by the other end."""
    if transport.get_write_buffer_size() > 0:
        return True
    unconfirmed = bytearray(struct.calcsize("i"))
    with contextlib.suppress(OSError, ValueError):  # the socket is closed already, or this system cannot tell
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, unconfirmed)
    return any(unconfirmed)


async def _is_silent(protocol: _Protocol) -> bool:
    """Whether nothing has arrived that nobody asked for. What waits in the socket is read before."""
    for _ in range(MAX_TURNS_FOR_READING):
        if protocol.should_close or not protocol.is_connected():
            return False
        if not _is_readable(protocol):
            return True
        await asyncio.sleep(0)
    return False


def _is_readable(protocol: _Protocol) -> bool:
    """Whether bytes, or the end of the connection, wait in the socket."""
    assert protocol.transport is not None, "it is connected"
    poll = select.poll()
    poll.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))
