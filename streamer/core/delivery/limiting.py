"""What keeps an integration from being faster: now, and in seconds since the start."""

import enum
from collections import defaultdict, deque
from typing import Final

RECENT_SAMPLES: Final = 40
"""Samples that `LimitedTime.lately` uses: those of 10 seconds, at one each quarter of a second."""


class Limit(enum.StrEnum):
    """What would have to be more, or to change, for events to flow faster."""

    FETCH = "fetch"
    """All records that came from Kafka are being delivered: Kafka has no more, or sends no faster."""
    KAFKA = "kafka"
    """No broker answers; what came from Kafka before is being delivered."""
    MAPPING = "mapping"
    """Records wait, and requests may start: our CPU is the limit."""
    CONCURRENCY = "concurrency"
    """As many requests are in flight as ``max_in_flight`` allows, or as many records are open as ``limits`` allow."""
    RATE = "rate"
    """As many calls are sent as ``rate_limit`` allows."""
    DESTINATION = "destination"
    """As many requests are in flight as the destination can serve at a time."""
    BACKING_OFF = "backing_off"
    """The destination is unhappy; only probes are sent."""
    HELD = "held"
    """The destination's set-up is wrong; only probes are sent."""
    GUARDED = "guarded"
    """The mass guard stopped the integration."""
    PAUSED = "paused"
    """A person paused the integration (``status: paused``)."""


def limited_by(
    destination: Limit | None, *, is_guarded: bool, is_due: bool, is_full: bool, is_mapping: bool, is_silent: bool
) -> Limit:
    """What limits an integration now.

    Args:
        destination: why no request may start; None: one may.
        is_guarded: whether the mass guard stopped the integration.
        is_due: whether calls wait for a request.
        is_full: whether reading stopped because too many records are open.
        is_mapping: whether records that came from Kafka are not mapped yet.
        is_silent: whether no broker answers.
    """
    if is_guarded:
        return Limit.GUARDED
    if destination in {Limit.HELD, Limit.BACKING_OFF}:
        return destination
    if is_due:
        return destination or Limit.MAPPING
    if is_full:
        return Limit.CONCURRENCY
    if is_mapping:
        return Limit.MAPPING
    return Limit.KAFKA if is_silent else Limit.FETCH


class LimitedTime:
    """For how long each `Limit` was the one that counted.

    Attributes:
        seconds: since the start, by limit.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(Limit, 0.0)
        self._recent: deque[tuple[Limit, float]] = deque(maxlen=RECENT_SAMPLES)

    def add(self, limit: Limit, seconds: float) -> None:
        """``limit`` was found; the sample before was taken ``seconds`` ago."""
        self.seconds[limit] += seconds
        self._recent.append((limit, seconds))

    @property
    def lately(self) -> Limit | None:
        """The limit of most of the last 10 seconds; None: not known yet."""
        recent: defaultdict[Limit, float] = defaultdict(float)
        for limit, seconds in self._recent:
            recent[limit] += seconds
        return max(recent, key=lambda limit: recent[limit], default=None)
