"""What streamer is meant to do, and whether these results show it."""

import enum
from collections.abc import Iterator
from typing import Final, NamedTuple

from bench.results import Kind, Results

MIN_EVENTS_PER_SECOND: Final = {0: 30_000, 20: 30_000, 100: 25_000}
"""By the receiver's latency in milliseconds."""
MAX_CPU_US: Final = {0: 32.0, 20: 32.0}
MAX_CPU_US_OTHERS: Final = 45.0
"""Of a Sprig or Product Fruits record."""
MIN_SHARE_OF_CEILING: Final = 0.8
MAX_ANONYMOUS_MB: Final = 300.0
MAX_IDLE_PERCENT: Final = 1.0
LINGER_MS: Final = 100.0
MAX_OVER_P50_MS: Final = 20.0
MAX_OVER_P99_MS: Final = 100.0
"""On top of linger and the receiver's latency."""
MAX_WEBHOOK_P99_MS: Final = {"webhooks-batch": 250.0, "webhooks-single": 50.0}
"""Of 2,000 calls a second in requests of 100, and of 200 a second one by one."""
MIN_CALLS_PER_SECOND: Final = 2_000
"""Webhook calls of one process beside the database, from the topic to published profiles and triggers."""
MAX_GROWTH: Final = 1.1
"""What counts as no growth: the spread of runs on a shared machine."""
MAX_LOOP_LAG_MS: Final = 50.0
MAX_RECEIVER_PERCENT: Final = 50.0
MIN_RECEIVER_RESERVE: Final = 2.0


class Verdict(enum.StrEnum):
    """Whether a goal is met, by the medians."""

    MET = "met"
    NOT_MET = "NOT MET"
    NOT_MEASURED = "not measured"


class Goal(NamedTuple):
    """One goal and what was found."""

    text: str
    limit: float
    found: float | None
    at_least: bool = False
    digits: int = 0

    @property
    def verdict(self) -> Verdict:
        """By the limit itself: no allowance for noise."""
        if self.found is None:
            return Verdict.NOT_MEASURED
        is_met = self.found >= self.limit if self.at_least else self.found <= self.limit
        return Verdict.MET if is_met else Verdict.NOT_MET


def goals_of(results: Results) -> list[Goal]:
    """All goals, those included that were not measured."""
    return [
        *_throughput(results),
        *_ceiling(results),
        *_dialects(results),
        *_latency(results),
        *_webhooks(results),
        *_applying(results),
        *_growth(results),
        *_whole_process(results),
        *_bench(results),
    ]


def _median(results: Results, name: str, measure: str) -> float | None:
    row = results.row(name)
    return None if row is None else row.median(measure)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _throughput(results: Results) -> Iterator[Goal]:
    for latency, least in MIN_EVENTS_PER_SECOND.items():
        found = _median(results, f"latency-{latency}", "events_per_second")
        yield Goal(f"events/s of one process, receiver {latency} ms", least, found, at_least=True)
    for latency, most in MAX_CPU_US.items():
        found = _median(results, f"latency-{latency}", "cpu_us_per_event")
        yield Goal(f"us of CPU per event, receiver {latency} ms", most, found, digits=1)


def _ceiling(results: Results) -> Iterator[Goal]:
    for latency in MIN_EVENTS_PER_SECOND:
        rates = [_median(results, f"{row}-{latency}", "events_per_second") for row in ("latency", "ceiling")]
        text = f"events/s as a share of the bare loop's, receiver {latency} ms"
        yield Goal(text, MIN_SHARE_OF_CEILING, _ratio(*rates), at_least=True, digits=2)


def _dialects(results: Results) -> Iterator[Goal]:
    for row in ("sprig", "product-fruits", "product-fruits-survey"):
        found = _median(results, row, "cpu_us_per_event")
        yield Goal(f"us of CPU per event, {row}", MAX_CPU_US_OTHERS, found, digits=1)


def _latency(results: Results) -> Iterator[Goal]:
    for latency in MIN_EVENTS_PER_SECOND:
        for measure, over in (("p50", MAX_OVER_P50_MS), ("p99", MAX_OVER_P99_MS)):
            found = _median(results, f"paced-{latency}", f"{measure}_ms")
            text = f"{measure} in ms from Kafka to 2xx at 2,000 events/s, receiver {latency} ms"
            yield Goal(text, LINGER_MS + latency + over, found)


def _webhooks(results: Results) -> Iterator[Goal]:
    for row, most in MAX_WEBHOOK_P99_MS.items():
        yield Goal(f"p99 in ms from a due request to its 200, {row}", most, _median(results, row, "p99_ms"))


def _applying(results: Results) -> Iterator[Goal]:
    for row in ("inbound-sqlite", "inbound-postgresql"):
        found = _median(results, row, "events_per_second")
        yield Goal(f"webhook calls/s applied and published, {row}", MIN_CALLS_PER_SECOND, found, at_least=True)


def _growth(results: Results) -> Iterator[Goal]:
    usual = _median(results, "latency-0", "cpu_us_per_event")
    for row, text in (
        ("backlog-1m", "1,000,000 waiting events"),
        ("partitions-1", "1 partition"),
        ("partitions-60", "60 partitions"),
        ("integrations-10", "10 integrations"),
        ("receipts-10m", "10,000,000 receipts"),
    ):
        found = _ratio(_median(results, row, "cpu_us_per_event"), usual)
        yield Goal(f"CPU per event with {text}, times the usual", MAX_GROWTH, found, digits=2)
    uptime = results.row("uptime")
    first, last = (uptime.runs[0], uptime.runs[-1]) if uptime and len(uptime.runs) > 1 else ({}, {})
    found = _ratio(last.get("cpu_us_per_event"), first.get("cpu_us_per_event"))
    yield Goal("CPU per event at the end of four minutes, times that at the beginning", MAX_GROWTH, found, digits=2)


def _whole_process(results: Results) -> Iterator[Goal]:
    ours = [row for row in results.of_kind(Kind.BACKLOG, Kind.PACED) if row.name != "instances-2"]
    held = [spread[1] for row in ours if (spread := row.spread("anonymous_mb"))]
    lags = [spread[1] for row in ours if (spread := row.spread("loop_lag_ms"))]
    yield Goal("anonymous memory in MB, most in any run", MAX_ANONYMOUS_MB, max(held, default=None))
    yield Goal("CPU % of an idle process", MAX_IDLE_PERCENT, _median(results, "idle", "cpu_percent"), digits=2)
    yield Goal("event loop late by ms, most in any run (a bucket's bound)", MAX_LOOP_LAG_MS, max(lags, default=None))


def _bench(results: Results) -> Iterator[Goal]:
    rows = results.of_kind(Kind.BACKLOG, Kind.CEILING)
    shares = [spread[1] for row in rows if (spread := row.spread("receiver_percent"))]
    text = "the bench's receiver: CPU %, most in any run (no bottleneck)"
    yield Goal(text, MAX_RECEIVER_PERCENT, max(shares, default=None))
    rates = [spread[1] for row in rows if (spread := row.spread("events_per_second"))]
    found = _ratio(_median(results, "receiver", "events_per_second"), max(rates, default=None))
    yield Goal(
        "the bench's receiver: events/s, times the most in any run",
        MIN_RECEIVER_RESERVE,
        found,
        at_least=True,
        digits=1,
    )
