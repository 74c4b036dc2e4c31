"""The page and what it asks for.

GET    /                             the page; parameters message_id, user, event and verdict search, call opens a call
GET    /_sandbox/page/events         its live tail, as server-sent events; the same parameters, and since
GET    /_sandbox/page/call/{id}      one call beside the record it came from, as HTML
POST   /_sandbox/faults/play         begin a fault of the page's buttons: {"fault": "503", "seconds": 30}
POST   /_sandbox/faults/end          end one: {"number": 1}
POST   /_sandbox/sources             tell records: [{"messageId", "topic", "partition", "offset", "value"}]
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import resources
from string import Template
from typing import Annotated, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.devkit.sandbox.debugger import panels
from streamer.devkit.sandbox.debugger.call_views import show_call, show_found, show_rows
from streamer.devkit.sandbox.debugger.calls import ShownCall
from streamer.devkit.sandbox.debugger.finding import find, find_one
from streamer.devkit.sandbox.debugger.markup import text
from streamer.devkit.sandbox.debugger.presets import MAX_PLAY_SECONDS, PRESETS
from streamer.devkit.sandbox.debugger.query import Query, QueryError
from streamer.devkit.sandbox.debugger.tail import TICK_SECONDS, Tail, cursor_of, event
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import Fault, FaultsError
from streamer.devkit.sandbox.record import SandboxRecord, Verdict
from streamer.devkit.sandbox.sources import Sources, SourcesError, read_sources

MAX_VIEWERS: Final = 10
"""Most pages that watch at the same time; further ones are answered 503 and show what was when they were loaded."""

WRITE_SECONDS: Final = 10.0
"""How long a viewer may take to read what it was sent; then its connection is closed, and its page asks again."""

QUIET_SECONDS: Final = 15.0
"""After so long without news, a viewer is sent a comment, to find out whether it is still there."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_Document = TypeVar("_Document")

ASSETS: Final = {"page.css": "text/css", "page.js": "text/javascript"}


