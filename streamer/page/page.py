"""The page over HTTP: the document, its changes as server-sent events, and its two files."""

import asyncio
import time
from importlib.resources import files
from typing import Final

import orjson
from aiohttp import web

from streamer.page.screen import Screen
from streamer.status import StatusSource

MAX_VIEWERS: Final = 20
"""Most browsers that are told of changes. More of them load the page every few seconds instead."""

MAX_WRITE_SECONDS: Final = 10.0
"""A browser that takes nothing for so long is disconnected; it connects again by itself."""

MAX_STREAM_SECONDS: Final = 600.0
"""After so long a browser has to connect again, which it does by itself: the token may have been replaced meanwhile."""

RETRY_MS: Final = 1_000
"""After so long a browser connects again."""


class Page:
    """Answers with what `source` knows. ``end`` ends all streams, so that the server can stop."""

    def __init__(self, source: StatusSource) -> None:
        self._screen = Screen(source)
        self._ending = asyncio.Event()
        self.viewers = 0
        """Browsers that are told of changes now."""
        static = files("streamer.page") / "static"
        self._css, self._js = ((static / name).read_bytes() for name in ("page.css", "page.js"))

    def add_routes(self, application: web.Application) -> None:
        """Serve the page at ``/``."""
        add = application.router.add_get
        add("/", self.get)
        add("/page/events", self.events, allow_head=False)
        add("/page/page.css", self.get_css)
        add("/page/page.js", self.get_js)
        application.on_shutdown.append(self.end)

    async def end(self, _application: web.Application) -> None:
        """End all streams: a server that stops waits for its answers."""
        self._ending.set()

    async def get(self, _request: web.Request) -> web.Response:
        """The page, complete as of now."""
        return _answer(_encoded(self._screen.frame().document()), "text/html")

    async def get_css(self, _request: web.Request) -> web.Response:
        """Its style."""
        return _answer(self._css, "text/css")

    async def get_js(self, _request: web.Request) -> web.Response:
        """Its script."""
        return _answer(self._js, "text/javascript")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Its changes, once a second, until the browser leaves: first everything, then what changed."""
        if self.viewers >= MAX_VIEWERS:
            text = f"{MAX_VIEWERS} browsers watch this instance already; load the page again instead\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "30"})
        self.viewers += 1
        try:
            return await self._stream(request)
        finally:
            self.viewers -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        try:
            await response.prepare(request)
            await self._write(response, f"retry: {RETRY_MS}\n\n".encode())
            shown: dict[str, str] = {}
            ends_at = time.monotonic() + MAX_STREAM_SECONDS
            while not self._ending.is_set() and time.monotonic() < ends_at:
                parts = self._screen.frame().parts()
                changed = {name: part for name, part in parts.items() if shown.get(name) != part}
                shown = parts
                await self._write(response, b"data: " + _encoded_json(changed) + b"\n\n")
                await self._next_tick()
        except (ConnectionError, TimeoutError):  # it has left, or takes nothing; each tick writes, and so finds out
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(MAX_WRITE_SECONDS):
            await response.write(data)

    async def _next_tick(self) -> None:
        try:
            async with asyncio.timeout(self._screen.seconds_to_next()):
                await self._ending.wait()
        except TimeoutError:
            pass


def _encoded_json(parts: dict[str, str]) -> bytes:
    try:
        return orjson.dumps(parts)
    except orjson.JSONEncodeError:  # a text that is not valid Unicode
        return orjson.dumps({name: _encoded(part).decode() for name, part in parts.items()})


def _encoded(text: str) -> bytes:
    """Texts from outside may hold what UTF-8 cannot."""
    return text.encode("utf-8", "replace")


def _answer(body: bytes, content_type: str) -> web.Response:
    return web.Response(body=body, content_type=content_type, charset="utf-8")
