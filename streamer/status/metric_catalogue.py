"""The catalogue of metrics: names, labels and where each number is found in a snapshot of the status.

Names and labels are a contract: dashboards and alerts use them. Each term of the sum of an account has the labels
``integration``, ``topic`` and ``partition``. Labels are bounded: none is taken from a record. A counter is there from
the start, at 0, for every value of a label that is known beforehand.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from streamer.core.delivery.destination import State
from streamer.core.delivery.limiting import Limit
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.status import (
    AssignedPartition,
    BatchResult,
    DestinationStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ServiceStatus,
)
from streamer.status.histogram import Histogram

KNOWN_STATUSES: Final = ("200", "400", "401", "429", "500", "503", "timeout")
"""Ends of requests that are counted from 0; others appear when they occur."""

LOST_REASONS: Final = ("retention",)

Subject = TypeVar("Subject")

Value = float | Histogram
Reading = Value | Mapping[str, Value] | Mapping[tuple[str, str], Value] | Mapping[tuple[str, str, str], Value] | None
"""One value; or several by the values of their own labels; or None: nothing to tell."""


class Kind(enum.Enum):
    """The types of Prometheus."""

    COUNTER = enum.auto()
    GAUGE = enum.auto()
    HISTOGRAM = enum.auto()


@dataclass(frozen=True, slots=True)
class Series(Generic[Subject]):
    """One metric of one kind of subject."""

    kind: Kind
    name: str
    documentation: str
    read: Callable[[Subject], Reading]
    labels: tuple[str, ...]
    """Its own labels, beside those of its subject."""


def _counter(name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str) -> Series[Subject]:
    return Series(Kind.COUNTER, name, documentation, read, labels)


def _gauge(name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str) -> Series[Subject]:
    return Series(Kind.GAUGE, name, documentation, read, labels)


def _histogram(name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str) -> Series[Subject]:
    return Series(Kind.HISTOGRAM, name, documentation, read, labels)


class Partition(NamedTuple):
    """What a metric of a partition is read from."""

    integration: IntegrationStatus
    status: PartitionStatus
    now: float


def _known(counts: Mapping[str, int], known: Iterable[str]) -> dict[str, float]:
    return {value: counts.get(value, 0) for value in dict.fromkeys((*known, *counts))}


def _assigned(read: Callable[[AssignedPartition], float | None]) -> Callable[[Partition], Reading]:
    """Read from assigned partitions only: a series that outlives its assignment misleads, a stale lag above all."""
    return lambda partition: None if partition.status.assigned is None else read(partition.status.assigned)


def _lag(partition: Partition) -> Reading:
    lag = None if partition.status.assigned is None else partition.status.assigned.lag
    return None if lag is None else {partition.integration.group: lag}


def _lag_seconds(partition: Partition) -> Reading:
    assigned = partition.status.assigned
    return None if assigned is None else {partition.integration.group: assigned.lag_seconds(partition.now)}


def _assigned_by_topic(integration: IntegrationStatus) -> dict[str, float]:
    topics = {partition.topic: 0.0 for partition in integration.partitions}
    for partition in integration.partitions:
        topics[partition.topic] += partition.assigned is not None
    return topics


OF_SERVICE: Final[tuple[Series[ServiceStatus], ...]] = (
    _gauge(
        "streamer_build_info",
        "What is running.",
        lambda service: {(service.version, service.python, service.commit): 1},
        "version",
        "python",
        "commit",
    ),
    _gauge(
        "streamer_config_info",
        "The configuration in force.",
        lambda service: {(service.config_sha256, service.mapping_version): 1},
        "sha256",
        "mapping_version",
    ),
    _histogram(
        "streamer_event_loop_lag_seconds",
        "How late the event loop runs what is due.",
        lambda service: service.loop_lag_seconds,
    ),
)

OF_PARTITION: Final[tuple[Series[Partition], ...]] = (
    _counter(
        "streamer_records_consumed_total",
        "Records read, again after a hand-back.",
        lambda partition: partition.status.account.consumed,
    ),
    _counter(
        "streamer_records_consumed_bytes_total",
        "Bytes of the values of records read.",
        lambda partition: partition.status.account.consumed_bytes,
    ),
    _counter(
        "streamer_records_delivered_total",
        "Events that the destination took.",
        lambda partition: {partition.integration.destination: partition.status.account.delivered},
        "destination",
    ),
    _counter(
        "streamer_records_duplicate_total",
        "Records whose messageId was delivered before.",
        lambda partition: partition.status.account.duplicate,
    ),
    _counter(
        "streamer_records_filtered_total",
        "Valid records that a named rule makes no call of.",
        lambda partition: {reason.value: partition.status.account.filtered[reason] for reason in FilterReason},
        "reason",
    ),
    _counter(
        "streamer_records_dead_lettered_total",
        "Records set aside in a dead-letter topic, confirmed by the broker.",
        lambda partition: {
            (partition.integration.destination, reason.value): partition.status.account.dead_lettered[reason]
            for reason in DeadLetterReason
        },
        "destination",
        "reason",
    ),
    _counter(
        "streamer_records_handed_back_total",
        "Records that were open when their assignment ended; they are consumed again.",
        lambda partition: partition.status.account.handed_back,
    ),
    _counter(
        "streamer_records_known_settled_total",
        "Records left out because the position's metadata states that an earlier owner settled them.",
        lambda partition: partition.status.account.known_settled,
    ),
    _gauge("streamer_records_in_flight", "Records read and not settled.", lambda partition: partition.status.in_flight),
    _gauge(
        "streamer_records_unaccounted",
        "Consumed, less delivered, duplicate, filtered, dead-lettered, handed back and in flight. Not 0 is a bug.",
        lambda partition: partition.status.unaccounted,
    ),
    _counter(
        "streamer_records_lost_total",
        "Records gone from the topic before they were read.",
        lambda partition: _known(partition.status.account.lost, LOST_REASONS),
        "reason",
    ),
    _gauge("streamer_consumer_lag", "Records from the committed position to the high watermark.", _lag, "group"),
    _gauge(
        "streamer_consumer_lag_seconds",
        "Age of the oldest record that is not settled; 0 when nothing waits.",
        _lag_seconds,
        "group",
    ),
    _gauge(
        "streamer_retention_headroom_seconds",
        "Until the broker deletes the oldest record that is not settled.",
        _assigned(lambda assigned: assigned.retention_headroom_seconds),
    ),
    _gauge(
        "streamer_records_parked",
        "Events that wait for their next attempt.",
        _assigned(lambda assigned: assigned.parked),
    ),
    _gauge(
        "streamer_receipts_complete_since_timestamp_seconds",
        "Since when each delivery from the partition has its receipt on this instance.",
        _assigned(lambda assigned: assigned.receipts_since),
    ),
)

OF_INTEGRATION: Final[tuple[Series[IntegrationStatus], ...]] = (
    _gauge(
        "streamer_integration_state",
        "1 for the state that the integration is in.",
        lambda integration: {state.value: integration.state is state for state in IntegrationState},
        "state",
    ),
    _counter(
        "streamer_pipeline_restarts_total",
        "How often the integration failed and was started again.",
        lambda integration: integration.restarts,
    ),
    _histogram(
        "streamer_event_latency_seconds",
        "Broker's time of the record to its 2xx.",
        lambda integration: {
            (topic, integration.destination): histogram for topic, histogram in integration.latency_seconds.items()
        },
        "topic",
        "destination",
    ),
    _gauge(
        "streamer_drain_eta_seconds",
        "When the lag is worked off at the present rate.",
        lambda integration: integration.drain_eta_seconds,
        "topic",
    ),
    _counter(
        "streamer_limited_seconds_total",
        "How long something has kept the integration from being faster, by what it was.",
        lambda integration: {limit.value: integration.limited_seconds.get(limit, 0.0) for limit in Limit},
        "by",
    ),
    _counter("streamer_commits_total", "Commits.", lambda integration: integration.commits, "result"),
    _counter(
        "streamer_rebalances_total", "Changes of the assignment.", lambda integration: integration.rebalances, "kind"
    ),
    _gauge("streamer_assigned_partitions", "Partitions that this instance reads.", _assigned_by_topic, "topic"),
    _gauge("streamer_buffer_records", "Events held in memory.", lambda integration: integration.buffered_records),
    _gauge("streamer_buffer_bytes", "Bytes of events held in memory.", lambda integration: integration.buffered_bytes),
    _gauge(
        "streamer_receipts_available",
        "0: the store of receipts cannot be used.",
        lambda integration: integration.receipts.is_available,
    ),
    _gauge("streamer_receipts_entries", "Receipts stored.", lambda integration: integration.receipts.entries),
    _gauge("streamer_receipts_bytes", "Size of the file of receipts.", lambda integration: integration.receipts.bytes),
    _counter(
        "streamer_receipts_shrunk_total",
        "How often receipts were dropped before their time, for want of room.",
        lambda integration: integration.receipts.shrunk_total,
    ),
)

OF_DESTINATION: Final[tuple[Series[DestinationStatus], ...]] = (
    _gauge(
        "streamer_destination_state",
        "1 for the state that the destination is in.",
        lambda destination: {state.value: destination.state is state for state in State},
        "state",
    ),
    _gauge("streamer_concurrency_limit", "Requests that may be in flight.", lambda destination: destination.limit),
    _gauge("streamer_concurrency_in_use", "Requests in flight.", lambda destination: destination.in_flight),
    _counter(
        "streamer_batches_total",
        "Requests by what became of their batch.",
        lambda destination: {result.value: destination.batches[result] for result in BatchResult},
        "result",
    ),
    _counter(
        "streamer_http_requests_total",
        "Requests by HTTP status, or by the fault that there was instead.",
        lambda destination: _known(destination.requests, KNOWN_STATUSES),
        "status",
    ),
    _counter(
        "streamer_http_retries_total",
        "Requests whose calls go again, by what went wrong.",
        lambda destination: _known(destination.retries, KNOWN_STATUSES[1:]),
        "reason",
    ),
    _histogram(
        "streamer_http_request_duration_seconds",
        "Duration of requests.",
        lambda destination: destination.request_seconds,
    ),
    _histogram("streamer_batch_calls", "Calls of a request.", lambda destination: destination.batch_calls),
    _histogram(
        "streamer_batch_bytes", "Bytes of a request's body on the wire.", lambda destination: destination.batch_bytes
    ),
    _histogram(
        "streamer_retry_after_seconds",
        "Waits that the destination asked for.",
        lambda destination: destination.retry_after_seconds,
    ),
)
