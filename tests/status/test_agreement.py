"""`/metrics`, `/status` and the snapshot tell the same numbers: who looks at two of them must not see two truths."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.status.document import document_of
from streamer.status.metrics import Metrics
from tests.status.conftest import ToldService

Labels = frozenset[tuple[str, str]]


@pytest.fixture
def document(service: ToldService) -> Any:
    return document_of(service.told, now=time.time(), monotonic_now=time.monotonic())


@pytest.fixture
def metrics(service: ToldService) -> Mapping[str, Mapping[Labels, float]]:
    """By name and labels."""
    body, _ = Metrics(service.status).render("")
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def partitions(document: Any) -> Iterator[tuple[dict[str, str], Any]]:
    """Each partition in the document, with the labels that it has in metrics."""
    consumers = {**document["integrations"], "inbound": document["inbound"]}
    for name, consumer in consumers.items():
        for partition in consumer["partitions"]:
            place = {"topic": partition["topic"], "partition": str(partition["partition"])}
            yield {"integration": name, **place}, partition


def sums(series: Mapping[Labels, float], labels: Mapping[str, str]) -> float:
    return sum(value for own, value in series.items() if labels.items() <= dict(own).items())


@pytest.mark.parametrize(
    ("metric", "term"),
    [
        ("streamer_records_consumed_total", "consumed"),
        ("streamer_records_delivered_total", "delivered"),
        ("streamer_records_duplicate_total", "duplicate"),
        ("streamer_records_handed_back_total", "handed_back"),
        ("streamer_records_known_settled_total", "known_settled"),
        ("streamer_records_in_flight", "in_flight"),
        ("streamer_records_unaccounted", "unaccounted"),
        ("streamer_records_filtered_total", "filtered"),
        ("streamer_records_dead_lettered_total", "dead_lettered"),
        ("streamer_records_lost_total", "lost"),
    ],
)
def test_accounts_agree(
    service: ToldService, document: Any, metrics: Mapping[str, Mapping[Labels, float]], metric: str, term: str
) -> None:
    accounts = {
        (consumer.name, partition.topic, partition.partition): partition
        for consumer in service.told.consumers
        for partition in consumer.partitions
    }
    compared = 0
    for labels, partition in partitions(document):
        told = partition["account"].get(term)
        if told is None or (labels["integration"] == "inbound" and term in {"filtered", "delivered", "duplicate"}):
            continue  # the way back has other words for these
        told = sum(told.values()) if isinstance(told, dict) else told
        known = accounts[labels["integration"], labels["topic"], int(labels["partition"])]
        fact = getattr(known, term) if hasattr(known, term) else getattr(known.account, term)
        assert told == (fact if isinstance(fact, int) else fact.total())
        assert sums(metrics[metric], labels) == told
        compared += 1
    assert compared


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        ("streamer_consumer_lag", "lag"),
        ("streamer_records_parked", "parked"),
        ("streamer_retention_headroom_seconds", "retention_headroom_seconds"),
    ],
)
def test_partitions_agree(
    document: Any, metrics: Mapping[str, Mapping[Labels, float]], metric: str, field: str
) -> None:
    for labels, partition in partitions(document):
        told = partition.get(field)
        series = {own: value for own, value in metrics.get(metric, {}).items() if labels.items() <= dict(own).items()}
        assert list(series.values()) == ([] if told is None else [told])


def test_destinations_agree(service: ToldService, document: Any, metrics: Mapping[str, Mapping[Labels, float]]) -> None:
    for status in service.told.destinations:
        told, labels = document["destinations"][status.name], {"destination": status.name}
        assert sum(told["requests"].values()) == status.requests.total()
        assert sums(metrics["streamer_http_requests_total"], labels) == status.requests.total()
        assert sums(metrics["streamer_batches_total"], labels) == sum(told["batches"].values())
        assert sums(metrics["streamer_concurrency_in_use"], labels) == told["in_flight"] == status.in_flight
        assert sums(metrics["streamer_concurrency_limit"], labels) == told["limit"] == status.limit
        [state] = [
            dict(own)["state"]
            for own, value in metrics["streamer_destination_state"].items()
            if value == 1 and labels.items() <= dict(own).items()
        ]
        assert state == told["state"] == status.state


def test_integrations_agree(service: ToldService, document: Any, metrics: Mapping[str, Mapping[Labels, float]]) -> None:
    for status in service.told.integrations:
        told, labels = document["integrations"][status.name], {"integration": status.name}
        assert sums(metrics["streamer_pipeline_restarts_total"], labels) == told["restarts"] == status.restarts
        assert sums(metrics["streamer_buffer_records"], labels) == told["buffer"]["records"]
        assert sums(metrics["streamer_consumer_lag"], labels) == told["lag"] == status.lag
