"""Scrapes as Prometheus makes them: complete from the start, valid, and cheap."""

import asyncio
import contextlib
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from streamer.devkit.docs.metrics import VALUES
from streamer.kafka import TopicPartition
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.runner import Runner
from streamer.pipeline.showing import consumer_status
from streamer.pipeline.subscription import Subscription
from streamer.service import Service
from streamer.service_view import ServiceView
from streamer.settings import Settings
from streamer.status import IntegrationState, IntegrationStatus, ServiceStatus
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.status.inbound_metrics import OF_INBOUND
from streamer.status.metric_catalogue import OF_CONSUMER, OF_DESTINATION, OF_INTEGRATION, OF_SERVICE
from streamer.status.metrics import Metrics
from streamer.status.series import Series
from tests.doubles.kafka import MemoryBrokers, MemoryCluster
from tests.pipeline.engine import AT_ONCE, HandWorker, eventually
from tests.promtool import PROMTOOL, needs_promtool

OPEN_METRICS: Final = "application/openmetrics-text;version=1.0.0"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"

MAX_SCRAPE_SECONDS: Final = 0.020
SCRAPES: Final = 20
"""The cheapest one counts, and only the time in which it had a core: other programs have their turns, too."""


ALL: Final[tuple[Series[Any], ...]] = (*OF_SERVICE, *OF_CONSUMER, *OF_INTEGRATION, *OF_DESTINATION, *OF_INBOUND)
FROM_THE_START: Final = [
    series
    for series in ALL
    if not re.search(
        "while its lag|once they|once the brokers|can be asked|first such|while an operator|while traces"
        "|control groups",
        series.exists,
    )
]


class ToldService(Protocol):
    told: ServiceStatus

    def status(self) -> ServiceStatus: ...


@pytest.fixture
def unconnected(tmp_path: Path) -> Iterator[Service]:
    """A service with every feature, before it runs."""
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "memory:1"},
            "state_dir": tmp_path,
            "receipts": {"topic": "receipts"},
            "directory": {"url": f"sqlite:///{tmp_path}/directory.db"},
            "destinations": {"local": {"write_key": "key", "endpoint": "http://127.0.0.1:1"}},
            "integrations": {
                "surveys": {
                    "dialect": "sprig",
                    "destination": "local",
                    "topics": ["answers", "more"],
                    "identify_devices": True,
                }
            },
            "inbound": {"listen": {"port": 0}, "webhooks": {"production": {"secrets": ["s"]}}},
        }
    )
    service = Service(settings)
    yield service
    service.integrations["surveys"].receipts.close()


def samples_of(service: Service) -> list[Sample]:
    body, _ = Metrics(ServiceView(service).status).render("")
    return [sample for family in parse_text(body.decode()) for sample in family.samples]


@pytest.mark.parametrize("series", FROM_THE_START, ids=lambda series: series.name)
def test_a_series_exists_before_anything_is_connected(unconnected: Service, series: Series[Any]) -> None:
    """So that an alert on the first occurrence sees a step from 0."""
    found = [sample for sample in samples_of(unconnected) if sample.name.startswith(series.name)]
    assert found
    for label in series.labels:
        missing = {str(value) for value in VALUES.get((series.name, label), ())} - {s.labels[label] for s in found}
        assert not missing, label
    if "topic" in series.labels:
        assert {sample.labels["topic"] for sample in found if sample.labels["integration"] == "surveys"} == {
            "answers",
            "more",
        }


def test_files_that_are_read_again_are_counted(unconnected: Service) -> None:
    destination = unconnected.destinations["local"]
    destination.reread_credentials()
    assert _reloads(unconnected) == {"applied": 0, "failed": 0}, "it is the same as before"
    object.__setattr__(destination.settings, "write_key", None)
    object.__setattr__(destination.settings, "write_key_file", Path("/does/not/exist"))
    destination.reread_credentials()
    assert _reloads(unconnected) == {"applied": 0, "failed": 1}


def _reloads(service: Service) -> dict[str, float]:
    return {s.labels["result"]: s.value for s in samples_of(service) if s.name == "streamer_config_reloads_total"}


@needs_promtool
def test_promtool_finds_nothing_to_object_to(service: ToldService) -> None:
    assert PROMTOOL is not None
    body, _ = Metrics(service.status).render("")
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False)
    complaints = [line for line in (checked.stdout + checked.stderr).decode().splitlines() if "streamer_" in line]
    assert (checked.returncode, complaints) == (0, [])


