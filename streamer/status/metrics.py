"""Metrics for Prometheus, made from a snapshot of the status at every scrape.

The hot path only changes plain numbers; Prometheus' own objects exist while a scrape is answered. All metrics are
listed in `streamer.status.metric_catalogue`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamer.status import ConsumerStatus, ServiceStatus
from streamer.status.histogram import Histogram
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
from streamer.status.series import Kind, Reading, Series, Subject

_FAMILIES: Final = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}

Labelled = list[tuple[tuple[str, ...], Subject]]
"""Subjects with the values of their labels."""


class Metrics:
    """Answers scrapes from the snapshots that ``status`` returns."""

    def __init__(self, status: Callable[[], ServiceStatus]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StatusCollector(status))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body of an answer and its content type: OpenMetrics if the ``Accept`` header asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], ServiceStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return ()  # called when the collector is registered, which may be before there is a status

    def collect(self) -> Iterator[Metric]:
        status, now = self._status(), time.time()
        yield from _metrics((), OF_SERVICE, [((), status)])
        consumers: list[ConsumerStatus] = [*status.integrations]
        if status.inbound is not None and status.inbound.consumer is not None:
            consumers.append(status.inbound.consumer)
        of_partition = ("integration", "topic", "partition")
        yield from _metrics(of_partition, OF_PARTITION, _partitions(consumers, now))
        yield from _metrics(of_partition, OF_DELIVERED_PARTITION, _partitions(status.integrations, now))
        yield from _metrics(("integration",), OF_CONSUMER, [((consumer.name,), consumer) for consumer in consumers])
        yield from _metrics(
            ("integration",),
            OF_INTEGRATION,
            [((integration.name,), integration) for integration in status.integrations],
        )
        yield from _metrics(
            ("destination",),
            OF_DESTINATION,
            [((destination.name,), destination) for destination in status.destinations],
        )
        if status.inbound is not None:
            yield from _metrics((), OF_INBOUND, [((), Inbound(status.inbound, now))])


def _partitions(consumers: Sequence[ConsumerStatus], now: float) -> Labelled[Partition]:
    return [
        ((consumer.name, partition.topic, str(partition.partition)), Partition(consumer, partition, now))
        for consumer in consumers
        for partition in consumer.partitions
    ]


def _metrics(
    labels: tuple[str, ...], catalogue: tuple[Series[Subject], ...], subjects: Labelled[Subject]
) -> Iterator[Metric]:
    for series in catalogue:
        family = _FAMILIES[series.kind](series.name, series.documentation, labels=[*labels, *series.labels])
        for values, subject in subjects:
            _add(family, values, series.read(subject))
        yield family


def _add(
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily,
    values: tuple[str, ...],
    reading: Reading,
) -> None:
    if reading is None:
        return
    if isinstance(reading, Mapping):
        for own, value in reading.items():
            _add(family, (*values, *((own,) if isinstance(own, str) else own)), value)
    elif isinstance(reading, Histogram):
        assert isinstance(family, HistogramMetricFamily)
        buckets = [(_bound(bound), float(count)) for bound, count in reading.cumulative()]
        family.add_metric(values, buckets, reading.sum)
    else:
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric(values, float(reading))


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
