"""Metrics: the names and labels of the contract, with the numbers of the status."""

import re
from typing import Any, Protocol

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamer.core.records.account import Account
from streamer.status import (
    BatchResult,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    ReceiptsStatus,
    ServiceStatus,
)
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.status.inbound_metrics import OF_INBOUND, Inbound
from streamer.status.metric_catalogue import (
    OF_CONSUMER,
    OF_DELIVERED_PARTITION,
    OF_DESTINATION,
    OF_INTEGRATION,
    OF_PARTITION,
    OF_SERVICE,
    Partition,
)
from streamer.status.metrics import Metrics
from streamer.status.series import Kind, Series


class ToldService(Protocol):
    told: ServiceStatus

    def status(self) -> ServiceStatus: ...


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def samples(service: ToldService) -> Samples:
    body, _ = Metrics(service.status).render("")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }


PARTITION = {"integration": "sprig", "topic": "surveys", "partition": "0"}
GROUPED = {**PARTITION, "group": "streamer.sprig"}
DESTINATION = {"destination": "production"}
CALLS = {"integration": "inbound", "topic": "segment.inbound", "partition": "0"}
TYPE = {"partition": "0", "type": "identify"}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("streamer_build_info", {"version": "1.2.3", "python": "3.11.7", "commit": "abc"}, 1),
        ("streamer_config_info", {"sha256": "0123abcd", "mapping_version": "1"}, 1),
        ("streamer_records_consumed_total", PARTITION, 100),
        ("streamer_records_consumed_bytes_total", PARTITION, 5_000),
        ("streamer_records_delivered_total", {**PARTITION, **DESTINATION}, 80),
        ("streamer_records_duplicate_total", PARTITION, 3),
        ("streamer_records_filtered_total", {**PARTITION, "reason": "test_event"}, 4),
        ("streamer_records_filtered_total", {**PARTITION, "reason": "paused"}, 0),
        ("streamer_records_dead_lettered_total", {**PARTITION, **DESTINATION, "reason": "schema_invalid"}, 1),
        ("streamer_records_dead_lettered_total", {**PARTITION, **DESTINATION, "reason": "internal_error"}, 0),
        ("streamer_records_handed_back_total", PARTITION, 2),
        ("streamer_records_known_settled_total", PARTITION, 5),
        ("streamer_records_in_flight", PARTITION, 10),
        ("streamer_records_unaccounted", PARTITION, 0),
        ("streamer_records_lost_total", {**PARTITION, "reason": "retention"}, 7),
        ("streamer_consumer_lag", GROUPED, 120),
        ("streamer_records_unread", PARTITION, 100),
        ("streamer_faults_total", {"event": "destination.held"}, 2),
        ("streamer_faults_total", {"event": "records.lost"}, 0),
        ("streamer_memory_bytes", {}, 200_000_000),
        ("streamer_memory_limit_bytes", {}, 500_000_000),
        ("streamer_records_parked", PARTITION, 1),
        ("streamer_integration_state", {"integration": "sprig", "state": "running"}, 1),
        ("streamer_integration_state", {"integration": "sprig", "state": "guarded"}, 0),
        (
            "streamer_event_latency_seconds_count",
            {"integration": "sprig", "topic": "surveys", "destination": "production"},
            80,
        ),
        (
            "streamer_event_latency_seconds_bucket",
            {"integration": "sprig", "topic": "surveys", "destination": "production", "le": "0.1"},
            0,
        ),
        ("streamer_drain_eta_seconds", {"integration": "sprig", "topic": "surveys"}, 30),
        ("streamer_topic_filtered_out", {"integration": "sprig", "topic": "surveys"}, 1),
        ("streamer_identified_devices_total", {"integration": "sprig", "result": "known"}, 7),
        ("streamer_identified_devices_total", {"integration": "sprig", "result": "skipped"}, 0),
        ("streamer_limited_seconds_total", {"integration": "sprig", "by": "destination"}, 12.5),
        ("streamer_limited_seconds_total", {"integration": "sprig", "by": "fetch"}, 0),
        ("streamer_commits_total", {"integration": "sprig", "result": "stored"}, 9),
        ("streamer_rebalances_total", {"integration": "sprig", "kind": "revoked"}, 0),
        ("streamer_partition_left_out", {"integration": "sprig", "topic": "surveys", "partition": "0"}, 0),
        ("streamer_partition_left_out", {"integration": "sprig", "topic": "surveys", "partition": "2"}, 1),
        ("streamer_assigned_partitions", {"integration": "sprig", "topic": "surveys"}, 1),
        ("streamer_receipts_entries", {"integration": "sprig"}, 80),
        ("streamer_receipts_topic_available", {"integration": "sprig"}, 1),
        ("streamer_receipts_topic_behind_records", {"integration": "sprig"}, 5),
        ("streamer_receipts_restored_total", {"integration": "sprig"}, 60),
        ("streamer_receipts_unshared_total", {"integration": "sprig"}, 2),
        ("streamer_destination_state", {**DESTINATION, "state": "held"}, 1),
        ("streamer_destination_state", {**DESTINATION, "state": "ok"}, 0),
        ("streamer_concurrency_in_use", DESTINATION, 2),
        ("streamer_batches_total", {**DESTINATION, "result": "delivered"}, 1),
        ("streamer_batches_total", {**DESTINATION, "result": "retried"}, 1),
        ("streamer_batches_total", {**DESTINATION, "result": "split"}, 1),
        ("streamer_batches_total", {**DESTINATION, "result": "refused"}, 1),
        ("streamer_http_requests_total", {**DESTINATION, "status": "400"}, 2),
        ("streamer_http_requests_total", {**DESTINATION, "status": "503"}, 0),
        ("streamer_http_retries_total", {**DESTINATION, "reason": "429"}, 1),
        ("streamer_http_request_duration_seconds_bucket", {**DESTINATION, "le": "+Inf"}, 4),
        ("streamer_retry_after_seconds_sum", DESTINATION, 5),
        ("streamer_batch_calls_sum", DESTINATION, 76),
        ("streamer_records_consumed_total", CALLS, 10),
        ("streamer_records_unaccounted", CALLS, 0),
        ("streamer_consumer_lag", {**CALLS, "group": "streamer.inbound"}, 5),
        ("streamer_integration_state", {"integration": "inbound", "state": "running"}, 1),
        ("streamer_commits_total", {"integration": "inbound", "result": "stored"}, 3),
        ("streamer_webhook_requests_total", {"webhook": "production", "result": "accepted"}, 4),
        ("streamer_webhook_requests_total", {"webhook": "production", "result": "busy"}, 0),
        ("streamer_webhook_request_duration_seconds_count", {"webhook": "production"}, 4),
        ("streamer_webhook_calls_total", {"webhook": "production", "authenticated": "true"}, 4),
        ("streamer_inbound_calls_total", {**TYPE, "outcome": "applied", "reason": ""}, 6),
        ("streamer_inbound_calls_total", {**TYPE, "outcome": "ignored", "reason": "stale"}, 3),
        ("streamer_inbound_remarks_total", {"remark": "email_conflict"}, 2),
        ("streamer_inbound_remarks_total", {"remark": "alias_merge"}, 0),
        ("streamer_directory_users", {}, 12),
        ("streamer_directory_devices", {}, 34),
        ("streamer_directory_up", {}, 1),
        ("streamer_directory_transaction_duration_seconds_count", {}, 2),
        ("streamer_outbox_records", {}, 7),
        ("streamer_outbox_skipped_total", {}, 1),
    ],
)
def test_a_number_of_the_status_is_under_its_name(
    samples: Samples, name: str, labels: dict[str, str], value: float
) -> None:
    assert samples[name, frozenset(labels.items())] == value


