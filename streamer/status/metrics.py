"""Metrics for Prometheus, made from a snapshot of the status at every scrape.

The hot path only changes plain numbers. All metrics are listed in `streamer.status.metric_catalogue`; the ones of the
process and of Python itself come from the Prometheus client.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from streamer.status import ConsumerStatus, ServiceStatus
from streamer.status.exposition import Exposition, Labelled, labels_text
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

_OPEN_METRICS: Final = "application/openmetrics-text"

_OF_PARTITION: Final = ("integration", "topic", "partition")


class Metrics:
    """Answers scrapes from the snapshots that ``status`` returns."""

    def __init__(self, status: Callable[[], ServiceStatus]) -> None:
        self._status = status
        self._of_process = CollectorRegistry()
        ProcessCollector(registry=self._of_process)
        PlatformCollector(registry=self._of_process)
        GCCollector(registry=self._of_process)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body of an answer and its content type: OpenMetrics if the ``Accept`` header asks for it."""
        is_open_metrics = choose_encoder(accept)[1].startswith(_OPEN_METRICS)
        encode, content_type = choose_encoder(_OPEN_METRICS if is_open_metrics else "")
        exposition = Exposition(is_open_metrics=is_open_metrics)
        _write(exposition, self._status(), time.time())
        return bytes(exposition) + encode(self._of_process), content_type


def _write(exposition: Exposition, status: ServiceStatus, now: float) -> None:
    exposition.add(OF_SERVICE, [("", status)])
    consumers: list[ConsumerStatus] = [*status.integrations]
    if status.inbound is not None and status.inbound.consumer is not None:
        consumers.append(status.inbound.consumer)
    exposition.add(OF_PARTITION, _partitions(consumers, now))
    exposition.add(OF_DELIVERED_PARTITION, _partitions(status.integrations, now))
    exposition.add(OF_CONSUMER, [(labels_text(("integration",), (one.name,)), one) for one in consumers])
    exposition.add(OF_INTEGRATION, [(labels_text(("integration",), (one.name,)), one) for one in status.integrations])
    exposition.add(OF_DESTINATION, [(labels_text(("destination",), (one.name,)), one) for one in status.destinations])
    if status.inbound is not None:
        exposition.add(OF_INBOUND, [("", Inbound(status.inbound, now))])


def _partitions(consumers: Sequence[ConsumerStatus], now: float) -> Labelled[Partition]:
    return [
        (
            labels_text(_OF_PARTITION, (consumer.name, partition.topic, str(partition.partition))),
            Partition(consumer, partition, now),
        )
        for consumer in consumers
        for partition in consumer.partitions
    ]
