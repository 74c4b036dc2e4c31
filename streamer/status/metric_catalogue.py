"""The catalogue of metrics: names, labels and where each number is found in a snapshot of the status.

Names and labels are a contract: dashboards and alerts use them. Each term of the sum of an account has the labels
``integration``, ``topic`` and ``partition``. Labels are bounded: none is taken from a record. A counter starts at 0 for
every value of a label that is known beforehand. docs/metrics.md is made from this catalogue.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from streamer.core.delivery.answers import NetworkFault
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.model import DELIVERY_LETTER_REASONS, FilterReason
from streamer.logs import Event
from streamer.status import (
    AssignedPartition,
    BatchResult,
    ConsumerStatus,
    DestinationStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    Reload,
    ServiceStatus,
)
from streamer.status.series import Reading, Series, counter, gauge, histogram

KNOWN_STATUSES: Final = (
    *("200", "400", "401", "403", "404", "408", "413", "429", "500", "502", "503", "504"),
    *(fault.value for fault in NetworkFault),
)
"""Results of requests that are counted from 0; others appear when they occur."""

LOST_REASONS: Final = ("retention",)

_WHILE_ASSIGNED: Final = "while the partition is assigned to this instance"
_AS_THEY_OCCUR: Final = "other HTTP statuses than those listed below: from their first occurrence"


class Partition(NamedTuple):
    """What a metric of a partition is read from."""

    consumer: ConsumerStatus
    status: PartitionStatus
    now: float


def _known(counts: Mapping[str, int], known: Iterable[str]) -> dict[str, float]:
    return {value: counts.get(value, 0) for value in dict.fromkeys((*known, *counts))}


def _assigned(read: Callable[[AssignedPartition], float | None]) -> Callable[[Partition], Reading]:
    """Read from assigned partitions only: a series that outlives its assignment misleads, a stale lag above all."""
    return lambda partition: None if partition.status.assigned is None else read(partition.status.assigned)


def _left_out(partition: PartitionStatus) -> Reading:
    if partition.left_out is not None:
        return 1
    return None if partition.assigned is None else 0


def _lag(partition: Partition) -> Reading:
    lag = None if partition.status.assigned is None else partition.status.assigned.lag
    return None if lag is None else {partition.consumer.group: lag}


def _lag_seconds(partition: Partition) -> Reading:
    assigned = partition.status.assigned
    seconds = None if assigned is None else assigned.lag_seconds(partition.now)
    return None if seconds is None else {partition.consumer.group: seconds}


def _assigned_by_topic(integration: ConsumerStatus) -> dict[str, float]:
    topics = dict.fromkeys(integration.topics, 0.0)
    for partition in integration.partitions:
        topics[partition.topic] = topics.get(partition.topic, 0.0) + (partition.assigned is not None)
    return topics


def _paused_by(integration: ConsumerStatus) -> dict[str, float]:
    pause = integration.pause
    return {"operator": pause is not None and bool(pause.by), "configuration": pause is not None and not pause.by}


def _if_ordered(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"operator": seconds}


OF_SERVICE: Final[tuple[Series[ServiceStatus], ...]] = (
    gauge(
        "streamer_build_info",
        "Always 1; the labels say which version runs.",
        lambda service: {(service.version, service.python, service.commit): 1},
        "version",
        "python",
        "commit",
    ),
    gauge(
        "streamer_config_info",
        "Always 1; the labels say which configuration is in use.",
        lambda service: {(service.config_sha256, service.mapping_version): 1},
        "sha256",
        "mapping_version",
    ),
    counter(
        "streamer_faults_total",
        "How often each log event about a fault occurred, folded lines included; docs/log-events.md lists the events.",
        lambda service: {event.event_name: service.faults.get(event, 0) for event in Event if event.fault is not None},
        "event",
    ),
    gauge(
        "streamer_memory_bytes",
        "Memory that only this process has. Files that it has mapped, such as the receipts, do not count.",
        lambda service: service.memory_bytes,
        exists="on Linux",
    ),
    gauge(
        "streamer_memory_limit_bytes",
        "How much memory the process may have: the lowest limit of its control groups.",
        lambda service: service.memory_limit_bytes,
        exists="on Linux with control groups of version 2, one of which has a limit",
    ),
    counter(
        "streamer_config_reloads_total",
        "Configuration, keys and webhook secrets, read again. applied: they have changed. failed: the last ones count.",
        lambda service: {result.value: service.config_reloads.get(result, 0) for result in Reload},
        "result",
    ),
    counter(
        "streamer_trace_spans_total",
        "Spans of traces. exported: the collector has them. failed: it did not take them. dropped: too many waited.",
        lambda service: service.trace_spans,
        "result",
        exists="while traces are on",
    ),
    histogram(
        "streamer_event_loop_lag_seconds",
        "How late the event loop runs what is due, in seconds.",
        lambda service: service.loop_lag_seconds,
    ),
)

OF_PARTITION: Final[tuple[Series[Partition], ...]] = (
    counter(
        "streamer_records_consumed_total",
        "Records read. A record that was handed back is counted again when it is read again.",
        lambda partition: partition.status.account.consumed,
    ),
    counter(
        "streamer_records_consumed_bytes_total",
        "Bytes of the values of the records read.",
        lambda partition: partition.status.account.consumed_bytes,
    ),
    counter(
        "streamer_records_handed_back_total",
        "Records that were open when their assignment ended. They are read again.",
        lambda partition: partition.status.account.handed_back,
    ),
    counter(
        "streamer_records_known_settled_total",
        "Records read again and skipped, because the stored position says that they were settled before.",
        lambda partition: partition.status.account.known_settled,
    ),
    gauge("streamer_records_in_flight", "Records read and not settled.", lambda partition: partition.status.in_flight),
    gauge(
        "streamer_records_unaccounted",
        "consumed - delivered - duplicate - filtered - dead_lettered - handed_back - in flight. Not 0: a bug.",
        lambda partition: partition.status.unaccounted,
    ),
    counter(
        "streamer_records_lost_total",
        "Records that Kafka deleted before they were read.",
        lambda partition: _known(partition.status.account.lost, LOST_REASONS),
        "reason",
    ),
    gauge(
        "streamer_partition_left_out",
        "1: the partition cannot be read now and is tried again; /status says why. 0: it is read.",
        lambda partition: _left_out(partition.status),
        exists=_WHILE_ASSIGNED,
    ),
    gauge(
        "streamer_consumer_lag",
        "Records from the committed position to the high watermark.",
        _lag,
        "group",
        exists=f"{_WHILE_ASSIGNED} and its high watermark is known, as of the last seconds",
    ),
    gauge(
        "streamer_consumer_lag_seconds",
        "Age of the oldest record that is not settled, in seconds. 0: no record waits.",
        _lag_seconds,
        "group",
        exists=f"{_WHILE_ASSIGNED} and it is known whether records wait in it",
    ),
    gauge(
        "streamer_records_unread",
        "Records from the next offset that is read to the high watermark, offsets without a record included.",
        _assigned(lambda assigned: assigned.unread),
        exists=f"{_WHILE_ASSIGNED} and its high watermark is known, as of the last seconds",
    ),
    gauge(
        "streamer_partition_end_known_timestamp_seconds",
        "When a broker last said where the partition ends, in seconds since the epoch. Lag is absent if that is old.",
        _assigned(lambda assigned: assigned.ends_known_at),
        exists=f"{_WHILE_ASSIGNED}, from the first answer on",
    ),
    gauge(
        "streamer_open_transaction_since_timestamp_seconds",
        "Since when an open transaction keeps the partition from being read, in seconds since the epoch.",
        _assigned(lambda assigned: assigned.open_transaction_since),
        exists=f"{_WHILE_ASSIGNED} and one transaction has kept it from being read for 10 seconds",
    ),
    gauge(
        "streamer_retention_headroom_seconds",
        "Seconds until Kafka deletes the oldest record that is not settled.",
        _assigned(lambda assigned: assigned.retention_headroom_seconds),
        exists=f"{_WHILE_ASSIGNED} and its topic has a retention time",
    ),
    gauge(
        "streamer_records_parked",
        "Records whose call failed and waits for its next attempt.",
        _assigned(lambda assigned: assigned.parked),
        exists=_WHILE_ASSIGNED,
    ),
)

OF_DELIVERED_PARTITION: Final[tuple[Series[Partition], ...]] = (
    counter(
        "streamer_records_delivered_total",
        "Records whose call the destination accepted.",
        lambda partition: {partition.consumer.destination: partition.status.account.delivered},
        "destination",
    ),
    counter(
        "streamer_records_duplicate_total",
        "Records whose messageId was delivered before.",
        lambda partition: partition.status.account.duplicate,
    ),
    counter(
        "streamer_records_filtered_total",
        "Valid records that are not delivered because of a named rule.",
        lambda partition: {reason.value: partition.status.account.filtered[reason] for reason in FilterReason},
        "reason",
    ),
    counter(
        "streamer_records_dead_lettered_total",
        "Records written to a dead-letter topic, confirmed by the broker.",
        lambda partition: {
            (partition.consumer.destination, reason.value): partition.status.account.dead_lettered[reason]
            for reason in DELIVERY_LETTER_REASONS
        },
        "destination",
        "reason",
    ),
    gauge(
        "streamer_receipts_complete_since_timestamp_seconds",
        "Since when this instance has a receipt of each delivery from the partition, in seconds since the epoch.",
        _assigned(lambda assigned: assigned.receipts_since),
        exists=f"{_WHILE_ASSIGNED} and the receipts can be used",
    ),
)

OF_CONSUMER: Final[tuple[Series[ConsumerStatus], ...]] = (
    gauge(
        "streamer_integration_state",
        "1 for the state that the integration is in, 0 for the others.",
        lambda integration: {state.value: integration.state is state for state in IntegrationState},
        "state",
    ),
    gauge(
        "streamer_integration_paused",
        "1 for who has paused the integration, 0 for the others. Records wait on Kafka, or are filtered as paused."
        " /status names the person and the reason.",
        _paused_by,
        "by",
    ),
    gauge(
        "streamer_integration_paused_since_timestamp_seconds",
        "When the pause was ordered, in seconds since the epoch.",
        lambda integration: _if_ordered(integration.pause and integration.pause.since),
        "by",
        exists="while an operator has paused the integration",
    ),
    gauge(
        "streamer_integration_paused_until_timestamp_seconds",
        "When the pause ends by itself, in seconds since the epoch.",
        lambda integration: _if_ordered(integration.pause and integration.pause.until),
        "by",
        exists="while an operator has paused the integration for some time",
    ),
    counter(
        "streamer_pipeline_restarts_total",
        "How often the integration failed and was restarted.",
        lambda integration: integration.restarts,
    ),
    gauge(
        "streamer_drain_eta_seconds",
        "Seconds until the lag of the topic is 0, at the rate of the last minute. 0: no record waits.",
        lambda integration: integration.drain_eta_seconds,
        "topic",
        exists="while its lag is known, and is 0 or records of it were settled in the last minute",
    ),
    counter(
        "streamer_limited_seconds_total",
        "Seconds in which this limit kept the integration from being faster.",
        lambda integration: {limit.value: integration.limited_seconds.get(limit, 0.0) for limit in Limit},
        "by",
    ),
    counter(
        "streamer_commits_total",
        "Commits by result.",
        lambda integration: integration.commits,
        "result",
    ),
    counter(
        "streamer_rebalances_total",
        "Changes of the assignment by kind.",
        lambda integration: integration.rebalances,
        "kind",
    ),
    gauge(
        "streamer_assigned_partitions",
        "Partitions of the topic that this instance reads.",
        _assigned_by_topic,
        "topic",
    ),
    gauge(
        "streamer_buffer_records",
        "Open records in memory, without the parked ones.",
        lambda integration: integration.buffered_records,
    ),
    gauge(
        "streamer_buffer_bytes",
        "Bytes of the open records in memory, with the parked ones.",
        lambda integration: integration.buffered_bytes,
    ),
)

OF_INTEGRATION: Final[tuple[Series[IntegrationStatus], ...]] = (
    histogram(
        "streamer_event_latency_seconds",
        "Seconds from the record's timestamp on Kafka to the destination's 2xx.",
        lambda integration: {
            (topic, integration.destination): histogram for topic, histogram in integration.latency_seconds.items()
        },
        "topic",
        "destination",
    ),
    gauge(
        "streamer_topic_filtered_out",
        "1: the latest 200 or more records of the topic were all filtered as not_in_stream. 0: they were not.",
        lambda integration: {topic: float(topic in integration.filtered_out) for topic in integration.topics},
        "topic",
    ),
    counter(
        "streamer_identified_devices_total",
        "Records with an anonymous id only. known: they got the userId of its user. unknown: the directory links it to"
        " none. skipped: the directory could not be asked.",
        lambda integration: integration.identified,
        "result",
        exists="with identify_devices",
    ),
    gauge(
        "streamer_receipts_available",
        "1: the receipts are used. 0: they cannot be used until the next start.",
        lambda integration: integration.receipts.is_available,
    ),
    gauge("streamer_receipts_entries", "Receipts on disk.", lambda integration: integration.receipts.entries),
    gauge("streamer_receipts_bytes", "Bytes of the files of receipts.", lambda integration: integration.receipts.bytes),
    counter(
        "streamer_receipts_shrunk_total",
        "How often receipts were deleted before receipts.window had passed, to make room.",
        lambda integration: integration.receipts.shrunk_total,
    ),
)

OF_DESTINATION: Final[tuple[Series[DestinationStatus], ...]] = (
    gauge(
        "streamer_destination_state",
        "1 for the state that the destination is in, 0 for the others.",
        lambda destination: {state.value: destination.state is state for state in State},
        "state",
    ),
    gauge(
        "streamer_concurrency_limit",
        "How many requests may be in flight now; destinations.*.max_in_flight at most.",
        lambda destination: destination.limit,
    ),
    gauge("streamer_concurrency_in_use", "Requests in flight.", lambda destination: destination.in_flight),
    counter(
        "streamer_batches_total",
        "Requests by what became of their batch.",
        lambda destination: {result.value: destination.batches[result] for result in BatchResult},
        "result",
    ),
    counter(
        "streamer_http_requests_total",
        "Requests by HTTP status, or by the network fault that occurred instead.",
        lambda destination: _known(destination.requests, KNOWN_STATUSES),
        "status",
        exists=_AS_THEY_OCCUR,
    ),
    counter(
        "streamer_http_retries_total",
        "Requests whose calls are sent again, by HTTP status or network fault.",
        lambda destination: _known(destination.retries, KNOWN_STATUSES[1:]),
        "reason",
        exists=_AS_THEY_OCCUR,
    ),
    histogram(
        "streamer_http_request_duration_seconds",
        "Duration of requests in seconds.",
        lambda destination: destination.request_seconds,
    ),
    histogram("streamer_batch_calls", "Calls in a request.", lambda destination: destination.batch_calls),
    histogram(
        "streamer_batch_bytes",
        "Bytes of a request's body as sent, compressed if destinations.*.gzip is true.",
        lambda destination: destination.batch_bytes,
    ),
    histogram(
        "streamer_retry_after_seconds",
        "Seconds that the destination asked streamer to wait (Retry-After).",
        lambda destination: destination.retry_after_seconds,
    ),
)