def test_series_of_a_lag_end_with_the_assignment_and_its_account_stays(samples: Samples) -> None:
    names = {name for name, labels in samples if ("partition", "1") in labels}
    assert "streamer_records_consumed_total" in names
    assert not any("lag" in name or "parked" in name or "unread" in name for name in names)


@pytest.mark.parametrize("series", [*OF_PARTITION, *OF_DELIVERED_PARTITION], ids=lambda series: series.name)
def test_a_series_that_ends_with_the_assignment_says_so(service: ToldService, series: Series[Partition]) -> None:
    integration = service.told.integrations[0]
    unassigned = Partition(integration, integration.partitions[1], now=0.0)
    assert (series.read(unassigned) is None) is series.exists.startswith("while the partition is assigned")


@pytest.mark.parametrize("series", [*OF_CONSUMER, *OF_INTEGRATION], ids=lambda series: series.name)
def test_a_series_that_an_integration_does_not_have_from_the_start_says_so(series: Series[IntegrationStatus]) -> None:
    nothing_yet = IntegrationStatus(
        name="sprig",
        dialect="sprig",
        group="streamer.sprig",
        destination="production",
        state=IntegrationState.STARTING,
        topics=("surveys",),
        commits={"stored": 0},
        rebalances={"assigned": 0},
        latency_seconds={"surveys": Histogram(LATENCY_SECONDS)},
        receipts=ReceiptsStatus(is_available=True, entries=0, bytes=0, shrunk_total=0),
    )
    assert (series.read(nothing_yet) == {}) is bool(series.exists)


