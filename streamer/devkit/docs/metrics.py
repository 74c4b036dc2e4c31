"""docs/metrics.md: every metric, from the catalogue in `streamer.status`."""

from collections.abc import Iterable
from typing import Any, Final

from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.inbound.call import CALL_LETTER_REASONS, CallOutcome, IgnoredReason, Remark
from streamer.core.model import DELIVERY_LETTER_REASONS, FilterReason
from streamer.devkit.docs.markdown import code, codes, page, table
from streamer.kafka import CommitResult
from streamer.status import BatchResult, IntegrationState, Reload
from streamer.status.inbound_metrics import OF_INBOUND
from streamer.status.metric_catalogue import (
    KNOWN_STATUSES,
    LOST_REASONS,
    OF_CONSUMER,
    OF_DELIVERED_PARTITION,
    OF_DESTINATION,
    OF_INTEGRATION,
    OF_PARTITION,
    OF_SERVICE,
)
from streamer.status.series import Series

_INTRODUCTION: Final = """\
`/metrics` serves these in the format of Prometheus, or as OpenMetrics if the `Accept` header asks for it. Names and
labels are a contract: dashboards and alerts may use them. No label is taken from a record, so their number is bounded.
Counters start at 0 with the process. In OpenMetrics, buckets of `streamer_event_latency_seconds` and
`streamer_http_request_duration_seconds` name the trace of their latest value, where traces are on
([tracing.md](tracing.md)). The standard metrics of the Python client are served too (`process_*`,
`python_*`).

For each integration and partition, at any time:

    streamer_records_consumed_total = streamer_records_delivered_total + streamer_records_duplicate_total
        + streamer_records_filtered_total + streamer_records_dead_lettered_total + streamer_records_handed_back_total
        + streamer_records_in_flight

`streamer_records_unaccounted` is the difference of the two sides. If it is not 0, report it as a bug."""

_GROUPS: Final[tuple[tuple[str, tuple[str, ...], str, tuple[Series[Any], ...]], ...]] = (
    ("The process", (), "Series exist from the start, unless the table says otherwise.", OF_SERVICE),
    (
        "Partitions",
        ("integration", "topic", "partition"),
        (
            "Series exist from the partition's first assignment to this process, unless the table says otherwise. The"
            " way back has the label `integration` = `inbound`."
        ),
        OF_PARTITION,
    ),
    (
        "Partitions of integrations",
        ("integration", "topic", "partition"),
        "Series exist from the partition's first assignment to this process, unless the table says otherwise.",
        OF_DELIVERED_PARTITION,
    ),
    (
        "Integrations and the way back",
        ("integration",),
        (
            "Series exist from the start, unless the table says otherwise. The way back has the label `integration` ="
            " `inbound`."
        ),
        OF_CONSUMER,
    ),
    (
        "Integrations",
        ("integration",),
        "Series exist from the start, unless the table says otherwise.",
        OF_INTEGRATION,
    ),
    (
        "Destinations",
        ("destination",),
        "Series exist from the start, unless the table says otherwise.",
        OF_DESTINATION,
    ),
    (
        "The way back",
        (),
        (
            "Series exist from the start if `inbound` is set, unless the table says otherwise. For each partition, at"
            " any time, `streamer_records_consumed_total` with `integration` = `inbound` is the sum of"
            " `streamer_inbound_calls_total`, `streamer_records_handed_back_total` and `streamer_records_in_flight`."
        ),
        OF_INBOUND,
    ),
)

VALUES: Final[dict[tuple[str, str], Iterable[str]]] = {
    ("streamer_config_reloads_total", "result"): Reload,
    ("streamer_records_filtered_total", "reason"): FilterReason,
    ("streamer_records_dead_lettered_total", "reason"): DELIVERY_LETTER_REASONS,
    ("streamer_records_lost_total", "reason"): LOST_REASONS,
    ("streamer_integration_state", "state"): IntegrationState,
    ("streamer_limited_seconds_total", "by"): Limit,
    ("streamer_commits_total", "result"): CommitResult,
    ("streamer_destination_state", "state"): State,
    ("streamer_batches_total", "result"): BatchResult,
    ("streamer_http_requests_total", "status"): KNOWN_STATUSES,
    ("streamer_http_retries_total", "reason"): KNOWN_STATUSES[1:],
    ("streamer_inbound_calls_total", "outcome"): CallOutcome,
    ("streamer_inbound_calls_total", "reason"): (*IgnoredReason, *CALL_LETTER_REASONS),
    ("streamer_inbound_remarks_total", "remark"): Remark,
}
"""Metric and label -> the closed list of its values."""


def render() -> dict[str, str]:
    """The page."""
    return {
        "metrics.md": page(
            "# Metrics",
            _INTRODUCTION,
            *(block for group in _GROUPS for block in _section(*group)),
            "## Values of labels",
            table(
                ("metric", "label", "values"),
                [(code(name), code(label), codes(values)) for (name, label), values in VALUES.items()],
            ),
        )
    }


def _section(title: str, labels: tuple[str, ...], exists: str, catalogue: tuple[Series[Any], ...]) -> list[str]:
    has = f"Every metric has the labels {codes(labels)}. " if len(labels) > 1 else ""
    if len(labels) == 1:
        has = f"Every metric has the label {codes(labels)}. "
    rows = [
        (code(series.name), series.kind.value, codes(series.labels), series.documentation, series.exists)
        for series in catalogue
    ]
    return [f"## {title}", has + exists, table(("metric", "type", "further labels", "meaning", "exists"), rows)]
