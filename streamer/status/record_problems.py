"""What is not well with the records of an integration that runs: lost, set aside, stuck, late, or not accounted for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from streamer.core.delivery.transitions import State
from streamer.logs.events import Event
from streamer.status.figures import counted, duration, number, share, shortened
from streamer.status.history import IntegrationPoint
from streamer.status.partition_snapshot import PartitionStatus
from streamer.status.problem import Level, Problem
from streamer.status.risk import risk_of
from streamer.status.snapshot import ConsumerStatus, IntegrationState, IntegrationStatus, ServiceStatus

LOST_SECONDS: Final = 3_600.0
"""So long a loss is the first thing to be told; after that it is only remembered."""

LETTERS_SECONDS: Final = 300.0
"""Dead letters of this time are looked at."""
MIN_LETTERS: Final = 20
MIN_LETTERS_SHARE: Final = 0.01
"""They are told of when there are so many, or this share of the records."""
ACT_LETTERS_SHARE: Final = 0.1
ACT_LETTERS_SECONDS: Final = 60.0
"""With so many, this share of the records, and one of them so lately, somebody has to act."""

STUCK_SECONDS: Final = 60.0
STUCK_LONG_SECONDS: Final = 300.0
PARKED_SECONDS: Final = 60.0


def record_problems(consumer: ConsumerStatus, status: ServiceStatus, now: float) -> Iterator[Problem]:
    """What is not well with the records of a consumer.

    Args:
        consumer: an integration, or the way back.
        status: the snapshot that it is part of.
        now: seconds since the epoch.
    """
    yield from _unaccounted(consumer)
    yield from _lost(consumer, status, now)
    points = status.history.integrations.get(consumer.name, ())
    yield from _dead_letters(consumer, points, now)
    if isinstance(consumer, IntegrationStatus):
        yield from _receipts(consumer)
        yield from _filtered_out(consumer)
    if consumer.state is IntegrationState.RUNNING and not _is_explained(consumer, status):
        yield from _stuck(consumer, points, now)
        yield from _parked(consumer, now)
        yield from _retention(consumer, now)


def _is_explained(consumer: ConsumerStatus, status: ServiceStatus) -> bool:
    """Whether another problem already says why its records wait."""
    inbound = status.inbound
    return (
        consumer.kafka_silent_seconds is not None
        or any(d.name == consumer.destination and d.state is not State.OK for d in status.destinations)
        or any(p.left_out or (p.assigned and p.assigned.open_transaction_since) for p in consumer.partitions)
        or (inbound is not None and consumer is inbound.consumer and not _is_up(status))
    )


def _is_up(status: ServiceStatus) -> bool:
    return status.inbound is None or status.inbound.directory is None or status.inbound.directory.is_up


def _unaccounted(consumer: ConsumerStatus) -> Iterator[Problem]:
    unaccounted = sum(abs(partition.unaccounted) for partition in consumer.partitions)
    if unaccounted:
        yield Problem(
            level=Level.ACT,
            subject=consumer.name,
            what=f"the account is out by {counted(unaccounted, 'record')}",
            data="Whether data is at risk is not known.",
            next_step="Keep the log and the output of /status, and report both: it is a bug in streamer.",
            is_data_at_risk=True,
        )


def _lost(consumer: ConsumerStatus, status: ServiceStatus, now: float) -> Iterator[Problem]:
    lost = sum(partition.account.lost.total() for partition in consumer.partitions)
    if lost:
        at = status.history.lost_at.get(consumer.name, now)
        is_recent = now - at < LOST_SECONDS
        yield Problem(
            level=Level.ACT if is_recent else Level.WATCH,
            subject=consumer.name,
            what=f"{counted(lost, 'record')} lost, the last one {duration(max(now - at, 0.0))} ago: retention deleted"
            " them before they were read",
            data="Data is lost: these records are no longer on Kafka.",
            next_step=Event.RECORDS_LOST.next_step,
            is_data_at_risk=is_recent,
        )


def _dead_letters(consumer: ConsumerStatus, points: Sequence[IntegrationPoint], now: float) -> Iterator[Problem]:
    lately = [point for point in points if point.at > now - LETTERS_SECONDS]
    first = next((index for index, point in enumerate(lately) if point.dead_lettered), None)
    if first is None:
        return
    since = lately[first:]
    reasons: Counter[str] = Counter()
    for point in since:
        reasons.update({reason: round(rate * point.seconds) for reason, rate in point.dead_lettered_by.items()})
    letters, part = reasons.total(), _share(since)
    if letters < MIN_LETTERS and part < MIN_LETTERS_SHARE:
        return
    [(reason, _)] = reasons.most_common(1)
    details = [letter.detail for letter in consumer.recent_letters if letter.reason == reason]
    why = f"{reason}: {details[-1]}" if details else reason
    seconds = now - since[0].at + since[0].seconds
    goes_on = any(point.dead_lettered for point in since if point.at > now - ACT_LETTERS_SECONDS)
    yield Problem(
        level=Level.ACT if goes_on and letters >= MIN_LETTERS and part >= ACT_LETTERS_SHARE else Level.WATCH,
        subject=consumer.name,
        what=f"{share(part)} of the records became dead letters in the last {duration(seconds)}"
        f" ({number(letters)}, most of them {shortened(why)})",
        data="No data at risk: the dead-letter topic keeps them.",
        next_step="Find the cause with the producer: streamer dlq why counts them by fault and producer. When it"
        " is removed, streamer dlq redrive delivers them.",
    )


def _share(points: Sequence[IntegrationPoint]) -> float:
    """The share of dead letters from the first one on. It came in the course of the first step, if there are more."""
    later = points[1:] if any(point.dead_lettered for point in points[1:]) else points
    settled = sum(point.settled * point.seconds for point in later)
    return sum(point.dead_lettered * point.seconds for point in later) / settled if settled else 1.0


def _receipts(consumer: IntegrationStatus) -> Iterator[Problem]:
    if consumer.is_known and not consumer.receipts.is_available:
        yield Problem(
            level=Level.WATCH,
            subject=consumer.name,
            what="its receipts cannot be used",
            data="No data at risk: events may be sent twice after a restart.",
            next_step=Event.RECEIPTS_UNUSABLE.next_step,
        )


def _filtered_out(consumer: IntegrationStatus) -> Iterator[Problem]:
    if consumer.filtered_out:
        topics = ", ".join(sorted(consumer.filtered_out))
        yield Problem(
            level=Level.WATCH,
            subject=consumer.name,
            what=f"nothing of {topics} is delivered: all of its latest records were filtered as not_in_stream",
            data="No data at risk: the filtered records are still on Kafka.",
            next_step=Event.TOPIC_FILTERED_OUT.next_step,
        )


def _stuck(consumer: ConsumerStatus, points: Sequence[IntegrationPoint], now: float) -> Iterator[Problem]:
    if not any(_has_unread(partition, now) for partition in consumer.partitions):
        return
    moved_at = points[0].at if points else now
    for point in points:
        if point.consumed or point.settled or not point.lag:
            moved_at = point.at
    seconds = now - moved_at
    if seconds >= STUCK_SECONDS:
        risk = risk_of([consumer], now)
        yield Problem(
            level=Level.ACT if seconds >= STUCK_LONG_SECONDS or risk.is_data_at_risk else Level.WATCH,
            subject=consumer.name,
            what=f"no record was read or settled for {duration(seconds)}",
            data=risk.data,
            next_step="streamer restarts the integration by itself after two minutes without progress. If that does not"
            " help, look at the log, then restart streamer.",
            is_data_at_risk=risk.is_data_at_risk,
        )


def _has_unread(partition: PartitionStatus, now: float) -> bool:
    """Whether a record that was not read has waited in it for long; its lag alone may be ends of transactions."""
    assigned = partition.assigned
    if assigned is None or assigned.parked or assigned.oldest_waiting_at is None:
        return False
    return (assigned.lag or 0) > assigned.in_flight and now - assigned.oldest_waiting_at >= STUCK_SECONDS


def _parked(consumer: ConsumerStatus, now: float) -> Iterator[Problem]:
    waiting = [
        (assigned.parked, seconds)
        for partition in consumer.partitions
        if (assigned := partition.assigned) is not None
        and assigned.parked
        and (seconds := assigned.lag_seconds(now) or 0.0) >= PARKED_SECONDS
    ]
    if waiting:
        parked, longest = sum(count for count, _ in waiting), max(seconds for _, seconds in waiting)
        risk = risk_of([consumer], now)
        yield Problem(
            level=Level.ACT if risk.is_data_at_risk else Level.WATCH,
            subject=consumer.name,
            what=f"{counted(parked, 'event')} failed and will be sent again, the oldest is {duration(longest)} old",
            data=risk.data,
            next_step="No action is needed: an event that fails on every attempt becomes a dead letter.",
            is_data_at_risk=risk.is_data_at_risk,
        )


def _retention(consumer: ConsumerStatus, now: float) -> Iterator[Problem]:
    """Records that wait too long although it runs: the backlog shrinks too slowly, or grows."""
    risk = risk_of([consumer], now)
    if risk.level is Level.WELL or risk.headroom_seconds is None:
        return
    etas = consumer.drain_eta_seconds.values()
    eta = max(etas, default=None)
    if eta is not None and eta < risk.headroom_seconds / 2:
        return
    takes = "at an unknown time" if eta is None else f"in {duration(eta)}"
    yield Problem(
        level=risk.level,
        subject=consumer.name,
        what=f"behind, and up to date {takes} at the present rate",
        data=risk.data,
        next_step=Event.RECORDS_LOST.next_step,
        is_data_at_risk=risk.is_data_at_risk,
    )
