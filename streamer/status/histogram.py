"""A histogram of plain numbers: adding a value is cheap, sums are made when it is read."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

DURATION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""For one request or one turn of the event loop. Source: OpenTelemetry's advice for operations of messaging."""

LATENCY_SECONDS: Final = (*DURATION_SECONDS, 30.0, 60.0, 300.0, 3_600.0, 28_800.0)
"""For an event on its way from Kafka to its 2xx; up to 8 hours, which the documented retry schedule takes."""

BATCH_CALLS: Final = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0)
BATCH_BYTES: Final = (1e3, 1e4, 3.2e4, 6.4e4, 1.28e5, 2.56e5, 5.12e5)

RETRY_AFTER_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Example(NamedTuple):
    """One value of a histogram, and the trace that it belongs to: an exemplar of Prometheus."""

    value: float
    trace_id: str
    at: float
    """Seconds since the epoch."""


class Histogram:
    """Counts of values by their upper bounds. ``bounds`` ascend; a last bucket counts the values above them all."""

    __slots__ = ("_counts", "bounds", "examples", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.examples: dict[int, Example] = {}
        """The latest one of each bucket, by its index."""
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Add ``value``, ``count`` times."""
        self._counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    def observe_all(self, values: Sequence[float]) -> None:
        """Add many values."""
        bounds, counts = self.bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.sum += sum(values)

    def exemplify(self, value: float, trace_id: str, at: float) -> None:
        """Keep a value that was added, in place of the example that its bucket has; ``at`` in epoch seconds."""
        self.examples[bisect_left(self.bounds, value)] = Example(value, trace_id, at)

    def include(self, other: "Histogram") -> None:
        """Add the values of another one with the same bounds."""
        bounds, added = other.bounds, other._counts  # noqa: SLF001 - of the same class
        assert self.bounds == bounds, "counts of other bounds mean something else"
        self._counts = [own + more for own, more in zip(self._counts, added, strict=True)]
        self.sum += other.sum

    def copy(self) -> "Histogram":
        """One with the same values, which stays as it is."""
        copied = Histogram(self.bounds)
        copied.include(self)
        return copied

    def since(self, earlier: "Histogram") -> "Histogram":
        """The values that were added after ``earlier`` was copied from this one."""
        added = Histogram(self.bounds)
        added._counts = [now - before for now, before in zip(self._counts, earlier._counts, strict=True)]  # noqa: SLF001
        added.sum = self.sum - earlier.sum
        return added

    @property
    def count(self) -> int:
        """How many values were added."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound with the number of values up to it; infinity last."""
        return list(zip((*self.bounds, float("inf")), self.cumulative_counts(), strict=True))

    def cumulative_counts(self) -> list[int]:
        """The number of values up to each bound; all of them last."""
        return list(accumulate(self._counts))

    def quantile(self, share: float) -> float | None:
        """The lowest bound that at least this share of the values do not exceed; None: no values yet."""
        wanted = share * self.count
        return next((bound for bound, count in self.cumulative() if count >= wanted), None) if self.count else None

    def quantile_at_most(self, share: float) -> float | None:
        """As `quantile`; a value above all bounds counts as the highest bound."""
        bound = self.quantile(share)
        return None if bound is None else min(bound, self.bounds[-1])
