"""Numbers and times as a person reads them, each with its exact value in the markup."""

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from streamer.page.markup import element
from streamer.status import figures

UNKNOWN: Final = element("span", "not known", class_="quiet")

_ROUNDED_FROM_SECONDS: Final = 120.0
"""From it on, words are rounded to minutes and more; the seconds are shown to who points at them."""

_FEW: Final = 10
"""Below it, a tenth matters."""


def count(number: int | None) -> Markup:
    """A count: 12,431."""
    return UNKNOWN if number is None else element("data", figures.number(number), value=number)


def per_second(rate: float) -> Markup:
    """A rate, in something per second: 3.2, or 420 where tenths say nothing."""
    return element("data", rate_words(rate), value=round(rate, 3))


def rate_words(rate: float) -> str:
    """A rate without markup."""
    return f"{rate:,.1f}" if 0 < rate < _FEW else f"{rate:,.0f}"


def duration(seconds: float | None) -> Markup:
    """A duration: 4 min."""
    return UNKNOWN if seconds is None else _duration(seconds, duration_words(seconds))


def duration_words(seconds: float) -> str:
    """A duration without markup, rounded down: 250 ms, 12 s, 4 min, 5 h, 6 days.

    Beside a moment it is enough: an exact age would change each second.
    """
    if seconds <= 0:
        return "0 s"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else figures.duration(seconds)


def latency(seconds: float | None) -> Markup:
    """The bound of a histogram that a quantile does not exceed: ≤ 250 ms; None: nothing was measured."""
    if seconds is None:
        return element("span", "no requests", class_="quiet")
    return element("span", "> 10 s") if seconds == float("inf") else _duration(seconds, f"≤ {latency_words(seconds)}")


def latency_words(seconds: float) -> str:
    """A latency without markup: 250 ms, 2.5 s."""
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:g} s"


def _duration(seconds: float, words: str) -> Markup:
    exact = f"{seconds:,.0f} s" if seconds >= _ROUNDED_FROM_SECONDS else None
    return element("time", words, datetime=f"PT{max(seconds, 0.0):.3f}S", title=exact)


def moment(at: float, now: float) -> Markup:
    """A moment, in seconds since the epoch: 12:03:20, with the day unless it is today. All times are UTC."""
    then = datetime.fromtimestamp(at, UTC)
    is_today = then.date() == datetime.fromtimestamp(now, UTC).date()
    words = then.strftime("%H:%M:%S") if is_today else f"{then.day} {then.strftime('%b %H:%M')}"
    exact = then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return element("time", words, datetime=exact, title=exact)