class _Play(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fault: str
    seconds: Annotated[float | None, Field(gt=0, le=MAX_PLAY_SECONDS)] = None


class _End(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int


class Debugger:
    """Shows one sandbox to people."""

    def __init__(
        self, record: SandboxRecord, faults: FaultScript, sources: Sources, tail: Tail, stopping: asyncio.Event
    ) -> None:
        """Show these parts; viewers are sent away once ``stopping`` is set."""
        self._record = record
        self._faults = faults
        self._sources = sources
        self._tail = tail
        self._stopping = stopping
        self._viewers = 0
        self._page = Template(_asset("page.html"))

    def routes(self) -> list[web.RouteDef]:
        """The endpoints of the module's docstring."""
        return [
            web.get("/", self._show_page),
            *(web.get(f"/_sandbox/page/{name}", _server_of(name)) for name in ASSETS),
            web.get("/_sandbox/page/events", self._show_events),
            web.get("/_sandbox/page/call/{id}", self._show_call),
            web.post("/_sandbox/faults/play", self._play),
            web.post("/_sandbox/faults/end", self._end),
            web.post("/_sandbox/sources", self._tell_sources),
        ]

    async def _show_page(self, request: web.Request) -> web.Response:
        query, opened = _query(request), request.query.get("call", "")
        found = find(self._record, query)._replace(missed=0)
        page = self._page.substitute(
            {name.replace("-", "_"): inside for name, inside in self._tail.state().items()},
            cursor=self._tail.end,
            message_id=text(query.message_id),
            user=text(query.user),
            event=text(query.event),
            verdicts=_verdict_options(query.verdict),
            clear_hidden="hidden" if query.is_empty else "",
            found=show_found(found, query, self._record.received),
            rows=show_rows(found, query, opened=opened),
            layout="with-call" if opened else "",
            call=self._call(opened, query) if opened else "",
            hidden="" if opened else "hidden",
            buttons=panels.show_fault_buttons(),
            verdict_meanings=panels.show_verdicts(),
        )
        return web.Response(text=page, content_type="text/html", headers=HEADERS)

    async def _show_call(self, request: web.Request) -> web.Response:
        inside = self._call(request.match_info["id"], _query(request))
        return web.Response(text=inside, content_type="text/html", headers=HEADERS)

    def _call(self, call_id: str, query: Query) -> str:
        call: ShownCall | None = find_one(self._record, call_id)
        message_id = call.kept.entry.message_id if call else None
        taken = self._record.count(message_id) if message_id else 0
        return show_call(call, self._sources.of(message_id), query, taken)

    async def _show_events(self, request: web.Request) -> web.StreamResponse:
        query = _query(request)
        if self._viewers >= MAX_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_VIEWERS} pages watch this sandbox already; close one\n")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        self._viewers += 1
        try:
            await response.prepare(request)
            await self._tell(response, query, request.headers.get("Last-Event-ID") or request.query.get("since"))
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._viewers -= 1
        return response

    async def _tell(self, response: web.StreamResponse, query: Query, since: str | None) -> None:
        """Tell a viewer what is new, until the sandbox stops or the viewer leaves.

        A viewer who reads too slowly misses what is in between, as the page says then; nothing is kept for it.

        Raises:
            TimeoutError: it does not read.
        """
        cursor, told, quiet_seconds = cursor_of(since), dict[str, str](), 0.0
        news = b"retry: 1000\n\n"
        while not self._stopping.is_set():
            news += self._tail.news(query, cursor)
            cursor, state = self._tail.end, self._tail.state()
            if changed := {name: inside for name, inside in state.items() if told.get(name) != inside}:
                news += event("state", changed)
                told = state
            quiet_seconds = 0.0 if news else quiet_seconds + TICK_SECONDS
            if quiet_seconds >= QUIET_SECONDS:
                news, quiet_seconds = b": nothing new\n\n", 0.0
            if news:
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(news)
            news = b""
            await _wait(self._stopping, TICK_SECONDS)

    async def _play(self, request: web.Request) -> web.Response:
        asked = await _read(request, _Play.model_validate_json)
        if asked.fault not in PRESETS:
            raise web.HTTPBadRequest(text=f"fault should be one of {', '.join(PRESETS)}\n")
        preset = PRESETS[asked.fault]
        fault = Fault(action=preset.action, match=preset.match, for_seconds=asked.seconds)
        try:
            return _json({"number": self._faults.play(fault)})
        except FaultsError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error

    async def _end(self, request: web.Request) -> web.Response:
        asked = await _read(request, _End.model_validate_json)
        if not self._faults.end(asked.number):
            raise web.HTTPNotFound(text="this fault does not run any more\n")
        return _json({"number": asked.number})

    async def _tell_sources(self, request: web.Request) -> web.Response:
        told = await _read(request, read_sources)
        for source in told:
            self._sources.tell(source.message_id, source)
        return _json({"told": len(told)})


async def _read(request: web.Request, parse: Callable[[bytes], _Document]) -> _Document:
    """The body of a request. Its type must be JSON, which a form of another site cannot send."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send JSON, with Content-Type: application/json\n")
    try:
        return parse(await request.read())
    except (ValidationError, SourcesError) as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def _query(request: web.Request) -> Query:
    try:
        return Query.of(request.query)
    except QueryError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json", headers=HEADERS)


def _verdict_options(chosen: Verdict | None) -> str:
    options = "".join(f"<option{' selected' if verdict is chosen else ''}>{verdict}</option>" for verdict in Verdict)
    return f'<option value="">any</option>{options}'


def _asset(name: str) -> str:
    return resources.files("streamer.devkit.sandbox.debugger").joinpath(name).read_text(encoding="utf-8")


def _server_of(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body, kind = _asset(name), ASSETS[name]

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type=kind, headers=HEADERS)

    return serve
