"""What was measured: rows of runs, each run a value per measure; their medians and spreads; to JSON and back."""

import enum
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
"""Version of the JSON; a file of another one is not compared with."""


class Kind(enum.StrEnum):
    """Rows of one kind have the same measures and share a table."""

    BACKLOG = "backlog"
    """As fast as it goes, through records that wait on Kafka."""
    CEILING = "ceiling"
    """The same by our own bare loop of the same libraries (`ceiling.py`)."""
    PACED = "paced"
    """Records that come at a steady pace."""
    IDLE = "idle"
    """Nothing comes."""
    STAGE = "stage"
    """One stage of the way of a record, by itself."""
    WEBHOOKS = "webhooks"
    """Webhook requests that come at a steady pace."""
    APPLYING = "applying"
    """Webhook calls that wait on Kafka, as fast as they become published profiles and triggers."""
    RESTORING = "restoring"
    """Receipts that are read from their topic by an instance that has none."""
    RECEIVER = "receiver"
    """What our receiver takes at most."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that a run measures."""

    label: str
    digits: int
    higher_is_better: bool | None
    """None: neither; it explains the others."""
    is_bound: bool = False
    """Whether it is an upper bound of what was seen: the largest of all runs tells, not their median."""


MEASURES: Final[Mapping[str, Measure]] = {
    "seconds": Measure("seconds", 1, higher_is_better=False),
    "events_per_second": Measure("events/s", 0, higher_is_better=True),
    "cpu_us_per_event": Measure("CPU us/event", 1, higher_is_better=False),
    "us_per_event": Measure("us/event", 2, higher_is_better=False),
    "cpu_percent": Measure("CPU %", 2, higher_is_better=False),
    "p50_ms": Measure("p50 ms", 0, higher_is_better=False),
    "p99_ms": Measure("p99 ms", 0, higher_is_better=False),
    "max_ms": Measure("max ms", 0, higher_is_better=None),
    "own_p99_ms": Measure("own p99 ms <=", 0, higher_is_better=None, is_bound=True),
    "anonymous_mb": Measure("memory MB", 0, higher_is_better=False),
    "loop_lag_ms": Measure("loop lag ms <=", 0, higher_is_better=None, is_bound=True),
    "loop_kept_ms": Measure("loop kept ms <=", 0, higher_is_better=None, is_bound=True),
    "calls_per_request": Measure("calls/request", 0, higher_is_better=None),
    "receiver_percent": Measure("receiver CPU %", 0, higher_is_better=None),
    "broker_percent": Measure("broker CPU %", 0, higher_is_better=None),
}
"""Every measure there is, by its key. ``anonymous_mb`` is memory at its largest, all instances together. Upper bounds
of buckets in streamer's own metrics are ``own_p99_ms`` (99th percentile of the time from Kafka to 2xx) and
``loop_lag_ms`` (the largest lag of the event loop, which is looked at four times a second). ``loop_kept_ms`` is the
most CPU time that the event loop spent before a task that only sleeps had its turn."""

Run = Mapping[str, float]
"""Measure -> value."""

Point = Mapping[str, float]
"""A moment of a run: ``at`` (seconds since its beginning) and what was seen then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was measured, in all its runs."""

    name: str
    kind: Kind
    title: str
    runs: Sequence[Run]
    course: Sequence[Point] = ()
    """How the last run went, for plots."""

    def median(self, measure: str) -> float | None:
        """The median of all runs; None if they do not have the measure."""
        values = self._values(measure)
        return statistics.median(values) if values else None

    def spread(self, measure: str) -> tuple[float, float] | None:
        """Least and largest value of all runs."""
        values = self._values(measure)
        return (min(values), max(values)) if values else None

    def _values(self, measure: str) -> list[float]:
        return [run[measure] for run in self.runs if measure in run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One whole run of the benchmark."""

    began: str
    """Date and time, UTC."""
    facts: Mapping[str, str]
    """What it ran on, and what it measured: names and values for people."""
    rows: Sequence[Row]
    warnings: Sequence[str] = field(default_factory=list)
    """What may have spoilt the figures."""
    faults: Sequence[str] = field(default_factory=list)
    """Which rows could not be measured, and why."""

    def row(self, name: str) -> Row | None:
        """The row of this name, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def of_kind(self, *kinds: Kind) -> list[Row]:
        """The rows of these kinds, in order."""
        return [row for row in self.rows if row.kind in kinds]

    def save(self, path: Path, *, with_courses: bool = True) -> None:
        """Write it as JSON; without the courses it is small enough for git."""
        document: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for row in document["rows"]:
            if not with_courses:
                row["course"] = []
        path.write_text(json.dumps(document, indent=None if with_courses else 1) + "\n", encoding="utf-8")


def load_results(path: Path) -> Results:
    """Read what `Results.save` wrote.

    Raises:
        ValueError: the file is none, or of another version.
        OSError: it cannot be read.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise ValueError(f"{path} holds no results of this version of the benchmark")
    rows = [Row(**row | {"kind": Kind(row["kind"])}) for row in document.pop("rows")]
    return Results(rows=rows, **document)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values``, which are sorted, that at least this share of them does not exceed."""
    assert values, "there is no percentile of nothing"
    return values[max(0, -int(-share * len(values) // 1) - 1)]
