"""The HTTP server for health, metrics, version, status and the page. All requests are GET; none changes anything.

    /livez /readyz /startupz   200 or 503; ?verbose, ?exclude=CHECK, /readyz/CHECK; JSON when ``Accept`` asks for it
    /metrics                   for Prometheus
    /version /status           JSON
    /                          a page for people; `streamer.page` adds its routes
    /events /receipts          JSON; `streamer.whereabouts` adds its routes

`streamer.access` decides who gets an answer. The server listens on the loopback interface unless the configuration says
otherwise, and on a Unix socket in the state directory, where commands on this machine ask. No answer holds a secret or
a value of a record.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import orjson
from aiohttp import web

from streamer.access import Access
from streamer.core.errors import UnavailableError
from streamer.listening import listen_on, listen_on_socket
from streamer.logs import logger
from streamer.logs.events import Event
from streamer.page import Page
from streamer.status import Check, StatusSource
from streamer.status.document import document_of, version_of
from streamer.status.metrics import Metrics

SHUTDOWN_SECONDS: Final = 1.0
"""How long requests in progress may take when the service stops."""


class Address(Protocol):
    """Where to listen."""

    @property
    def host(self) -> str:
        """Name or address of an interface."""

    @property
    def port(self) -> int:
        """0: any free one."""


class AddsRoutes(Protocol):
    """Something that answers questions of its own."""

    def add_routes(self, application: web.Application) -> None:
        """Serve the answers."""


class Server:
    """Answers with the state that ``source`` returns, from `start` to `stop`."""

    def __init__(
        self,
        address: Address,
        source: StatusSource,
        access: Access | None = None,
        *,
        socket: Path | None = None,
        more: Sequence[AddsRoutes] = (),
    ) -> None:
        """Prepare.

        Args:
            address: where to listen.
            source: what the answers say.
            access: who gets them; None: everybody.
            socket: where to listen for commands on this machine; None: nowhere.
            more: what else is answered.
        """
        self._address = address
        self._access = access or Access()
        self._socket = socket
        self._more = more
        self._source = source
        self._metrics = Metrics(source.status)
        self.page = Page(source)
        self._runner: web.AppRunner | None = None
        self.port = address.port
        """The port that is listened on, once started."""

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address cannot be listened on.
        """
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        host, port = self._address.host, self._address.port
        try:
            self.port = await listen_on(runner, host, port)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port} ({error.strerror or error}). No event was read or sent. Stop the"
                " program that listens there, or set server.host and server.port (port 0: any free one)"
            ) from error
        self._runner = runner
        logger().emit(Event.SERVER_LISTENING, host=host, port=self.port)
        await self._listen_on_socket(runner)

    async def _listen_on_socket(self, runner: web.AppRunner) -> None:
        """Listen for commands on this machine. They have the port as well, so a socket that fails stops nothing."""
        if self._socket is None:
            return
        try:
            await listen_on_socket(runner, self._socket)
        except OSError as error:
            path, self._socket = self._socket, None
            logger().emit(Event.SERVER_SOCKET_UNAVAILABLE, detail=f"{path}: {error.strerror or error}")

    async def stop(self) -> None:
        """Stop listening, and let requests in progress end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.unlink()

    def _application(self) -> web.Application:
        application = web.Application()
        self._access.install(application)
        for path, checks in (
            ("/livez", self._source.live),
            ("/readyz", self._source.ready),
            ("/startupz", self._source.started),
        ):
            probe = _probe(path.strip("/"), checks)
            application.router.add_get(path, probe)
            application.router.add_get(path + "/{check}", probe)
        application.router.add_get("/metrics", self._get_metrics)
        application.router.add_get("/version", self._get_version)
        application.router.add_get("/status", self._get_status)
        for part in (self.page, *self._more):
            part.add_routes(application)
        return application

    async def _get_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_version(self, _request: web.Request) -> web.Response:
        return _json(version_of(self._source.status()))

    async def _get_status(self, _request: web.Request) -> web.Response:
        return _json(document_of(self._source.status(), now=time.time(), monotonic_now=time.monotonic()))


def _probe(name: str, checks: Callable[[], Sequence[Check]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        only = request.match_info.get("check")
        excluded = set(request.query.getall("exclude", ()))
        asked = [check for check in checks() if check.name not in excluded and only in {None, check.name}]
        if only is not None and not asked:
            return web.Response(status=404, text=f"/{name} has no check with this name\n")
        passed = all(check.ok for check in asked)
        status = 200 if passed else 503
        if "application/json" in request.headers.get("Accept", ""):
            return _json(_document(asked), status=status)
        text = _word(asked) if passed and "verbose" not in request.query else _lines(name, asked)
        return web.Response(status=status, text=text)

    return answer


def _word(checks: Sequence[Check]) -> str:
    return "ok, degraded\n" if any(check.is_degraded for check in checks) else "ok\n"


def _lines(name: str, checks: Sequence[Check]) -> str:
    """One line for each check, in the form that Kubernetes uses, and the result."""
    lines = [_line(check) for check in checks]
    passed = all(check.ok for check in checks)
    return "\n".join([*lines, f"{name} check {'passed' if passed else 'failed'}", ""])


def _line(check: Check) -> str:
    if not check.ok:
        return f"[-]{check.name} failed: {check.detail}"
    return f"[+]{check.name} degraded: {check.detail}" if check.is_degraded else f"[+]{check.name} ok"


def _document(checks: Sequence[Check]) -> dict[str, object]:
    return {
        "status": "ok" if all(check.ok for check in checks) else "fail",
        "degraded": any(check.is_degraded for check in checks),
        "checks": {
            check.name: {"status": _verdict(check), **({"detail": check.detail} if check.detail else {})}
            for check in checks
        },
    }


def _verdict(check: Check) -> str:
    if not check.ok:
        return "fail"
    return "degraded" if check.is_degraded else "ok"


def _json(document: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2),
        status=status,
        headers={"Content-Type": "application/json"},
    )
