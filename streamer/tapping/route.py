"""`GET /tap`: the lines of a tap as they come, for as long as somebody reads them.

    integration   only this one; may be repeated
    where         FIELD=GLOB; may be repeated, and a call has to match all
    rate          lines a second, at most
    values        true: the calls as they are, instead of the types of their values

The answer is NDJSON. A line that has the key ``tap`` is about the tap itself: what it has seen and shown up to now. One
comes every few seconds, so that a reader that has left is noticed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from streamer.core.tapping import Condition, TapRequest
from streamer.core.tapping.tap import DEFAULT_RATE
from streamer.logs import Event, logger
from streamer.tapping.taps import MAX_TAPS, Listener, Taps

HEARTBEAT_SECONDS: Final = 5.0
"""Between two lines about the tap itself."""

MAX_WRITE_SECONDS: Final = 60.0
"""A reader that takes nothing for so long is disconnected."""

MAX_TAP_SECONDS: Final = 3_600.0
"""A tap ends after so long: the token may have been replaced, or nobody looks any more."""

PARAMETERS: Final = frozenset({"integration", "where", "rate", "values"})


class TapRoute:
    """Answers ``/tap``."""

    def __init__(self, taps: Taps, may_see_values: Callable[[web.Request], bool]) -> None:
        """Prepare.

        Args:
            taps: of the service.
            may_see_values: whether whoever makes a request may see values of records.
        """
        self._taps = taps
        self._may_see_values = may_see_values
        self._ending = asyncio.Event()
        self._writes: set[asyncio.Timeout] = set()

    def add_routes(self, application: web.Application) -> None:
        """Serve it."""
        application.router.add_get("/tap", self.get, allow_head=False)
        application.on_shutdown.append(self.end)

    async def end(self, _application: web.Application) -> None:
        """End all taps at once, also those whose readers take nothing: a server that stops waits for its answers."""
        self._ending.set()
        for listener in self._taps.listeners:
            listener.has_lines.set()
        for write in self._writes:
            write.reschedule(asyncio.get_running_loop().time())

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Open a tap, and send its lines until the reader leaves."""
        try:
            asked = _asked_in(request)
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        if asked.reveals_values and not self._may_see_values(request):
            return web.Response(
                status=403,
                text="Values of calls, and which calls have them, are told over the Unix socket in state_dir, or to"
                " whoever has the token. Set server.token_file, or ask on the machine where this instance runs.\n",
            )
        if self._taps.is_full:
            return web.Response(
                status=503,
                text=f"{MAX_TAPS} taps are open on this instance, which is the most. Close one of them.\n",
                headers={"Retry-After": "30"},
            )
        logger().emit(Event.TAP_OPENED, shows_values=asked.reveals_values)
        listener = self._taps.open(asked)
        try:
            return await self._stream(request, listener)
        finally:
            self._taps.close(listener)

    async def _stream(self, request: web.Request, listener: Listener) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await response.prepare(request)
            await self._write(response, listener.tap.tally())
            ends_at = time.monotonic() + MAX_TAP_SECONDS
            told_at = time.monotonic()
            while not self._ending.is_set() and time.monotonic() < ends_at:
                await _wait(listener.has_lines, told_at + HEARTBEAT_SECONDS - time.monotonic())
                listener.has_lines.clear()
                lines = listener.tap.take()
                if time.monotonic() - told_at >= HEARTBEAT_SECONDS:
                    told_at = time.monotonic()
                    lines += listener.tap.tally()
                if lines:
                    await self._write(response, lines)
            await self._write(response, listener.tap.tally())
        except (ConnectionError, TimeoutError):  # it has left, or takes nothing
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(MAX_WRITE_SECONDS) as write:
            self._writes.add(write)
            try:
                await response.write(data)
            finally:
                self._writes.discard(write)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        pass


def _asked_in(request: web.Request) -> TapRequest:
    """What the parameters ask for.

    Raises:
        ValueError: they ask for something else than a tap can do.
    """
    query = request.query
    unknown = sorted(set(query) - PARAMETERS)
    if unknown:
        raise ValueError(f"/tap has the parameters {', '.join(sorted(PARAMETERS))}, and not the one that was sent")
    return TapRequest(
        integrations=frozenset(query.getall("integration", [])),
        conditions=[Condition(text) for text in query.getall("where", [])],
        rate=_rate(query),
        shows_values=_flag(query),
    )


def _rate(query: Mapping[str, str]) -> float:
    try:
        return float(query.get("rate", DEFAULT_RATE))
    except ValueError:
        raise ValueError("rate is not a number of lines a second") from None


def _flag(query: Mapping[str, str]) -> bool:
    text = query.get("values", "false")
    if text not in {"true", "false"}:
        raise ValueError("values is neither true nor false")
    return text == "true"
