"""What is shown of a partition whose end nobody tells: nothing, and since when; never 0."""

import dataclasses
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.status import AssignedPartition, ServiceStatus
from streamer.status.document import document_of
from streamer.status.metrics import Metrics
from tests.status.conftest import NOW, ToldService

UNKNOWN = {"high_watermark": None, "oldest_waiting_at": None, "ends_known_at": NOW - 40}


def with_partition(told: ServiceStatus, **changes: Any) -> ServiceStatus:
    """The status with another assigned partition."""
    [integration] = told.integrations
    ours, *others = integration.partitions
    assert ours.assigned is not None
    changed = dataclasses.replace(ours, assigned=dataclasses.replace(ours.assigned, **changes))
    return dataclasses.replace(
        told,
        inbound=None,
        integrations=[
            dataclasses.replace(
                integration, partitions=[changed, *others], drain_eta_seconds={}, kafka_silent_seconds=40.0
            )
        ],
    )


def names_in(told: ServiceStatus) -> set[str]:
    """The names of all series."""
    body, _ = Metrics(lambda: told).render("")
    return {sample.name for family in text_string_to_metric_families(body.decode()) for sample in family.samples}


def test_a_lag_that_is_not_known_has_no_series(service: ToldService) -> None:
    names = names_in(with_partition(service.told, **UNKNOWN))
    assert not names & {"streamer_consumer_lag", "streamer_consumer_lag_seconds", "streamer_drain_eta_seconds"}
    assert "streamer_partition_end_known_timestamp_seconds" in names


def test_the_document_says_null_and_since_when(service: ToldService) -> None:
    document = document_of(with_partition(service.told, **UNKNOWN), now=NOW, monotonic_now=0.0)
    integration = document["integrations"]["sprig"]
    [ours, *_] = integration["partitions"]
    assert (integration["lag"], integration["lag_seconds"], integration["drain_eta_seconds"]) == (None, None, {})
    assert (ours["lag"], ours["lag_seconds"]) == (None, None)
    assert ours["ends_known_at"] is not None
    assert ours["ends_known_at"] == integration["kafka_silent_since"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"oldest_waiting_at": NOW - 12}, 12.0),
        ({"oldest_waiting_at": NOW - 12, "high_watermark": None}, 12.0),
        ({"oldest_waiting_at": None, "high_watermark": 200}, 0.0),
        ({"oldest_waiting_at": None, "high_watermark": 201}, None),
        ({"oldest_waiting_at": None, "high_watermark": None}, None),
    ],
    ids=["one waits", "one is open, whatever the brokers say", "none waits", "one that was not looked at", "not known"],
)
def test_the_age_of_what_waits(service: ToldService, changes: dict[str, Any], expected: float | None) -> None:
    """Reading stands at 200."""
    partition = service.told.integrations[0].partitions[0].assigned
    assert isinstance(partition, AssignedPartition)
    assert dataclasses.replace(partition, **changes).lag_seconds(NOW) == expected
