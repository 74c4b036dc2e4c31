"""Connections of the listener: how long and how many may wait for a request that does not come.

aiohttp has no limit of its own for the headers of a request. Here a request that has begun must be complete in time.
While there is a connection too many, the one closes that has waited longest for its peer: thousands of connections that
send nothing, or a byte now and then, do not keep others out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streamer.inbound.refused import late
from streamer.logs import Event, logger, place_of

MAX_CONNECTIONS: Final = 1_000

IDLE_SECONDS: Final = 75.0
"""How long a connection may stay open between two requests: longer than proxies keep theirs (60 seconds), so that they
do not send on one that is being closed."""

READ_BUFFER_BYTES: Final = 64 << 10
"""Twice as much of a body may wait before its connection is not read any more."""

LINGER_SECONDS: Final = 2.0
"""How long the rest of a refused body is read and dropped, so that its sender gets to see the answer."""

LOOK_EVERY_SECONDS: Final = 0.5

_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-store", "Server": "streamer"}

_LATE_BODY: Final = orjson.dumps({"message": late().message}, option=orjson.OPT_APPEND_NEWLINE)
_LATE_ANSWER: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_LATE_BODY), _LATE_BODY)
)


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(RequestHandler):
    """One connection. Requests that are sent before the one before them is answered wait in the kernel."""

    def __init__(self, connections: "Connections", **options: Any) -> None:
        super().__init__(connections, **options)
        self._connections = connections
        self.began_at: float | None = None
        """When the first byte of the present request came, in the event loop's time; None: none is there yet."""
        self.waiting_since: float | None = None
        """Since when the peer owes us something, a request or the rest of one; None: we owe it an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        self.waiting_since = self._loop.time()
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if data and self.began_at is None:
            self.began_at = self.waiting_since = self._loop.time()
        super().data_received(data)
        if self._messages and self._current_request is not None and not self._buffer_paused:
            self._pause_reading_for_buffer()  # it is resumed when the next request is taken

    def received(self) -> None:
        """The request is complete."""
        self.waiting_since = None

    def answered(self) -> None:
        """The next request may come."""
        self.began_at = None
        self.waiting_since = self._loop.time()

    @property
    def deadline(self) -> float:
        """When the present request must be complete, in the event loop's time."""
        began_at = self._loop.time() if self.began_at is None else self.began_at
        return began_at + self._connections.request_seconds

    @property
    def is_reading_headers(self) -> bool:
        """Whether a request has begun, and its headers are not complete."""
        return self.began_at is not None and self._current_request is None and not self._messages

    def time_out(self) -> None:
        """Answer a request whose headers are not complete, and close."""
        if self.transport is not None:
            self.transport.write(_LATE_ANSWER)
        self.force_close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was received
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what we failed at, without quoting it in the answer or in the log."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        text = "this is no HTTP/1.1 request, or its headers are too long"
        if status >= 500:  # noqa: PLR2004
            text = "internal error; send the request again"
            stack = None if exc is None else place_of(exc)
            logger().emit(Event.TASK_FAILED, logger="webhooks", error_type=type(exc).__name__, stack=stack)
        response = answer(status, {"message": text})
        response.force_close()
        return response


class Connections(web.Server):
    """All connections of the listener."""

    def __init__(
        self,
        handler: Handler,
        *,
        request_seconds: float,
        on_late: Callable[[], None],
        max_connections: int | None = None,
    ) -> None:
        """Begin without any.

        Args:
            handler: answers requests.
            request_seconds: how long the headers and the body of a request may take together.
            on_late: called for each request whose headers were not complete in time.
            max_connections: most that are open.
        """
        super().__init__(handler)
        self.request_seconds = request_seconds
        self._on_late = on_late
        self._max_connections = MAX_CONNECTIONS if max_connections is None else max_connections
        self._open: dict[Connection, None] = {}

    def __call__(self) -> Connection:
        """A new one."""
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            lingering_time=LINGER_SECONDS,
        )

    def add(self, connection: Connection) -> None:
        """One more; while there are too many, the one closes that has waited longest for its peer."""
        self._open[connection] = None
        if len(self._open) > self._max_connections:
            waiting = [one for one in self._open if one.waiting_since is not None]
            victim = min(waiting, key=lambda one: one.waiting_since or 0.0)
            del self._open[victim]
            victim.abort()

    def remove(self, connection: Connection) -> None:
        """One is gone."""
        self._open.pop(connection, None)

    async def watch(self) -> None:
        """Close connections on which the headers of a request do not become complete, until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_EVERY_SECONDS, self.request_seconds))
            now = self._loop.time()
            for connection in [one for one in self._open if one.is_reading_headers and now >= one.deadline]:
                connection.time_out()
                self._on_late()


def connection_of(request: web.BaseRequest) -> Connection:
    """The connection that a request came on."""
    connection = request.protocol
    assert isinstance(connection, Connection), "the server makes no others"
    return connection


def answer(status: int, document: object, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON."""
    return web.Response(
        status=status,
        body=orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE),
        headers={**_HEADERS, **(headers or {})},
    )
