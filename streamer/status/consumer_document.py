"""What is shown of everything that reads topics, whatever it does with their records: part of the status document."""

from datetime import UTC, datetime

from streamer.core.model import Json
from streamer.core.steering.pause import Pause
from streamer.status import AssignedPartition, ConsumerStatus, PartitionStatus


def state_of(consumer: ConsumerStatus, now: float) -> dict[str, Json]:
    """What is the same for all that read topics."""
    silent = consumer.kafka_silent_seconds
    return {
        "state": consumer.state,
        "state_since": time_or_null(consumer.state_since),
        "reason": consumer.reason or None,
        "group": consumer.group,
        "restarts": consumer.restarts,
        "kafka_silent_since": time_or_null(None if silent is None else now - silent),
        "lag": consumer.lag,
        "lag_seconds": rounded(consumer.lag_seconds(now)),
        "drain_eta_seconds": {topic: rounded(eta) for topic, eta in consumer.drain_eta_seconds.items()},
        "limited_by": consumer.limited_by,
        "buffer": {"records": consumer.buffered_records, "bytes": consumer.buffered_bytes},
        "commits": dict(consumer.commits),
        "rebalances": dict(consumer.rebalances),
        "missing_topics": list(consumer.missing_topics),
        "pause": _pause(consumer.pause),
        "order_at": time_or_null(consumer.order_at),
        "guard": None if consumer.guard is None else consumer.guard._asdict(),
        "members": [member._asdict() for member in consumer.members],
        "recent_dead_letters": [
            {**letter._asdict(), "at": time_of(letter.at)} for letter in reversed(consumer.recent_letters)
        ],
    }


def _pause(pause: Pause | None) -> dict[str, Json] | None:
    if pause is None:
        return None
    return {
        "by": pause.by or "the configuration",
        "reason": pause.reason or None,
        "since": time_or_null(pause.since),
        "until": time_or_null(pause.until),
        "discards": pause.discards,
    }


def place_of(partition: PartitionStatus, now: float) -> dict[str, Json]:
    """A partition, without its account."""
    place = {"topic": partition.topic, "partition": partition.partition}
    fault = partition.left_out
    left_out = (
        None
        if fault is None
        else {
            "reason": fault.obstacle,
            "detail": fault.detail,
            "since": time_or_null(partition.left_out_since),
        }
    )
    return {**place, **_assigned(partition.assigned, now), "left_out": left_out}


def _assigned(assigned: AssignedPartition | None, now: float) -> dict[str, Json]:
    if assigned is None:
        return {"assigned": False}
    return {
        "assigned": True,
        "position": assigned.position,
        "committed": assigned.committed,
        "high_watermark": assigned.high_watermark,
        "ends_known_at": time_or_null(assigned.ends_known_at),
        "open_transaction_since": time_or_null(assigned.open_transaction_since),
        "lag": assigned.lag,
        "lag_seconds": rounded(assigned.lag_seconds(now)),
        "parked": assigned.parked,
        "retention_headroom_seconds": assigned.retention_headroom_seconds,
        "receipts_since": time_or_null(assigned.receipts_since),
    }


def account_of(partition: PartitionStatus) -> dict[str, Json]:
    """What became of its records."""
    account = partition.account
    return {
        "consumed": account.consumed,
        "delivered": account.delivered,
        "duplicate": account.duplicate,
        "filtered": {reason.value: count for reason, count in account.filtered.items()},
        "dead_lettered": {reason.value: count for reason, count in account.dead_lettered.items()},
        "handed_back": account.handed_back,
        "in_flight": partition.in_flight,
        "known_settled": account.known_settled,
        "unaccounted": partition.unaccounted,
        "lost": dict(account.lost),
    }


def sum_of(accounts: list[dict[str, Json]]) -> dict[str, Json]:
    """Several accounts in one."""
    total: dict[str, Json] = {}
    for account in accounts:
        for term, value in account.items():
            if isinstance(value, dict):
                counts = total.setdefault(term, {})
                for reason, count in value.items():
                    counts[reason] = counts.get(reason, 0) + count
            else:
                total[term] = total.get(term, 0) + value
    return total


def rounded(seconds: float | None) -> float | None:
    """To a tenth of a second."""
    return None if seconds is None else round(seconds, 1)


def time_or_null(seconds: float | None) -> str | None:
    """A time, if it is known."""
    return None if seconds is None else time_of(seconds)


def time_of(seconds: float) -> str:
    """RFC 3339, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
