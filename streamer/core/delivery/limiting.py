"""What keeps an integration from being faster: one answer at a time, and the account of it over time."""

import enum
from collections import defaultdict, deque
from typing import Final

RECENT_SAMPLES: Final = 40
"""Samples that `LimitedTime.lately` looks at: 10 seconds of one each quarter of a second."""


class Limit(enum.StrEnum):
    """What would have to be more, or to change, for events to flow faster."""

    FETCH = "fetch"
    """Everything that has come from Kafka is on its way: there is no more, or it comes no faster."""
    MAPPING = "mapping"
    """There is work, and requests may begin: our CPU is the limit."""
    CONCURRENCY = "concurrency"
    """As many requests are in flight as ``max_in_flight`` allows, or as many records open as ``limits`` allow."""
    RATE = "rate"
    """``rate_limit``."""
    DESTINATION = "destination"
    """As many requests are in flight as the destination was found to hold."""
    BACKING_OFF = "backing_off"
    """The destination is unhappy; nothing but probes is sent."""
    HELD = "held"
    """The destination's set-up is wrong; nothing but probes is sent."""
    GUARDED = "guarded"
    """The mass guard stopped the integration."""
    PAUSED = "paused"
    """A person paused the integration (``status: paused``)."""


def limited_by(destination: Limit | None, *, is_guarded: bool, is_due: bool, is_full: bool, is_mapping: bool) -> Limit:
    """What limits an integration now.

    Args:
        destination: why no request may begin; None: one may.
        is_guarded: whether the mass guard stopped the integration.
        is_due: whether calls wait for a request.
        is_full: whether nothing is read because too much is open.
        is_mapping: whether records that have come from Kafka are not mapped yet.
    """
    if is_guarded:
        return Limit.GUARDED
    if destination in {Limit.HELD, Limit.BACKING_OFF}:
        return destination
    if is_due:
        return destination or Limit.MAPPING
    if is_full:
        return Limit.CONCURRENCY
    return Limit.MAPPING if is_mapping else Limit.FETCH


class LimitedTime:
    """How long each `Limit` has been the one.

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
        """What has limited most of the last seconds; None: not known yet."""
        recent: defaultdict[Limit, float] = defaultdict(float)
        for limit, seconds in self._recent:
            recent[limit] += seconds
        return max(recent, key=lambda limit: recent[limit], default=None)
