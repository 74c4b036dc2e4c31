"""What is new for whoever watches the page, rendered once for all who ask at the same time for the same. No I/O."""

from collections.abc import Callable
from typing import Final, NamedTuple

import orjson

from streamer.devkit.sandbox.debugger import panels
from streamer.devkit.sandbox.debugger.call_views import show_found, show_rows
from streamer.devkit.sandbox.debugger.calls import split_id
from streamer.devkit.sandbox.debugger.finding import find
from streamer.devkit.sandbox.debugger.query import Query
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.platform_routes import Platforms
from streamer.devkit.sandbox.record import SandboxRecord
from streamer.devkit.sandbox.webhook import WebhookDestination

TICK_SECONDS: Final = 0.5
"""How often a viewer is told what is new."""

_STATE_SECONDS: Final = 0.8 * TICK_SECONDS
"""How long what is around the list is taken for current."""


class Cursor(NamedTuple):
    """Up to which call a viewer has been told."""

    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.run}.{self.number}"


NOWHERE: Final = Cursor("", 0)
"""The cursor of a viewer who has been told nothing."""


class Tail:
    """Looks at the parts of one sandbox."""

    def __init__(
        self,
        record: SandboxRecord,
        faults: FaultScript,
        platforms: Platforms,
        webhook: WebhookDestination | None,
        clock: Callable[[], float],
    ) -> None:
        """Watch these parts. ``clock``: seconds since the epoch."""
        self._record = record
        self._faults = faults
        self._platforms = platforms
        self._webhook = webhook
        self._clock = clock
        self._state: tuple[float, dict[str, str]] | None = None
        self._messages: dict[tuple[Query, Cursor], bytes] = {}
        self._messages_until = NOWHERE

    @property
    def end(self) -> Cursor:
        """The cursor of a viewer who has been told everything."""
        return Cursor(self._record.run, self._record.received)

    def state(self) -> dict[str, str]:
        """All that stands around the list of calls: the HTML inside of each element, by its id."""
        now = self._clock()
        if self._state is None or not 0 <= now - self._state[0] < _STATE_SECONDS:
            self._state = now, self._show_state(now)
        return self._state[1]

    def news(self, query: Query, since: Cursor) -> bytes:
        """The calls after a cursor that a search finds, as one server-sent event; empty if no call came."""
        if since == self.end:
            return b""
        if self._messages_until != self.end:
            self._messages.clear()
            self._messages_until = self.end
        if (query, since) not in self._messages:
            self._messages[query, since] = self._show_news(query, since)
        return self._messages[query, since]

    def _show_news(self, query: Query, since: Cursor) -> bytes:
        goes_on = since.run == self._record.run
        found = find(self._record, query, after=since.number if goes_on else 0)
        if not goes_on:
            found = found._replace(missed=0)  # there is nothing before these that the viewer has been told
        news = {
            "replace": not goes_on,
            "calls": found.matches,
            "rows": show_rows(found, query),
            "found": show_found(found, query, self._record.received) if not goes_on or query.is_empty else None,
        }
        return event("calls", news, cursor=self.end)

    def _show_state(self, now: float) -> dict[str, str]:
        seconds = self._record.rates.by_second(now)
        return {
            "counts": panels.show_counts(self._record, seconds),
            "chart": panels.show_chart(seconds),
            "running": panels.show_running(self._faults.running),
            "swallowed": panels.show_swallowed(self._record.swallowed_by_code, self._record.requests_by_discard),
            "stand-ins": panels.show_stand_ins(self._platforms.stand_ins),
            "webhook": panels.show_webhook(self._webhook),
        }


def event(name: str, data: object, *, cursor: Cursor | None = None) -> bytes:
    """One server-sent event."""
    place = f"id: {cursor}\n" if cursor else ""
    return f"{place}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def cursor_of(given: str | None) -> Cursor:
    """Read a cursor that a viewer has been told; `NOWHERE` for anything else."""
    found = split_id(given or "")
    return Cursor(*found) if found else NOWHERE
