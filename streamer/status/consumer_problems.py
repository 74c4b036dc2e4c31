"""What is not well with an integration, or with what applies the calls of the way back: whether it runs, and reads."""

from collections.abc import Iterator, Sequence
from typing import Final

from streamer.core.records.obstacles import Obstacle
from streamer.core.steering.pause import Pause
from streamer.logs.events import Event
from streamer.logs.fault import FaultLine
from streamer.status.figures import counted, duration, number, shortened
from streamer.status.partition_snapshot import PartitionStatus
from streamer.status.pausing import end_of_pause, pause_in_words
from streamer.status.problem import Level, Problem
from streamer.status.risk import Risk, risk_of
from streamer.status.snapshot import ConsumerStatus, IntegrationState, ServiceStatus

PATIENCE_SECONDS: Final = 60.0
"""A start, a restart or a partition that is left out may pass without help for so long."""

TRANSACTION_SECONDS: Final = 300.0
"""An open transaction that lasts longer does not seem to end without help."""

LEADER_SECONDS: Final = 3.0
"""So long a partition may be left out before that is told: a leader that moves takes a second or two."""

MAX_NAMED: Final = 3
"""Most partitions or topics that a problem names."""

_LEFT_OUT_STEPS: Final = {
    Obstacle.NO_LEADER: "Check the brokers that lead these partitions, and the network to them.",
    Obstacle.NOT_AUTHORISED: "Grant streamer the rights READ and DESCRIBE on the topic; no restart is needed.",
    Obstacle.TOPIC_MISSING: "Create the topic, or remove it from the integration's topics.",
    Obstacle.READ_FAILED: "Look at the lines partition.left_out in the log, and at the brokers of these partitions.",
}


_START_FAULTS: Final = frozenset({Event.KAFKA_UNAVAILABLE.event_name, Event.TOPICS_MISSING.event_name})


def running_problems(consumer: ConsumerStatus, status: ServiceStatus, now: float) -> Iterator[Problem]:
    """What keeps a consumer from running; that no broker answers any more is told for all of them at once.

    Args:
        consumer: an integration, or the way back.
        status: the snapshot that it is part of.
        now: seconds since the epoch.
    """
    risk = risk_of([consumer], now)
    match consumer.state:
        case _ if not consumer.is_known:
            yield Problem(
                level=Level.ACT,
                subject=consumer.name,
                what="its state cannot be shown",
                data="Whether data is at risk is not known.",
                next_step="Look for observer.failed in the log, and report that line: it is a bug in streamer.",
            )
        case IntegrationState.GUARDED:
            yield _guarded(consumer, risk, now)
        case IntegrationState.PAUSED:
            pause = consumer.pause or Pause()
            yield _of(consumer, risk, Level.WATCH, pause_in_words(pause, now), end_of_pause(consumer.name, pause))
        case IntegrationState.STARTING | IntegrationState.RESTARTING:
            if consumer.kafka_silent_seconds is None:
                yield _starting(consumer, status, risk, now)
        case IntegrationState.DRAINING:
            pass  # told once, of the whole service
        case IntegrationState.RUNNING:
            yield from _reading(consumer, risk, now)


def _guarded(consumer: ConsumerStatus, risk: Risk, now: float) -> Problem:
    evidence = consumer.guard
    what = f"stopped by the mass guard{_for(consumer, now)}"
    if evidence is None:
        what += ", because too many of its records would be dead letters"
    else:
        why = f": {evidence.detail}" if evidence.detail else ""
        what += (
            f", because {number(evidence.set_aside)} of its last {counted(evidence.seen, 'record')} would be dead"
            f" letters, most of them {shortened(evidence.reason + why)}"
        )
    return _of(
        consumer,
        risk,
        Level.ACT,
        what,
        "Correct the configuration (most often a topic has another dialect) or the producer. Then run"
        f" streamer resume {consumer.name}.",
    )


def _starting(consumer: ConsumerStatus, status: ServiceStatus, risk: Risk, now: float) -> Problem:
    is_restart = consumer.state is IntegrationState.RESTARTING
    seconds = _seconds(consumer, now) or 0.0
    what = f"{'restarting' if is_restart else 'starting'}{_for(consumer, now)}"
    fault = _fault_since(now - seconds - PATIENCE_SECONDS, consumer, status)
    if fault is None:
        if is_restart and consumer.reason:
            what += f", after {consumer.reason}"
        level = Level.ACT if seconds >= PATIENCE_SECONDS else Level.WATCH
        return _of(consumer, risk, level, what, "No action is needed unless it lasts. Then look at the log.")
    detail = shortened(fault.detail or fault.reason)
    if fault.event_name == Event.TOPICS_MISSING.event_name:
        return _of(consumer, risk, Level.ACT, f"{what}, {detail}", Event.TOPICS_MISSING.next_step)
    what += ", the brokers cannot be reached or reject the connection"
    step = f"Check the brokers, the settings of kafka, and the network between them and this machine ({detail})."
    return _of(consumer, risk, Level.ACT, what, step)


