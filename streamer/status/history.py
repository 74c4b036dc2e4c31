"""The last 15 minutes of each integration and destination, in rings of a fixed size, for the charts of the page."""

from dataclasses import dataclass
from typing import Final

STEP_SECONDS: Final = 5.0
"""Time between two points."""

MAX_POINTS: Final = 180
"""Points that are kept: 15 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationPoint:
    """One integration during one step. Rates are records a second."""

    at: float
    """End of the step, in seconds since the epoch."""
    consumed: float
    settled: float
    dead_lettered: float
    lag: int | None
    """None: not known."""
    lag_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationPoint:
    """One destination during one step. Rates are requests a second."""

    at: float
    """End of the step, in seconds since the epoch."""
    requests: float
    failed: float
    """Those not answered with a 2xx."""
    p50_seconds: float | None
    """None: no request ended in the step."""
    p99_seconds: float | None
