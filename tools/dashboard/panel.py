"""What a panel and a row are, and the queries that many panels have.

Each panel names the section of the runbooks that helps, and has the threshold of that alert where there is one. Rates
use ``$__rate_interval``, so that they are right for any scrape interval and any time span.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple


class Query(NamedTuple):
    """One query, and how its series are called."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One panel. Widths and heights are in Grafana's units; a row is 24 wide."""

    title: str
    alert: str
    """The section of the runbooks that helps."""
    description: str
    unit: str
    queries: Sequence[Query]
    limit: float | None = None
    """The threshold of the alert."""
    is_bad_below: bool = False
    """Whether values below the limit are bad, and not those from it on."""
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    lowest: float | None = 0
    is_stacked: bool = False
    is_largest: bool = False
    """Whether a single value is the largest of the time span, and not the latest."""
    words: Mapping[int, tuple[str, str]] = {}
    """Value -> its word and color."""


class Row(NamedTuple):
    """A question, and the panels that answer it."""

    title: str
    panels: Sequence[Panel]
    is_collapsed: bool = False


TARGET: Final = 'job=~"$job", instance=~"$instance"'
TOPIC: Final = f'{TARGET}, topic=~"$topic"'
OF_DESTINATION: Final = f'{TARGET}, destination=~"$destination"'
RATE: Final = "[$__rate_interval]"


def rate_of(metric: str, by: str, scope: str = TOPIC) -> str:
    """The rate of a counter, summed over everything but the labels ``by``."""
    return f"sum by ({by}) (rate({metric}{{{scope}}}{RATE}))"


def _quantile(share: float, metric: str, by: str, scope: str) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({metric}_bucket{{{scope}}}{RATE})))"


def quantiles_of(metric: str, by: str, scope: str) -> tuple[Query, Query]:
    """The median and the 99th percentile of a histogram, by one label (none: "")."""
    name = f"{{{{{by}}}}} " if by else ""
    return (
        Query(_quantile(0.5, metric, by, scope), f"{name}p50"),
        Query(_quantile(0.99, metric, by, scope), f"{name}p99"),
    )


def states_of(metric: str, by: str, scope: str, states: Sequence[str]) -> Query:
    """The state as a number: its place in the list, from 1."""
    values = " or ".join(f'{metric}{{{scope}, state="{state}"}} * {n}' for n, state in enumerate(states, start=1))
    return Query(f"max by ({by}) ({values})", f"{{{{{by}}}}}")


def stat(
    title: str,
    alert: str,
    description: str,
    expr: str,
    limit: float = 1,
    *,
    is_bad_below: bool = False,
    unit: str = "none",
) -> Panel:
    """One number, red from ``limit`` on (or below it). A rate shows the largest one of the time span."""
    return Panel(
        title,
        alert,
        description,
        unit,
        [Query(expr, title)],
        limit,
        is_bad_below,
        kind="stat",
        width=4,
        height=4,
        is_largest=unit != "none",
    )