def _fault_since(at: float, consumer: ConsumerStatus, status: ServiceStatus) -> FaultLine | None:
    """What has kept it from joining its group since ``at``; None: nothing was said of that."""
    for line in reversed(status.last_faults):
        if line.subject == consumer.name and line.event_name in _START_FAULTS and line.at > at:
            return line
    return None


def _reading(consumer: ConsumerStatus, risk: Risk, now: float) -> Iterator[Problem]:
    if consumer.missing_topics:
        names = _named(consumer.missing_topics)
        yield _of(consumer, risk, Level.ACT, f"topics are missing: {names}", Event.TOPICS_MISSING.next_step)
    if consumer.pause is not None:
        is_ordered = bool(consumer.pause.by)
        yield Problem(
            level=Level.WATCH,
            subject=consumer.name,
            what=pause_in_words(consumer.pause, now),
            data="Discarded records are not delivered: "
            f"{'--discard' if is_ordered else 'on_pause: discard'} asks for that.",
            next_step=end_of_pause(consumer.name, consumer.pause),
        )
    if consumer.kafka_silent_seconds is not None:
        return  # that explains what follows
    yield from _left_out(consumer, risk, now)
    yield from _transactions(consumer, risk, now)


def _left_out(consumer: ConsumerStatus, risk: Risk, now: float) -> Iterator[Problem]:
    ours = [partition for partition in consumer.partitions if partition.assigned or partition.left_out]
    for obstacle, step in _LEFT_OUT_STEPS.items():
        places = [partition for partition in ours if _is_left_out(partition, obstacle, now)]
        if not places:
            continue
        seconds = now - min(partition.left_out_since or now for partition in places)
        detail = next((partition.left_out.detail for partition in places if partition.left_out is not None), "")
        does_not_pass = obstacle in {Obstacle.NOT_AUTHORISED, Obstacle.TOPIC_MISSING}
        is_urgent = does_not_pass or seconds >= PATIENCE_SECONDS or len(places) == len(ours)
        names = _named([f"{partition.topic}-{partition.partition}" for partition in places])
        yield _of(
            consumer,
            risk,
            Level.ACT if is_urgent else Level.WATCH,
            f"{number(len(places))} of {counted(len(ours), 'partition')} not read for {duration(seconds)}"
            f" ({names}), {shortened(detail)}",
            step,
        )


def _is_left_out(partition: PartitionStatus, obstacle: Obstacle, now: float) -> bool:
    fault, since = partition.left_out, partition.left_out_since
    return fault is not None and fault.obstacle is obstacle and (since is None or now - since >= LEADER_SECONDS)


def _transactions(consumer: ConsumerStatus, risk: Risk, now: float) -> Iterator[Problem]:
    since = [
        partition.assigned.open_transaction_since
        for partition in consumer.partitions
        if partition.assigned is not None and partition.assigned.open_transaction_since is not None
    ]
    if since:
        seconds = now - min(since)
        yield _of(
            consumer,
            risk,
            Level.ACT if seconds >= TRANSACTION_SECONDS else Level.WATCH,
            f"waits for an open transaction of a producer to end for {duration(seconds)}, in"
            f" {counted(len(since), 'partition')}",
            Event.TRANSACTION_OPEN.next_step,
        )


def _of(consumer: ConsumerStatus, risk: Risk, level: Level, what: str, next_step: str) -> Problem:
    """A problem while which records wait."""
    return Problem(
        level=Level.ACT if risk.is_data_at_risk else level,
        subject=consumer.name,
        what=what,
        data=risk.data,
        next_step=next_step,
        is_data_at_risk=risk.is_data_at_risk,
    )


def _seconds(consumer: ConsumerStatus, now: float) -> float | None:
    return None if consumer.state_since is None else max(now - consumer.state_since, 0.0)


def _for(consumer: ConsumerStatus, now: float) -> str:
    seconds = _seconds(consumer, now)
    return "" if seconds is None else f" for {duration(seconds)}"


def _named(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
