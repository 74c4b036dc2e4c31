"""The last 15 minutes as small SVG pictures, drawn from the history that the service keeps."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from markupsafe import Markup

from streamer.page.figures import latency_words, rate_words
from streamer.page.markup import element, joined
from streamer.page.parts import heading, name
from streamer.page.view import View
from streamer.status.figures import counted
from streamer.status.history import MAX_POINTS, STEP_SECONDS

MAX_SUBJECTS: Final = 12
"""Most integrations, and most destinations, that have charts."""

WIDTH: Final = MAX_POINTS
"""One unit for each point."""
HEIGHT: Final = 48

_GAP_STEPS: Final = 1.5
"""Points further apart than this are not joined."""


class Point(Protocol):
    """Something at a time."""

    @property
    def at(self) -> float:
        """Seconds since the epoch."""


Points = TypeVar("Points", bound=Point)


class Line(NamedTuple):
    """One line of a chart."""

    label: str
    values: Sequence[tuple[float, float | None]]
    """Seconds since the epoch, with the value then; None: not known."""


def charts(view: View) -> Markup:
    """The section of all charts."""
    integrations = [consumer.name for consumer in view.status.consumers][:MAX_SUBJECTS]
    destinations = [destination.name for destination in view.status.destinations][:MAX_SUBJECTS]
    more = len(view.status.consumers) - len(integrations) + len(view.status.destinations) - len(destinations)
    rows = [
        *(_row(subject, _of_integration(subject, view)) for subject in integrations),
        *(_row(subject, _of_destination(subject, view)) for subject in destinations),
    ]
    return joined(
        [
            heading("charts", "The last 15 minutes"),
            rows,
            element("p", f"{more} more have no charts here; /metrics has all.", class_="quiet") if more else None,
        ]
    )


def _row(subject: str, figures: Iterator[Markup]) -> Markup:
    return element(
        "div",
        element("h3", name(subject)),
        element("div", figures, class_="charts"),
        data_key=f"charts {subject}",
        class_="subject",
    )


def _of_integration(subject: str, view: View) -> Iterator[Markup]:
    points = view.integration_points.get(subject, ())
    rates = [
        Line("in", _values(points, lambda point: point.consumed)),
        Line("out", _values(points, lambda point: point.settled)),
    ]
    lag = [Line("", _values(points, lambda point: point.lag))]
    letters = [Line("", _values(points, lambda point: point.dead_lettered))]
    yield chart(subject, "In and out", rates, _rate, view.now)
    yield chart(subject, "Lag", lag, _records, view.now)
    yield chart(subject, "Dead letters", letters, _rate, view.now)


def _of_destination(subject: str, view: View) -> Iterator[Markup]:
    points = view.destination_points.get(subject, ())
    latencies = [
        Line("p50", _values(points, lambda point: point.p50_seconds)),
        Line("p99", _values(points, lambda point: point.p99_seconds)),
    ]
    requests = [
        Line("all", _values(points, lambda point: point.requests)),
        Line("failed", _values(points, lambda point: point.failed)),
    ]
    yield chart(subject, "Latency", latencies, latency_words, view.now)
    yield chart(subject, "Requests", requests, _rate, view.now)


def _values(points: Sequence[Points], read: Callable[[Points], float | None]) -> Sequence[tuple[float, float | None]]:
    return [(point.at, read(point)) for point in points]


def _rate(value: float) -> str:
    return f"{rate_words(value)}/s"


def _records(value: float) -> str:
    return counted(round(value), "record")


def chart(subject: str, title: str, lines: Sequence[Line], words: Callable[[float], str], now: float) -> Markup:
    """One picture, with its last values as text.

    Args:
        subject: the integration or destination.
        title: what is shown.
        lines: at most two.
        words: a value for a person.
        now: the right edge, in seconds since the epoch.
    """
    highest = max((value for line in lines for _, value in line.values if value is not None), default=0.0)
    ends = [f"{line.label} {_last(line, words)}".strip() for line in lines]
    said = ", ".join(ends)
    label = f"{subject}: {title.lower()} in the last 15 minutes. Now {said}; highest {words(highest)}."
    edge = math.ceil(now / STEP_SECONDS) * STEP_SECONDS  # the picture changes with a new point, and not in between
    paths = [
        element("path", d=path(line.values, edge, highest), class_=f"line line-{place}")
        for place, line in enumerate(lines)
    ]
    return element(
        "figure",
        element("figcaption", element("b", title), [_key(place, end) for place, end in enumerate(ends)]),
        element(
            "svg",
            element("title", label),
            element("path", d=f"M0 {HEIGHT - 0.5}H{WIDTH}M0 .5H{WIDTH}", class_="grid"),
            paths,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            preserveAspectRatio="none",
            role="img",
            aria_label=label,
        ),
        element(
            "div",
            element("span", "15 min ago"),
            element("span", f"highest {words(highest)}"),
            element("span", "now"),
            class_="axis",
            aria_hidden="true",
        ),
        data_key=title,
    )


def _last(line: Line, words: Callable[[float], str]) -> str:
    value = line.values[-1][1] if line.values else None
    return "not known" if value is None else words(value)


def _key(place: int, text: str) -> Markup:
    swatch = element(
        "svg",
        element("path", d="M0 3H16", class_=f"line line-{place}"),
        viewBox="0 0 16 6",
        class_="swatch",
        aria_hidden="true",
    )
    return element("span", swatch, text, class_="key")


def path(values: Sequence[tuple[float, float | None]], edge: float, highest: float) -> str:
    """The line through the values, in units of the picture; broken where a value is missing.

    ``edge``: what is on the right, in seconds since the epoch; ``highest``: what is at the top.
    """
    parts: list[str] = []
    before: float | None = None
    for at, value in values:
        x = WIDTH - (edge - at) / STEP_SECONDS
        if value is None or x < 0 or not math.isfinite(value):
            before = None
            continue
        y = HEIGHT - 1 - (value / highest if highest > 0 else 0.0) * (HEIGHT - 3)
        is_joined = before is not None and at - before <= _GAP_STEPS * STEP_SECONDS
        # A point by itself would not be seen: each piece of the line has a length.
        parts.append(f"L{x:.0f} {y:.1f}" if is_joined else f"M{x - 0.5:.1f} {y:.1f}h.5")
        before = at
    return "".join(parts) or "M0 0"