def test_the_outcomes_of_calls_have_one_metric_only(samples: Samples) -> None:
    """Otherwise a sum over all integrations would count calls of the way back as deliveries."""
    delivered = {series.name for series in OF_DELIVERED_PARTITION}
    assert not [name for name, labels in samples if name in delivered and ("integration", "inbound") in labels]


@pytest.mark.parametrize("series", OF_INBOUND, ids=lambda series: series.name)
def test_a_half_of_the_way_back_that_another_process_does_has_no_series(series: Series[Inbound]) -> None:
    nothing = InboundStatus(environment=None, consumer=None, directory=None)
    assert not series.read(Inbound(nothing, 0.0))


def test_each_metric_explains_itself_and_keeps_the_rules_of_prometheus(service: ToldService) -> None:
    body, _ = Metrics(service.status).render("")
    for family in parse_text(body.decode()):
        assert family.documentation, family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name), family.name


def test_counters_and_only_counters_end_in_total() -> None:
    catalogue: list[Series[Any]] = [
        *OF_SERVICE,
        *OF_PARTITION,
        *OF_DELIVERED_PARTITION,
        *OF_CONSUMER,
        *OF_INTEGRATION,
        *OF_DESTINATION,
        *OF_INBOUND,
    ]
    for series in catalogue:
        assert series.name.startswith("streamer_")
        assert series.name.endswith("_total") is (series.kind is Kind.COUNTER), series.name


def test_openmetrics_is_served_when_it_is_asked_for(service: ToldService) -> None:
    body, content_type = Metrics(service.status).render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
    assert any(family.name == "streamer_records_consumed" for family in families)
    assert Metrics(service.status).render("*/*")[1].startswith("text/plain")


def test_the_process_itself_is_measured(samples: Samples) -> None:
    assert samples["process_resident_memory_bytes", frozenset()] > 0


def test_what_does_not_add_up_shows(service: ToldService) -> None:
    partition = service.told.integrations[0].partitions[0]
    partition.account.delivered -= 1
    assert partition.unaccounted == 1


def test_an_account_adds_up_at_every_step() -> None:
    account = Account()
    account.consumed = 5
    assert account.unaccounted(in_flight=5) == 0
    account.delivered, account.duplicate = 2, 1
    assert (account.settled, account.unaccounted(in_flight=2)) == (3, 0)


def test_a_histogram_counts_each_value_once_at_or_below_its_bound() -> None:
    histogram = Histogram((1.0, 10.0))
    for value, count in ((0.5, 1), (1.0, 2), (5.0, 3), (11.0, 4)):
        histogram.observe(value, count)
    assert histogram.cumulative() == [(1.0, 3), (10.0, 6), (float("inf"), 10)]
    assert (histogram.count, histogram.sum) == (10, 61.5)
    assert [histogram.quantile(share) for share in (0.3, 0.5, 0.99)] == [1.0, 10.0, float("inf")]
    assert Histogram((1.0,)).quantile(0.5) is None


def test_every_batch_result_is_a_known_one() -> None:
    assert {result.value for result in BatchResult} == {"delivered", "retried", "split", "refused"}
