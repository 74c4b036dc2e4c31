"""Plots of results: throughput and cost, latency, memory over time."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.goals import LINGER_MS, MAX_ANONYMOUS_MB, MAX_CPU_US, MIN_EVENTS_PER_SECOND
from bench.results import Kind, Results, Row

WIDTH_INCHES: Final = 9.0
OURS, BARE, GOAL = "#2b6cb0", "#a0aec0", "#c53030"

mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "streamer", "font.size": 9.0})


def draw_all(results: Results, directory: Path) -> list[Path]:
    """Write every plot that the results have figures for, as SVG; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, draw in _PLOTS.items():
        figure = draw(results)
        if figure is not None:
            drawn.append(directory / f"{name}.svg")
            figure.savefig(drawn[-1], metadata={"Date": None}, bbox_inches="tight")
    return drawn


def _throughput(results: Results) -> Figure | None:
    """Events a second and CPU per event, row by row, with the spread of the runs."""
    rows = results.of_kind(Kind.BACKLOG, Kind.CEILING)
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH_INCHES, 1.0 + 0.28 * len(rows)))
    rates, costs = figure.subplots(1, 2, sharey=True)
    _bars(rates, rows, "events_per_second", "events/s", goal=MIN_EVENTS_PER_SECOND[0])
    _bars(costs, rows, "cpu_us_per_event", "us of CPU per event", goal=MAX_CPU_US[0])
    rates.invert_yaxis()
    return figure


def _bars(axes: Axes, rows: list[Row], measure: str, label: str, *, goal: float) -> None:
    medians = [row.median(measure) or 0.0 for row in rows]
    spreads = [row.spread(measure) or (0.0, 0.0) for row in rows]
    reach = [
        [median - least for median, (least, _) in zip(medians, spreads, strict=True)],
        [most - median for median, (_, most) in zip(medians, spreads, strict=True)],
    ]
    colours = [BARE if row.kind is Kind.CEILING else OURS for row in rows]
    axes.barh([row.name for row in rows], medians, xerr=reach, color=colours, error_kw={"linewidth": 0.8})
    axes.axvline(goal, color=GOAL, linewidth=0.8, linestyle="--", label=f"goal: {goal:,g}")
    axes.set_xlabel(label)
    axes.locator_params(axis="x", nbins=5)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _latency(results: Results) -> Figure | None:
    """Percentiles of each second, at a steady pace."""
    rows = [row for row in results.of_kind(Kind.PACED) if any("p50_ms" in point for point in row.course)]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH_INCHES, 2.2 * len(rows)))
    for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        points = [point for point in row.course if "p50_ms" in point]
        seconds = [point["at"] for point in points]
        axes.plot(seconds, [point["p50_ms"] for point in points], color=OURS, label="p50")
        axes.plot(seconds, [point["p99_ms"] for point in points], color=OURS, linestyle=":", label="p99")
        axes.axhline(LINGER_MS, color=BARE, linewidth=0.8, linestyle="--", label="linger")
        axes.set_ylim(bottom=0)
        axes.set_title(row.title, loc="left")
        axes.set_ylabel("ms to the 2xx")
        axes.legend(loc="upper right", frameon=False, ncols=3)
    axes.set_xlabel("seconds")
    figure.tight_layout()
    return figure


def _memory(results: Results) -> Figure | None:
    """Anonymous memory over time."""
    wanted = ("latency-0", "backlog-1m", "uptime", "paced-0")
    rows = [row for name in wanted if (row := results.row(name)) is not None]
    courses = {row.name: [point for point in row.course if "anonymous_mb" in point] for row in rows}
    if not any(courses.values()):
        return None
    figure = Figure(figsize=(WIDTH_INCHES, 3.0))
    axes = figure.subplots()
    for row in rows:
        points = courses[row.name]
        axes.plot([point["at"] for point in points], [point["anonymous_mb"] for point in points], label=row.title)
    axes.axhline(MAX_ANONYMOUS_MB, color=GOAL, linewidth=0.8, linestyle="--", label=f"goal: {MAX_ANONYMOUS_MB:g} MB")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the start of the process")
    axes.set_ylabel("anonymous memory, MB")
    axes.legend(frameon=False)
    return figure


_PLOTS: Final[dict[str, Callable[[Results], Figure | None]]] = {
    "throughput": _throughput,
    "latency": _latency,
    "memory": _memory,
}
