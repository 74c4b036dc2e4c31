"""When a closed destination is probed."""

from typing import Final

from streamer.core.delivery.answers import MAX_RETRY_AFTER_SECONDS, Answer

HELD_PROBE_SECONDS: Final = 30.0
"""Longest wait before a probe of a held destination. The first is 1 second; each is twice the last."""
MAX_BACKOFF_SECONDS: Final = 60.0
"""Longest wait before a probe, unless the destination asks for more. The first is 1 second; each is twice the last."""

_MAX_DOUBLINGS: Final = 6
_JITTER_SHARE: Final = 0.1
"""A backoff is up to this share shorter than documented. A wait that the destination asked for is never shortened."""


class ProbeSchedule:
    """The time of the next probe. Times are monotonic seconds.

    Attributes:
        due: when the next probe may be sent.
        asked_to_wait: whether the destination asked for the present wait.
    """

    def __init__(self, now: float, held_probe_seconds: float) -> None:
        """Begin with a probe due now; ``held_probe_seconds``: the longest wait while the destination is held."""
        self.due = now
        self.asked_to_wait = False
        self._held_probe_seconds = held_probe_seconds
        self._failed_probes = 0
        self._failed_probes_held = 0

    def back_off(self, answer: Answer, now: float, jitter: float, *, is_probe_failed: bool) -> None:
        """Wait longer each time, and at least as long as the answer asks for.

        Args:
            answer: what the destination answered.
            now: when it did.
            jitter: a draw from [0, 1).
            is_probe_failed: whether the destination was backing off before.
        """
        self._failed_probes += is_probe_failed
        self._put_off(now + self._backoff_seconds(answer, jitter))
        self.asked_to_wait = answer.asks_to_wait

    def prolong(self, answer: Answer, now: float, jitter: float) -> None:
        """A late answer asks to wait: the present wait is at least that long."""
        self._put_off(now + self._backoff_seconds(answer, jitter))
        self.asked_to_wait = True

    def hold(self, now: float, *, is_probe_failed: bool) -> None:
        """Wait for somebody to correct our set-up, longer each time; ``is_probe_failed``: it was held before."""
        self._failed_probes_held = self._failed_probes_held + 1 if is_probe_failed else 0
        self._put_off(now + min(2.0 ** min(self._failed_probes_held, _MAX_DOUBLINGS), self._held_probe_seconds))

    def hasten(self, now: float) -> None:
        """Somebody has corrected our set-up: the next probe is due now, and the waits after it begin anew."""
        self.due = min(self.due, now)
        self._failed_probes_held = -1  # the next failure is that of the probe that is due now

    def open(self, now: float, *, is_recovery: bool) -> None:
        """End the wait; ``is_recovery``: the next backoff begins with 1 second, or else it is longer than the last."""
        self.due = now
        self.asked_to_wait = False
        if is_recovery:
            self._failed_probes = 0

    def _put_off(self, due: float) -> None:
        self.due = max(self.due, due)

    def _backoff_seconds(self, answer: Answer, jitter: float) -> float:
        documented = min(2.0 ** min(self._failed_probes, _MAX_DOUBLINGS), MAX_BACKOFF_SECONDS)
        asked = min(answer.retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        return max(documented * (1 - _JITTER_SHARE * jitter), asked)
