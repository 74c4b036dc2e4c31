"""Where spans go: to a real receiver of OTLP, and nowhere without harm to anything."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from streamer.tracing import configured, switch_of, tracer
from streamer.tracing.exporting import ExportingTracer, LibraryLines
from streamer.tracing.spans import using
from streamer.tracing.switch import Switch, shown_url
from tests.doubles.collector import Collector, collecting
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, TOPIC, eventually
from tests.service.harness import survey_event, survey_events

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PRODUCER: Final = (("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()),)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    yield engine
    engine.receipts.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """As the service does it."""
    with configured(switch_of(os.environ), {"surveys": GROUP}, lambda: False):
        yield


async def test_a_collector_gets_the_spans_with_their_links_and_the_name_of_the_service(
    engine: Delivering, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    engine.cluster.append(TOPIC, [survey_event("evt_1")], headers=PRODUCER)
    with capture_logs() as lines, traced():
        async with engine.running(engine.deliver):
            await engine.settled(1)
    assert (collector.paths, set(collector.headers)) == ({"/v1/traces"}, {"hunter2"})
    assert {span.name for span in collector.spans} >= {f"poll {TOPIC}", f"deliver {TOPIC}", f"commit {TOPIC}"}
    [delivery] = [span for span in collector.spans if span.name == f"deliver {TOPIC}"]
    assert [link.trace_id.hex() for link in delivery.links] == [TRACE]
    resource = {a.key: a.value.string_value for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "streamer"
    assert resource["deployment.environment.name"] == "staging"
    [started] = [line for line in lines if line["event"] == "traces.started"]
    assert started["endpoint"] == f"{collector.url}/v1/traces"
    assert "hunter2" not in str(lines)
    delivered = next(line for line in lines if line["event"] == "batch.delivered")
    assert (delivered["trace_id"], delivered["span_id"]) == (delivery.trace_id.hex(), delivery.span_id.hex())


async def test_a_service_may_have_another_name(
    engine: Delivering, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "streamer-eu")
    engine.cluster.append(TOPIC, [survey_event("evt_1")])
    with traced():
        async with engine.running(engine.deliver):
            await engine.settled(1)
    resource = {a.key: a.value.string_value for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "streamer-eu"


async def test_a_collector_that_is_away_costs_one_line_and_no_event(
    engine: Delivering, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with capture_logs() as lines, traced():
        async with engine.running(engine.deliver):
            for number in range(3):
                engine.cluster.append(TOPIC, survey_events(5, f"round{number}"))
                await engine.settled(5 * (number + 1))
                failed = tracer().counts()["failed"]
                await eventually(lambda before=failed: tracer().counts()["failed"] > before or before)  # type: ignore[misc]
                tracer().tell()
            collector.status = 200
            engine.cluster.append(TOPIC, survey_events(5, "last"))
            await engine.settled(20)
            await eventually(lambda: tracer().counts()["exported"])
            tracer().tell()
    assert len(engine.receiver.taken) == 20
    [lost] = [line for line in lines if line["event"] == "traces.lost"]
    assert lost["detail"] == "the collector answered with HTTP status 400"
    assert lost["spans"] > 0
    assert [line["event"] for line in lines if line["event"].startswith("traces.")] == [
        "traces.started",
        "traces.lost",
        "traces.resumed",
    ]
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_a_collector_that_never_answers_does_not_keep_the_process_from_ending(
    engine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.tracing.exporting.CLOSE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        engine.cluster.append(TOPIC, survey_events(5))
        with capture_logs() as lines, contextlib.ExitStack() as stack:
            stack.enter_context(traced())
            async with engine.running(engine.deliver):
                await engine.settled(5)
            began = time.monotonic()
            await asyncio.to_thread(stack.close)
        assert time.monotonic() - began < 8
    [lost] = [line for line in lines if line["event"] == "traces.lost"]
    assert lost["spans"] >= 3, "a poll, a batch and a commit"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (("Failed to export %s batch code: %s, reason: %s", "spans", 503, "hunter2"), "answered with HTTP status 503"),
        (
            ("Transient error %s, retrying in %.2fs.", ConnectionError("hunter2"), 1.5),
            "cannot be reached (ConnectionErr",
        ),
        (("retry %d of %d: %s", 2, 6, "hunter2"), ""),
    ],
)
def test_of_a_line_of_the_library_only_the_cause_is_kept(line: tuple[Any, ...], cause: str) -> None:
    lines = LibraryLines()
    lines.attach()
    logging.getLogger("opentelemetry.exporter").warning(*line)
    lines.detach()
    assert cause in lines.cause
    assert bool(cause) is bool(lines.cause)
    assert "hunter2" not in lines.cause


class Stuck(SpanExporter):
    """Hangs until a test lets it go."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.is_asked = threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        del spans
        self.is_asked.set()
        self.may_go.wait(20)
        return SpanExportResult.SUCCESS


def opened(exporter: SpanExporter, max_spans: int = 2_048) -> ExportingTracer:
    lines = LibraryLines()
    lines.attach()
    return ExportingTracer(exporter, {}, lines, max_spans=max_spans)


def test_spans_that_wait_are_bounded_and_the_others_are_counted() -> None:
    exporter = Stuck()
    with using(opened(exporter, max_spans=10)):
        tracer().polled("surveys", {(TOPIC, 0): [b""]}, time.time())  # type: ignore[list-item]
        assert exporter.is_asked.wait(20)
        for _ in range(50):
            tracer().polled("surveys", {(TOPIC, 0): [b""]}, time.time())  # type: ignore[list-item]
        assert tracer().counts() == {"exported": 0, "failed": 0, "dropped": 40}
        exporter.may_go.set()


def test_a_process_that_must_end_at_once_does_not_wait_for_its_spans() -> None:
    exporter = Stuck()
    began = time.monotonic()
    with using(opened(exporter), lambda: True):
        tracer().polled("surveys", {(TOPIC, 0): [b""]}, time.time())  # type: ignore[list-item]
        assert exporter.is_asked.wait(20)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    exporter.may_go.set()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key: hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ("OTEL_TRACES_SAMPLER", "hunter2"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "hunter2"),
    ],
)
def test_a_value_that_opentelemetry_does_not_take_is_told_and_not_quoted(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv(variable, value)
    with capture_logs() as lines, traced():
        pass
    assert [line["log_level"] for line in lines if line["event"] == "traces.misconfigured"] == ["warning"]
    assert "hunter2" not in str(lines) + caplog.text


ENDPOINT: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
ON: Final = Switch(is_on=True, endpoint="http://collector:4318/v1/traces")
OFF: Final = Switch(is_on=False)


@pytest.mark.parametrize(
    ("environment", "switch"),
    [
        ({}, OFF),
        (ENDPOINT, ON),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, ON),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, ON),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "otlp"}, ON),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, OFF),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, OFF),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], switch: Switch) -> None:
    assert switch_of(environment) == switch


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "unix:///run/hunter2"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"},
    ],
)
def test_what_cannot_be_done_is_said(variables: dict[str, str]) -> None:
    switch = switch_of(variables)
    assert not switch.is_on
    assert switch.problem.startswith("no traces are sent: OTEL_")
    assert "hunter2" not in switch.problem


def test_without_the_extra_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert switch_of(ENDPOINT).problem.endswith("install survey-streamer[otel]")
    assert not switch_of({}).problem


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter2@host:4318/v1/traces?key=hunter2#x", "https://REDACTED:REDACTED@host:4318/v1/traces"),
        ("http://[::1]:4318/v1", "http://[::1]:4318/v1"),
        ("http://host:port", ""),
        ("http://", ""),
        ("ftp://host", ""),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
