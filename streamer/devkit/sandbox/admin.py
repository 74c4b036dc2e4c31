"""The sandbox for people and tests: the page at ``/`` and the endpoints under ``/_sandbox/``.

GET    /_sandbox/record          all counters
GET    /_sandbox/calls?limit=N   the latest calls with their bodies, newest first
GET    /_sandbox/ids             messageId -> how often it was answered with a 2xx
GET    /_sandbox/faults          the faults in force
PUT    /_sandbox/faults          replace them by a list of faults, or by one
POST   /_sandbox/faults          add a list of faults, or one
DELETE /_sandbox/faults          remove all faults: answer as Segment does
POST   /_sandbox/reset           forget all calls, messageIds and users; the faults and the record file stay
GET    /_sandbox/platforms       the users and events of the stand-ins for Sprig and Product Fruits
"""

import html
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from itertools import islice
from string import Template
from typing import Final

import orjson
from aiohttp import web

from streamer.core.model import Json
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import FaultsError, read_faults, write_faults
from streamer.devkit.sandbox.platform_routes import Platforms
from streamer.devkit.sandbox.record import LATEST_CALLS, ReceivedCall, SandboxRecord

PAGE_CALLS: Final = 50
"""How many calls the page shows."""

PAGE_BODY_CHARACTERS: Final = 600
"""How much of a call the page shows."""

IDS_A_WRITE: Final = 5_000
"""How many messageIds are written before other requests are served."""

PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


class Admin:
    """Shows a record and changes a script of faults."""

    def __init__(self, record: SandboxRecord, faults: FaultScript, platforms: Platforms) -> None:
        self._record = record
        self._platforms = platforms
        self._faults = faults
        self._page = Template(
            resources.files("streamer.devkit.sandbox").joinpath("page.html").read_text(encoding="utf-8")
        )

    def routes(self) -> list[web.RouteDef]:
        """The endpoints of the module's docstring."""
        return [
            web.get("/", self._show_page),
            web.get("/_sandbox/record", self._show_record),
            web.get("/_sandbox/calls", self._show_calls),
            web.get("/_sandbox/ids", self._show_ids),
            web.get("/_sandbox/faults", self._show_faults),
            web.put("/_sandbox/faults", self._set_faults),
            web.post("/_sandbox/faults", self._add_faults),
            web.delete("/_sandbox/faults", self._clear_faults),
            web.post("/_sandbox/reset", self._reset),
        ]

    async def _show_page(self, _: web.Request) -> web.Response:
        totals = "\n".join(
            f"<tr><th>{_text(name)}</th><td>{_text(_flat(total))}</td></tr>"
            for name, total in self._record.totals().items()
        )
        calls = "\n".join(_row(entry, body) for entry, body in self._record.latest(PAGE_CALLS))
        page = self._page.substitute(totals=totals, calls=calls)
        return web.Response(text=page, content_type="text/html", headers=PAGE_HEADERS)

    async def _show_record(self, _: web.Request) -> web.Response:
        return _json(orjson.dumps(self._record.totals()))

    async def _show_calls(self, request: web.Request) -> web.Response:
        try:
            limit = int(request.query.get("limit", LATEST_CALLS))
        except ValueError:
            limit = -1
        if limit < 0:
            raise web.HTTPBadRequest(text="limit should be a whole number of calls, 0 or more\n")
        calls = [_call(entry, body) for entry, body in self._record.latest(min(limit, LATEST_CALLS))]
        return _json(orjson.dumps(calls))

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


def _row(entry: ReceivedCall, body: bytes | None) -> str:
    shown = "(too large, not kept)" if body is None else body.decode()
    if len(shown) > PAGE_BODY_CHARACTERS:
        shown = shown[:PAGE_BODY_CHARACTERS] + " \N{HORIZONTAL ELLIPSIS}"
    verdict = f"{entry.verdict} ({entry.discard})" if entry.discard else entry.verdict
    cells = (verdict, entry.message_id or "(none)", entry.path, entry.answer)
    received_at = datetime.fromtimestamp(entry.received_at, UTC).isoformat(timespec="milliseconds")[:-6]
    return (
        f'<tr class="{entry.verdict}"><td>{received_at}</td>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + f"<td><code>{_text(shown)}</code></td></tr>"
    )


def _flat(total: Json) -> str:
    if isinstance(total, dict):
        return ", ".join(f"{name}: {count}" for name, count in sorted(total.items())) or "none"
    return str(total)


def _text(raw: str) -> str:
    return html.escape(raw, quote=True)
