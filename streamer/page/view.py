"""What the sections of the page are made from: the snapshot, the verdict on it, and the moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamer.logs.observing import observing
from streamer.status import DestinationStatus, ServiceStatus
from streamer.status.history import DestinationPoint, IntegrationPoint
from streamer.status.verdict import Level, Verdict, verdict_of


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at the service."""

    status: ServiceStatus
    verdict: Verdict
    now: float
    """Seconds since the epoch."""
    monotonic_now: float
    """The same moment on the monotonic clock, which the times of destinations use."""
    integration_points: Mapping[str, Sequence[IntegrationPoint]]
    """The last 15 minutes of all that read topics, by name; the oldest first."""
    destination_points: Mapping[str, Sequence[DestinationPoint]]

    @classmethod
    def of(cls, status: ServiceStatus, *, now: float, monotonic_now: float) -> "View":
        """Look at a snapshot; ``now`` and ``monotonic_now`` are one moment, on two clocks."""
        return cls(
            status=status,
            verdict=_verdict(status, now, monotonic_now),
            now=now,
            monotonic_now=monotonic_now,
            integration_points=status.history.integrations,
            destination_points=status.history.destinations,
        )

    def destination(self, name: str) -> DestinationStatus | None:
        """A destination by name; None: there is none of that name (the way back's is the directory)."""
        return next((destination for destination in self.status.destinations if destination.name == name), None)

    def wall_time(self, monotonic: float) -> float:
        """A monotonic time in seconds since the epoch."""
        return self.now - self.monotonic_now + monotonic


def _verdict(status: ServiceStatus, now: float, monotonic_now: float) -> Verdict:
    """If it fails, the rest of the page is needed all the more."""
    with observing("page.verdict"):
        return verdict_of(status, now=now, monotonic_now=monotonic_now)
    return Verdict(level=Level.WATCH, headline="The state cannot be summed up; see the log for observer.failed.")