@needs_promtool
def test_prometheus_reads_openmetrics_with_exemplars(service: ToldService, tmp_path: Path) -> None:
    """``promtool check metrics`` knows the older format only; its way to fill a database reads this one."""
    assert PROMTOOL is not None
    service.told.destinations[0].request_seconds.exemplify(0.03, TRACE, 1_700_000_000.5)
    body, _ = Metrics(service.status).render(OPEN_METRICS)
    scrape = tmp_path / "scrape"
    # Samples need a time there; it stands before the exemplar.
    scrape.write_text(re.sub(r"(?m)^([^#\n]*?)( # .*)?$", rf"\1 {time.time():.3f}\2", body.decode().rstrip()) + "\n")
    assert TRACE in scrape.read_text()
    command = [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", str(scrape), str(tmp_path / "blocks")]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


def test_hostile_names_do_not_break_a_scrape(service: ToldService) -> None:
    hostile = 'a"b\\c\nd{e="f"} 1 #'
    integration = replace(service.told.integrations[0], name=hostile, latency_seconds={hostile: Histogram((1.0,))})
    service.told = replace(service.told, integrations=[integration])
    text, _ = Metrics(service.status).render("")
    open_metrics, _ = Metrics(service.status).render(OPEN_METRICS)
    families: list[Metric] = [
        *parse_text(text.decode()),
        *parse_openmetrics(open_metrics.decode()),  # type: ignore[no-untyped-call]
    ]
    names = {s.labels["integration"] for family in families for s in family.samples if "integration" in s.labels}
    assert names == {hostile, "inbound"}


def test_openmetrics_names_the_trace_of_the_latest_value_of_a_bucket(service: ToldService) -> None:
    latency = Histogram(LATENCY_SECONDS)
    for value, trace in ((0.06, "0" * 31 + "1"), (0.07, TRACE), (400.0, TRACE)):
        latency.observe(value)
        latency.exemplify(value, trace, at=1_700_000_000.5)
    integration = replace(service.told.integrations[0], latency_seconds={"surveys": latency})
    service.told = replace(service.told, integrations=[integration])
    body, _ = Metrics(service.status).render(OPEN_METRICS)
    exemplars = {
        sample.labels["le"]: sample.exemplar
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {le: (found.labels, found.value, float(found.timestamp)) for le, found in exemplars.items()} == {
        "0.075": ({"trace_id": TRACE}, 0.07, 1_700_000_000.5),
        "3600.0": ({"trace_id": TRACE}, 400.0, 1_700_000_000.5),
    }
    assert TRACE not in Metrics(service.status).render("")[0].decode(), "the older format has no exemplars"


@contextlib.asynccontextmanager
async def running(directory: Path, cluster: MemoryCluster, name: str, partitions: int) -> AsyncIterator[Runner]:
    cluster.create(name, partitions)
    cluster.create(f"{name}.dlq", 1)
    subscription = Subscription(
        name=name,
        group_id=f"streamer.{name}",
        topics=(name,),
        start="earliest",
        dead_letter_topics={name: f"{name}.dlq"},
        destination="production",
        max_open_records=1_000,
        max_open_bytes=1 << 20,
        max_ratio=0.5,
        is_paused=False,
        create_topics=False,
        rebalance_timeout_seconds=30.0,
    )
    runner = Runner(
        subscription,
        new_brokers=lambda: MemoryBrokers(cluster),
        make_worker=HandWorker,
        guard_memory=GuardMemory(directory / name, fingerprint="f"),
        timings=AT_ONCE,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    await eventually(lambda: runner.pipeline is not None and len(runner.pipeline.assignment.ledgers) == partitions)
    yield runner
    stop.set()
    await task


async def test_a_scrape_of_a_hundred_partitions_takes_less_than_20_ms(service: ToldService, tmp_path: Path) -> None:
    cluster = MemoryCluster()
    template = service.told.integrations[0]
    own = {field.name: getattr(template, field.name) for field in fields(IntegrationStatus)}
    async with contextlib.AsyncExitStack() as stack:
        names = [f"integration{number}" for number in range(4)]
        runners = [await stack.enter_async_context(running(tmp_path, cluster, name, 25)) for name in names]
        await eventually(lambda: all(known(runner) for runner in runners))

        def status() -> ServiceStatus:
            consumers = [consumer_status(runner, IntegrationState.RUNNING) for runner in runners]
            shared = [
                {field.name: getattr(consumer, field.name) for field in fields(consumer)} for consumer in consumers
            ]
            return replace(service.told, integrations=[IntegrationStatus(**(own | one)) for one in shared])

        metrics = Metrics(status)
        for accept in ("", OPEN_METRICS):
            assert min(seconds_of(metrics, accept) for _ in range(SCRAPES)) < MAX_SCRAPE_SECONDS
        body, _ = metrics.render("")
    assert body.count(b"streamer_consumer_lag{") == 101, "one more is the way back's"


def known(runner: Runner) -> bool:
    """Whether it is known of every partition where it ends."""
    pipeline = runner.pipeline
    assert pipeline is not None
    places: list[TopicPartition] = list(pipeline.assignment.ledgers)
    return all(pipeline.asker.ends(place, time.monotonic()) is not None for place in places)


def seconds_of(metrics: Metrics, accept: str) -> float:
    began = time.thread_time()
    metrics.render(accept)
    return time.thread_time() - began
