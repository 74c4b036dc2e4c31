"""The sandbox for programs: the endpoints under ``/_sandbox/``. Those that the page asks for are in `debugger.routes`.

GET    /_sandbox/record          all counters
GET    /_sandbox/calls?limit=N   the latest calls with their bodies, newest first, at most those that are kept; the
                                 parameters message_id, user, event and verdict search them as the page does
GET    /_sandbox/ids             messageId -> how often it was answered with a 2xx
GET    /_sandbox/faults          the faults in force
PUT    /_sandbox/faults          replace them by a list of faults, or by one
POST   /_sandbox/faults          add a list of faults, or one
DELETE /_sandbox/faults          remove all faults: answer as Segment does
POST   /_sandbox/reset           forget all calls, messageIds, records and users; the faults and the record file stay
GET    /_sandbox/platforms       the users and events of the stand-ins for Sprig and Product Fruits
"""

from collections.abc import Callable
from itertools import islice
from typing import Final

import orjson
from aiohttp import web

from streamer.core.model import Json
from streamer.devkit.sandbox.debugger.finding import find
from streamer.devkit.sandbox.debugger.query import Query, QueryError
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import FaultsError, read_faults, write_faults
from streamer.devkit.sandbox.platform_routes import Platforms
from streamer.devkit.sandbox.record import LATEST_CALLS, ReceivedCall, SandboxRecord
from streamer.devkit.sandbox.sources import Sources

IDS_A_WRITE: Final = 5_000
"""How many messageIds are written before other requests are served."""


class Admin:
    """Shows a record and changes a script of faults."""

    def __init__(self, record: SandboxRecord, faults: FaultScript, platforms: Platforms, sources: Sources) -> None:
        self._record = record
        self._platforms = platforms
        self._faults = faults
        self._sources = sources

    def routes(self) -> list[web.RouteDef]:
        """The endpoints of the module's docstring."""
        return [
            web.get("/_sandbox/record", self._show_record),
            web.get("/_sandbox/calls", self._show_calls),
            web.get("/_sandbox/ids", self._show_ids),
            web.get("/_sandbox/faults", self._show_faults),
            web.put("/_sandbox/faults", self._set_faults),
            web.post("/_sandbox/faults", self._add_faults),
            web.delete("/_sandbox/faults", self._clear_faults),
            web.post("/_sandbox/reset", self._reset),
        ]

    async def _show_record(self, _: web.Request) -> web.Response:
        return _json(orjson.dumps(self._record.totals()))

    async def _show_calls(self, request: web.Request) -> web.Response:
        try:
            limit = int(request.query.get("limit", LATEST_CALLS))
        except ValueError:
            limit = -1
        if limit < 0:
            raise web.HTTPBadRequest(text="limit should be a whole number of calls, 0 or more\n")
        try:
            query = Query.of(request.query)
        except QueryError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        found = find(self._record, query, limit=limit)
        return _json(orjson.dumps([_call(call.kept.entry, call.kept.body) for call in found.calls]))

    async def _show_ids(self, request: web.Request) -> web.StreamResponse:
        """One JSON object, written in parts, so that the sandbox can receive calls in between."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        counts, separator = self._record.counts(), b"{"
        while part := dict(islice(counts, IDS_A_WRITE)):
            await response.write(separator + orjson.dumps(part)[1:-1])
            separator = b","
        await response.write(b"}" if separator == b"," else b"{}")
        await response.write_eof()
        return response

    async def _show_faults(self, _: web.Request) -> web.Response:
        return _json(write_faults(self._faults.in_force))

    async def _set_faults(self, request: web.Request) -> web.Response:
        return await self._change_faults(request, self._faults.set)

    async def _add_faults(self, request: web.Request) -> web.Response:
        return await self._change_faults(request, self._faults.add)

    async def _change_faults(self, request: web.Request, change: Callable[..., None]) -> web.Response:
        try:
            change(*read_faults(await request.read()))
        except FaultsError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return await self._show_faults(request)

    async def _reset(self, request: web.Request) -> web.Response:
        self._record.clear()
        self._platforms.clear()
        self._sources.clear()
        return await self._show_record(request)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _call(entry: ReceivedCall, body: bytes | None) -> dict[str, Json]:
    return {
        "time": entry.received_at,
        "messageId": entry.message_id,
        "verdict": entry.verdict,
        "code": entry.discard,
        "path": entry.path,
        "answer": entry.answer,
        "call": None if body is None else orjson.Fragment(body),
    }
