"""What is known of one destination: part of the snapshot."""

import enum
import time
from collections import Counter
from dataclasses import dataclass, field

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.attempt import Verdict
from streamer.core.delivery.transitions import State
from streamer.status.histogram import BATCH_BYTES, BATCH_CALLS, DURATION_SECONDS, RETRY_AFTER_SECONDS, Histogram
from streamer.status.recent import RecentHistogram


class BatchResult(enum.StrEnum):
    """What became of one request's batch."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    SPLIT = "split"
    REFUSED = "refused"


class Reload(enum.StrEnum):
    """How it ended that a part of the configuration was read again while the process runs."""

    APPLIED = "applied"
    """It has changed, and is in use."""
    FAILED = "failed"
    """It cannot be read; the one read before stays in use."""


@dataclass(slots=True, kw_only=True)
class DestinationStatus:
    """One destination, filled in by `streamer.destinations.destination.Destination`. Times are monotonic seconds."""

    name: str
    limit: int
    """Requests that may be in flight."""
    in_flight: int = 0
    state: State = State.OK
    since: float = field(default_factory=time.monotonic)
    reason: str = ""
    next_step: str = ""
    key_name: str = "write key"
    """What its credential is called: "write key" or "API key"."""
    next_probe_at: float | None = None
    """When it is tried next; None: it takes requests, or it is not known."""
    requests: Counter[str] = field(default_factory=Counter)
    """By HTTP status, or by the network fault that occurred instead."""
    retries: Counter[str] = field(default_factory=Counter)
    """Requests whose calls are sent again, by HTTP status or network fault."""
    batches: Counter[BatchResult] = field(default_factory=Counter)
    key_reloads: Counter[Reload] = field(default_factory=Counter)
    """How often its key was read again, if it has changed or could not be read."""
    request_seconds: Histogram = field(default_factory=lambda: Histogram(DURATION_SECONDS))
    recent_request_seconds: RecentHistogram = field(default_factory=lambda: RecentHistogram(DURATION_SECONDS))
    """Those of the last minutes."""
    batch_calls: Histogram = field(default_factory=lambda: Histogram(BATCH_CALLS))
    batch_bytes: Histogram = field(default_factory=lambda: Histogram(BATCH_BYTES))
    retry_after_seconds: Histogram = field(default_factory=lambda: Histogram(RETRY_AFTER_SECONDS))

    def go_on_counting(self, former: "DestinationStatus") -> None:
        """Count where ``former`` counted, which may do so for a while yet: counters live as long as the process."""
        self.requests, self.retries, self.batches = former.requests, former.retries, former.batches
        self.key_reloads = former.key_reloads
        self.request_seconds, self.recent_request_seconds = former.request_seconds, former.recent_request_seconds
        self.batch_calls, self.batch_bytes = former.batch_calls, former.batch_bytes
        self.retry_after_seconds = former.retry_after_seconds

    def record(
        self,
        answer: Answer,
        seconds: float,
        sent_bytes: int,
        calls: int,
        verdict: Verdict,
        trace_id: str | None = None,
    ) -> None:
        """Count one request.

        Args:
            answer: how it ended.
            seconds: how long it took.
            sent_bytes: bytes of its body on the wire.
            calls: how many calls it carried.
            verdict: what the answer means for the calls.
            trace_id: that it is a part of, if it is sampled.
        """
        result = _result_of(verdict, calls)
        self.requests[answer.error or str(answer.status)] += 1
        self.batches[result] += 1
        if result is BatchResult.RETRIED:
            self.retries[answer.error] += 1
        self.request_seconds.observe(seconds)
        if trace_id is not None:
            self.request_seconds.exemplify(seconds, trace_id, time.time())
        self.recent_request_seconds.observe(seconds)
        self.batch_calls.observe(calls)
        self.batch_bytes.observe(sent_bytes)
        if answer.retry_after_seconds is not None:
            self.retry_after_seconds.observe(answer.retry_after_seconds)


def _result_of(verdict: Verdict, calls: int) -> BatchResult:
    if verdict is Verdict.DELIVERED:
        return BatchResult.DELIVERED
    if verdict in {Verdict.RETRY_CHARGED, Verdict.RETRY_FREE, Verdict.REFUSED_FREE}:
        return BatchResult.RETRIED
    return BatchResult.SPLIT if calls > 1 else BatchResult.REFUSED
