"""Who may see health, metrics and status, and what browsers may do with the answers.

- With ``server.token_file``, every path but health wants the token: ``Authorization: Bearer TOKEN``, or Basic with any
  user name and the token as password, because that is what a browser asks a person for.
- Without it, a listener on the loopback interface answers only requests that were made to this machine by name. Else a
  web page that is open in a browser here could read the status through a name of its own (DNS rebinding).
- Requests over the Unix socket in the state directory need none: only the owner of the process can connect to it.
- Every answer has headers that keep browsers from running scripts of others, framing, guessing types and storing.
"""

import base64
import binascii
import hmac
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from streamer.core.errors import UnavailableError
from streamer.listening import is_loopback
from streamer.logs import Event, logger
from streamer.settings.sections import read_secret_file

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOK_SECONDS: Final = 1.0
"""How often it is looked at most whether the file of the token has changed."""

HEALTH: Final = frozenset({"livez", "readyz", "startupz"})
"""First parts of the paths that need no token: what asks them often cannot send one."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Server": "streamer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer."""

_CHALLENGES: Final = ('Bearer realm="streamer"', 'Basic realm="streamer", charset="UTF-8"')


class Token:
    """The token of a file, which is read again when the file changes."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet; ``clock`` in seconds."""
        self._file = file
        self._clock = clock
        self._looked_at = float("-inf")
        self._mark: tuple[int, int, int] | None = None
        self._token: bytes | None = None
        self._has_told = False

    def is_known(self) -> bool:
        """Whether there is a token: the one of the file, or while that cannot be read the last one."""
        self._look()
        return self._token is not None

    def is_right(self, given: bytes) -> bool:
        """Whether ``given`` is the token; takes as long whatever is wrong with it."""
        return self._token is not None and hmac.compare_digest(given, self._token)

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        mark = _mark(self._file)  # before it is read: a change meanwhile is noticed the next time
        if mark is not None and mark == self._mark:
            return
        try:
            token = _read(self._file)
        except UnavailableError as error:
            self._mark = None
            if not self._has_told:
                logger().emit(Event.SERVER_TOKEN_UNREADABLE, detail=str(error))
            self._has_told = True
        else:
            self._mark, self._token, self._has_told = mark, token.encode(), False


def _read(file: Path) -> str:
    token = read_secret_file(file, "server.token_file")
    if not token.strip():
        raise UnavailableError(f"server.token_file {file} is empty; put the token in it")
    return token


class Access:
    """Lets requests through, or answers them itself. ``install`` adds it to an application."""

    def __init__(self, *, host: str = "", token_file: Path | None = None) -> None:
        """Prepare.

        Args:
            host: what is listened on.
            token_file: holds the token; None: none is needed.
        """
        self._token = None if token_file is None else Token(token_file)
        self._is_loopback = is_loopback(host)

    def install(self, application: web.Application) -> None:
        """Check all requests, and add the headers to all answers."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = None if _is_health(request) or is_by_owner(request) else self._refusal(request)
            return await handler(request) if refusal is None else refusal

        application.middlewares.append(check)
        application.on_response_prepare.append(_add_headers)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that may not pass."""
        if self._token is None:
            host = request.headers.get("Host")
            if self._is_loopback and host is not None and not is_loopback(_without_port(host)):
                return _answer(
                    421,
                    "This address is for this machine: ask for it as localhost or 127.0.0.1. To reach it by another"
                    " name, set server.token_file.",
                )
            return None
        if not self._token.is_known():
            return _answer(503, "server.token_file cannot be read, so nobody is let in. See the log.")
        if self._token.is_right(_given_in(request.headers.get("Authorization", ""))):
            return None
        refusal = _answer(
            401, "Send the token of server.token_file: Authorization: Bearer TOKEN, or as the password of any user."
        )
        for challenge in _CHALLENGES:
            refusal.headers.add("WWW-Authenticate", challenge)
        return refusal


def is_by_owner(request: web.Request) -> bool:
    """Whether a request came over the Unix socket, which only the owner of this process can connect to."""
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


def _is_health(request: web.Request) -> bool:
    """By the route that was found, not by the path: a path can be written in many ways."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.split("/")[1] in HEALTH


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() and (name.endswith("]") or ":" not in name) else host


def _given_in(header: str) -> bytes:
    """The token in an ``Authorization`` header; empty: there is none that can be read."""
    scheme, _, credentials = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip().encode(errors="surrogateescape")
        case "basic":
            try:
                return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return b""
        case _:
            return b""


def _answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _mark(file: Path) -> tuple[int, int, int] | None:
    """What changes with a file: its inode, the time of its last change in nanoseconds, its size."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
