"""Whether records that wait on Kafka are at risk: how many wait, and how soon retention deletes the oldest."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from streamer.status.figures import counted, duration
from streamer.status.problem import Level
from streamer.status.snapshot import ConsumerStatus

WATCH_SECONDS: Final = 86_400.0
"""With less time than this before retention somebody should watch, if it is less than half of the retention."""

ACT_SECONDS: Final = 3_600.0
"""With less time than this data is at risk, if it is less than a quarter of the retention."""


class Risk(NamedTuple):
    """What waits, in words."""

    data: str
    """A sentence."""
    level: Level
    headroom_seconds: float | None
    """Until the oldest waiting record is deleted; None: not known, or never."""

    @property
    def is_data_at_risk(self) -> bool:
        """Whether records may be deleted before they are read."""
        return self.level is Level.ACT


def risk_of(consumers: Sequence[ConsumerStatus], now: float) -> Risk:
    """Whether records may be deleted before these consumers read them.

    Args:
        consumers: none of them may be making progress.
        now: seconds since the epoch.
    """
    lags = [consumer.lag for consumer in consumers]
    # The brokers said some seconds ago where partitions end; what was read since then waits, too.
    read = sum(partition.in_flight for consumer in consumers for partition in consumer.partitions)
    records = None if None in lags else max(sum(lag for lag in lags if lag is not None), read)
    margins = [margin for consumer in consumers for margin in _margins(consumer, now)]
    if not consumers:
        return Risk("No data at risk: no integration needs it.", Level.WELL, None)
    if records == 0:
        return Risk("No data at risk: no record waits.", Level.WELL, None)
    level = max((level for _, level in margins), key=list(Level).index, default=Level.WELL)
    headroom = min((seconds for seconds, _ in margins), default=None)
    return Risk(_sentence(records, headroom, level), level, headroom)


def _margins(consumer: ConsumerStatus, now: float) -> Iterator[tuple[float, Level]]:
    """Seconds before retention and how urgent that is, of each partition in which records wait."""
    for partition in consumer.partitions:
        assigned = partition.assigned
        if assigned is None or assigned.oldest_waiting_at is None or assigned.retention_headroom_seconds is None:
            continue
        headroom = assigned.retention_headroom_seconds
        retention = headroom + max(now - assigned.oldest_waiting_at, 0.0)
        if headroom < min(ACT_SECONDS, retention / 4):
            yield headroom, Level.ACT
        elif headroom < min(WATCH_SECONDS, retention / 2):
            yield headroom, Level.WATCH
        else:
            yield headroom, Level.WELL


def _sentence(records: int | None, headroom: float | None, level: Level) -> str:
    wait = "records wait" if records is None else f"{counted(records, 'record')} wait{'s' if records == 1 else ''}"
    if headroom is None:
        return f"No data at risk: {wait} on Kafka."
    if headroom <= 0:
        return f"Data at risk: {wait} on Kafka. The oldest is past the retention of its topic: Kafka may delete it now."
    left = duration(headroom)
    if level is Level.ACT:
        return f"Data at risk: {wait} on Kafka. The retention of the topic deletes the oldest in {left}."
    if level is Level.WATCH:
        return f"No data at risk yet: {wait} on Kafka, but only {left} before retention."
    return f"No data at risk: {wait} on Kafka, {left} before retention."
