"""A row for each destination: its state, its answers, how long they take, and how many requests are in flight."""

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from streamer.core.delivery.transitions import State
from streamer.page.figures import UNKNOWN, count, duration, latency, moment
from streamer.page.integrations import DESTINATION_STATES
from streamer.page.markup import element, joined
from streamer.page.parts import NOTHING, badge, cell, do, heading, name, quiet, since, table, tally
from streamer.page.view import View
from streamer.status import DestinationStatus
from streamer.status.destination_problems import reason_in_words

_COLUMNS: Final = (
    ("Destination", False),
    ("State", False),
    ("Answers since the start", False),
    ("Latency p50", True),
    ("Latency p99", True),
    ("In flight", True),
    ("Next probe", False),
)


def destinations(view: View) -> Markup:
    """The section of all destinations."""
    rows = [_destination(destination, view) for destination in view.status.destinations]
    return joined(
        [
            heading("destinations", "Destinations", "latency of the last 5 minutes"),
            table("Destinations", _COLUMNS, element("tbody", rows, role="rowgroup"), class_="cards")
            if rows
            else element("p", "No destination is configured.", class_="quiet"),
        ]
    )


def _destination(destination: DestinationStatus, view: View) -> Markup:
    level, word = DESTINATION_STATES[destination.state]
    lately = destination.recent_request_seconds.lately()
    code = element("code", destination.reason)
    is_ok = destination.state is State.OK
    return element(
        "tr",
        element("th", name(destination.name), scope="row", role="rowheader"),
        cell(
            "State",
            badge(level, word),
            since(view.wall_time(destination.since), view.now),
            None
            if is_ok or not destination.reason
            else element("span", reason_in_words(destination), " ", code, class_="reason"),
            None if is_ok else do(destination.next_step),
        ),
        cell("Answers since the start", _answers(destination.requests)),
        cell("Latency p50", latency(lately.quantile(0.5)), is_number=True),
        cell("Latency p99", latency(lately.quantile(0.99)), is_number=True),
        cell("In flight", count(destination.in_flight), " of ", count(destination.limit), is_number=True),
        cell("Next probe", _next_probe(destination, view)),
        role="row",
        data_key=destination.name,
    )


def _answers(requests: Mapping[str, int]) -> Markup:
    return tally(dict(sorted(requests.items())), is_failed=lambda status: not status.startswith("2"))


def _next_probe(destination: DestinationStatus, view: View) -> Markup:
    if destination.next_probe_at is None:
        return NOTHING if destination.state is State.OK else UNKNOWN
    at = view.wall_time(destination.next_probe_at)
    if at <= view.now:
        return element("span", "now")
    return joined(["in ", duration(at - view.now), " ", quiet("at ", moment(at, view.now))])
