"""The status as a JSON document, for people and scripts: `GET /status`."""

from datetime import UTC, datetime

from streamer.core.model import Json
from streamer.logs.fault import FaultLine
from streamer.status import AssignedPartition, DestinationStatus, IntegrationStatus, PartitionStatus, ServiceStatus
from streamer.status.histogram import Histogram


def document_of(status: ServiceStatus, *, now: float, monotonic_now: float) -> Json:
    """The document: names as in the metrics, times in RFC 3339, durations in seconds.

    Args:
        status: the snapshot.
        now: seconds since the epoch.
        monotonic_now: the same moment on the monotonic clock, which the times of destinations use.
    """
    return {
        **version_of(status),
        "time": _time(now),
        "started_at": _time(status.started_at),
        "draining": status.is_draining,
        "unaccounted": sum(
            partition.unaccounted for integration in status.integrations for partition in integration.partitions
        ),
        "integrations": {integration.name: _integration(integration, now) for integration in status.integrations},
        "destinations": {
            destination.name: _destination(destination, now - monotonic_now) for destination in status.destinations
        },
        "last_faults": [_fault(line) for line in reversed(status.last_faults)],
    }


def version_of(status: ServiceStatus) -> dict[str, str]:
    """Which version runs, with which configuration."""
    return {
        "version": status.version,
        "commit": status.commit,
        "python": status.python,
        "config_sha256": status.config_sha256,
        "mapping_version": status.mapping_version,
    }


def _integration(integration: IntegrationStatus, now: float) -> Json:
    return {
        "state": integration.state,
        "reason": integration.reason or None,
        "dialect": integration.dialect,
        "group": integration.group,
        "destination": integration.destination,
        "restarts": integration.restarts,
        "kafka_silent_since": _time_or_null(
            None if integration.kafka_silent_seconds is None else now - integration.kafka_silent_seconds
        ),
        "lag": integration.lag,
        "lag_seconds": _rounded(integration.lag_seconds(now)),
        "drain_eta_seconds": {topic: _rounded(eta) for topic, eta in integration.drain_eta_seconds.items()},
        "account": _sum([_account(partition) for partition in integration.partitions]),
        "limited_by": integration.limited_by,
        "filtered_out": dict(integration.filtered_out),
        "buffer": {"records": integration.buffered_records, "bytes": integration.buffered_bytes},
        "receipts": {
            "available": integration.receipts.is_available,
            "entries": integration.receipts.entries,
            "bytes": integration.receipts.bytes,
            "shrunk": integration.receipts.shrunk_total,
        },
        "commits": dict(integration.commits),
        "rebalances": dict(integration.rebalances),
        "partitions": [_partition(partition, now) for partition in integration.partitions],
    }


def _partition(partition: PartitionStatus, now: float) -> Json:
    place = {"topic": partition.topic, "partition": partition.partition}
    fault = partition.left_out
    left_out = None if fault is None else {"reason": fault.obstacle, "detail": fault.detail}
    return {**place, **_assigned(partition.assigned, now), "left_out": left_out, "account": _account(partition)}


def _assigned(assigned: AssignedPartition | None, now: float) -> dict[str, Json]:
    if assigned is None:
        return {"assigned": False}
    return {
        "assigned": True,
        "position": assigned.position,
        "committed": assigned.committed,
        "high_watermark": assigned.high_watermark,
        "ends_known_at": _time_or_null(assigned.ends_known_at),
        "open_transaction_since": _time_or_null(assigned.open_transaction_since),
        "lag": assigned.lag,
        "lag_seconds": _rounded(assigned.lag_seconds(now)),
        "parked": assigned.parked,
        "retention_headroom_seconds": assigned.retention_headroom_seconds,
        "receipts_since": _time_or_null(assigned.receipts_since),
    }


def _account(partition: PartitionStatus) -> dict[str, Json]:
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


def _sum(accounts: list[dict[str, Json]]) -> dict[str, Json]:
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


def _destination(destination: DestinationStatus, wall_clock_offset: float) -> Json:
    return {
        "state": destination.state,
        "since": _time(destination.since + wall_clock_offset),
        "reason": destination.reason or None,
        "next_step": destination.next_step or None,
        "in_flight": destination.in_flight,
        "limit": destination.limit,
        "requests": dict(destination.requests),
        "retries": dict(destination.retries),
        "batches": {result.value: count for result, count in destination.batches.items()},
        "request_seconds": _quantiles(destination.recent_request_seconds.lately()),
    }


def _quantiles(histogram: Histogram) -> Json:
    """Null where nothing was observed, or where a value lies above all bounds."""
    return {
        name: bound if (bound := histogram.quantile(share)) != float("inf") else None
        for name, share in (("p50_at_most", 0.5), ("p99_at_most", 0.99))
    }


def _fault(line: FaultLine) -> Json:
    return {
        "time": _time(line.at),
        "event_name": line.event_name,
        "subject": line.subject,
        "reason": line.reason,
        "next_step": line.next_step,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _time_or_null(seconds: float | None) -> str | None:
    return None if seconds is None else _time(seconds)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
