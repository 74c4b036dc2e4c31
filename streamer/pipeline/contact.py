"""Whether the brokers answer one integration, and the log lines that say so.

A broker that is away is one line, one more each minute while it lasts, and one when it is back. What the Kafka client
logs about its connections meanwhile is left out (`streamer.kafka.client_lines`).
"""

import time

from streamer.logs import Event, logger
from streamer.timings import Timings


class Contact:
    """What is known of the brokers' answers; outlives the pipelines of its integration."""

    def __init__(self, integration: str, timings: Timings) -> None:
        self._integration = integration
        self._timings = timings
        self._heard_at: float | None = None
        self._said_at: float | None = None
        self._unsaid = 0

    def heard(self, at: float | None = None) -> None:
        """A broker answered, now or ``at`` a moment in monotonic seconds."""
        self._heard_at = time.monotonic() if at is None else at
        if self._said_at is not None:
            self._said_at, self._unsaid = None, 0
            logger().emit(Event.KAFKA_RECOVERED, integration=self._integration)

    def is_to_be_said(self) -> bool:
        """Whether the next `missed` says so: it lasts, and was not said lately."""
        said_at = self._said_at
        return self.is_missed() and (said_at is None or time.monotonic() - said_at >= self._timings.say_silent_every)

    def missed(self, detail: str) -> None:
        """No broker answered. That is said if it lasts: a connection that breaks is renewed at once.

        Args:
            detail: why, without a value of a record.
        """
        if not self.is_to_be_said():
            self._unsaid += self._said_at is not None
            return
        now = time.monotonic()
        logger().emit(
            Event.KAFKA_UNAVAILABLE,
            integration=self._integration,
            detail=detail,
            silent_seconds=None if self._heard_at is None else round(now - self._heard_at, 1),
            failures=self._unsaid or None,
        )
        self._said_at, self._unsaid = now, 0

    def is_missed(self) -> bool:
        """Whether no broker answers, for so long that it was said or is about to be."""
        silent = self.silent_seconds(time.monotonic())
        return silent is None or silent >= self._timings.say_silent_after

    def silent_seconds(self, now: float) -> float | None:
        """For how long no broker has answered; None: none ever has. ``now`` is monotonic seconds."""
        return None if self._heard_at is None else now - self._heard_at

    def is_silent(self, now: float) -> bool:
        """Whether nothing is known of the brokers any more."""
        silent = self.silent_seconds(now)
        return silent is None or silent > self._timings.silent_after
