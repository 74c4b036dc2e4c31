"""The status as a JSON document, for people and scripts: `GET /status`."""

from streamer.core.model import Json
from streamer.logs.fault import FaultLine
from streamer.status import DestinationStatus, IntegrationStatus, ServiceStatus
from streamer.status.consumer_document import account_of, place_of, state_of, sum_of, time_of, time_or_null
from streamer.status.histogram import Histogram
from streamer.status.inbound_document import inbound_of
from streamer.status.verdict import Verdict, verdict_of


def document_of(status: ServiceStatus, *, now: float, monotonic_now: float) -> Json:
    """The document: names as in the metrics, times in RFC 3339, durations in seconds.

    Args:
        status: the snapshot.
        now: seconds since the epoch.
        monotonic_now: the same moment on the monotonic clock, which the times of destinations use.
    """
    return {
        "verdict": _verdict(verdict_of(status, now=now, monotonic_now=monotonic_now)),
        "instance": status.instance,
        **version_of(status),
        "time": time_of(now),
        "started_at": time_of(status.started_at),
        "draining": status.is_draining,
        "config": {
            "faults": list(status.config.faults),
            "rejected_at": time_or_null(status.config.rejected_at),
            "reloaded_at": time_or_null(status.config.reloaded_at),
            "needs_restart": list(status.config.needs_restart),
        },
        "unaccounted": sum(partition.unaccounted for consumer in status.consumers for partition in consumer.partitions),
        "integrations": {integration.name: _integration(integration, now) for integration in status.integrations},
        "destinations": {
            destination.name: _destination(destination, now - monotonic_now) for destination in status.destinations
        },
        "inbound": None if status.inbound is None else inbound_of(status.inbound, now),
        "last_faults": [_fault(line) for line in reversed(status.last_faults)],
    }


def _verdict(verdict: Verdict) -> Json:
    return {
        "level": verdict.level,
        "headline": verdict.headline,
        "problems": [
            {
                "level": problem.level,
                "subject": problem.subject,
                "what": problem.what,
                "data": problem.data,
                "data_at_risk": problem.is_data_at_risk,
                "next_step": problem.next_step,
            }
            for problem in verdict.problems
        ],
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
    accounts = [account_of(partition) for partition in integration.partitions]
    return {
        **state_of(integration, now),
        "dialect": integration.dialect,
        "destination": integration.destination,
        "account": sum_of(accounts),
        "filtered_out": dict(integration.filtered_out),
        "identified": dict(integration.identified) or None,
        "receipts": {
            "available": integration.receipts.is_available,
            "entries": integration.receipts.entries,
            "bytes": integration.receipts.bytes,
            "shrunk": integration.receipts.shrunk_total,
        },
        "partitions": [
            {**place_of(partition, now), "account": account}
            for partition, account in zip(integration.partitions, accounts, strict=True)
        ],
    }


def _destination(destination: DestinationStatus, wall_clock_offset: float) -> Json:
    return {
        "state": destination.state,
        "since": time_of(destination.since + wall_clock_offset),
        "reason": destination.reason or None,
        "next_step": destination.next_step or None,
        "next_probe_at": time_or_null(
            None if destination.next_probe_at is None else destination.next_probe_at + wall_clock_offset
        ),
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
        "time": time_of(line.at),
        "event_name": line.event_name,
        "subject": line.subject,
        "reason": line.reason,
        "next_step": line.next_step,
    }
