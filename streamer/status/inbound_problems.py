"""What is not well with the way back: webhooks, the directory of users, and its outbox."""

from collections.abc import Iterator
from typing import Final

from streamer.logs.events import Event
from streamer.settings.inbound import INBOUND
from streamer.status.figures import duration, number, shortened
from streamer.status.problem import Level, Problem
from streamer.status.risk import risk_of
from streamer.status.snapshot import InboundStatus, ServiceStatus

START_SECONDS: Final = 30.0
"""So long after the start of the process, what is not connected yet may still be connecting."""

OUTBOX_SECONDS: Final = 60.0
OUTBOX_LONG_SECONDS: Final = 600.0


def inbound_problems(status: ServiceStatus, now: float) -> Iterator[Problem]:
    """What is not well with the way back, its consumer apart; ``now`` in seconds since the epoch."""
    if status.inbound is None:
        return
    level = Level.WATCH if now - status.started_at < START_SECONDS else Level.ACT
    yield from _webhooks(status.inbound, level)
    yield from _directory(status.inbound, level, now)
    yield from _outbox(status.inbound, now)


def _webhooks(inbound: InboundStatus, level: Level) -> Iterator[Problem]:
    webhooks = inbound.webhooks
    if webhooks is not None and webhooks.publishing_fault:
        yield Problem(
            level=level,
            subject=INBOUND,
            what=f"calls of webhooks cannot be written to Kafka: {shortened(webhooks.publishing_fault)}",
            data="No data at risk for four hours: Segment sends the calls again for so long.",
            next_step="Check the brokers, and streamer's right WRITE on the topic of the calls.",
        )


def _directory(inbound: InboundStatus, level: Level, now: float) -> Iterator[Problem]:
    directory = inbound.directory
    if directory is not None and not directory.is_up:
        risk = risk_of([] if inbound.consumer is None else [inbound.consumer], now)
        yield Problem(
            level=Level.ACT if risk.is_data_at_risk else level,
            subject=INBOUND,
            what="the directory of users cannot be used",
            data=risk.data,
            next_step=f"{shortened(directory.reason)}. No restart is needed.",
            is_data_at_risk=risk.is_data_at_risk,
        )


def _outbox(inbound: InboundStatus, now: float) -> Iterator[Problem]:
    directory = inbound.directory
    if directory is None or directory.outbox_oldest_at is None:
        return
    seconds = now - directory.outbox_oldest_at
    if seconds >= OUTBOX_SECONDS:
        fault = directory.publishing_fault
        yield Problem(
            level=Level.ACT if seconds >= OUTBOX_LONG_SECONDS else Level.WATCH,
            subject=INBOUND,
            what=f"{number(directory.outbox_records or 0)} profiles and triggers wait in the outbox, the oldest for"
            f" {duration(seconds)}",
            data="No data at risk: they wait in the directory.",
            next_step=f"{shortened(fault)}." if fault else Event.OUTBOX_STALLED.next_step,
        )
