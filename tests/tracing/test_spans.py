"""Which spans there are, what is in them, and how they belong together: the engine on doubles, spans in memory."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from structlog.testing import capture_logs

from streamer.core.pushing.request import ApiRequest
from streamer.destinations import Destination
from streamer.destinations.segment import SegmentClient
from streamer.tracing import tracer
from streamer.tracing.exporting import ExportingTracer, LibraryLines
from streamer.tracing.open_telemetry import MAX_LINKS
from streamer.tracing.spans import using
from tests.doubles.destination import ACCEPTED, status
from tests.doubles.kafka import MemoryRecord
from tests.inbound.engine import InboundEngine, call
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, LETTERS, TOPIC, eventually
from tests.service.harness import survey_event, survey_events

Headers = tuple[tuple[str, bytes | None], ...]

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY: Final = b"the key of a person"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    yield engine
    engine.receipts.close()


def context_of(number: int, trace: str = TRACE) -> Headers:
    """The headers of a producer who traces."""
    return (("traceparent", f"00-{trace}-{number:016x}-01".encode()), ("tracestate", b"vendor=1"))


class Recorded:
    """The spans of a test, once its tracer is closed."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    @contextlib.contextmanager
    def on(self, *, has_older_names: bool = False) -> Iterator[None]:
        """Trace while the context lasts."""
        lines = LibraryLines()
        lines.attach()
        with using(ExportingTracer(self.exporter, {"surveys": GROUP}, lines, has_older_names=has_older_names)):
            yield

    def all(self, name: str) -> list[ReadableSpan]:
        """The spans with a name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span with a name."""
        [span] = self.all(name)
        return span


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def test_a_batch_is_one_span_that_links_to_what_its_producers_did(engine: Delivering, recorded: Recorded) -> None:
    engine.destination["batch"] = {"linger": "50ms"}
    engine.target = engine.new_target()
    for number in (1, 2, 2):  # a producer may make several records in one span
        engine.cluster.append(TOPIC, [survey_event(f"evt_{number}")], headers=context_of(number))
    engine.cluster.append(TOPIC, survey_events(2, "untraced"))
    with recorded.on():
        async with engine.running(engine.deliver):
            await engine.settled(5)
    span = recorded.one(f"deliver {TOPIC}")
    assert span.kind is SpanKind.CONSUMER
    assert span.parent is None
    assert [(format_trace_id(link.context.trace_id), link.context.span_id) for link in span.links] == [
        (TRACE, 1),
        (TRACE, 2),
    ]
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": TOPIC,
        "messaging.consumer.group.name": GROUP,
        "messaging.batch.message_count": 4,
        "streamer.integration": "surveys",
        "streamer.batch.contexts": 2,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_the_group_of_an_integration_may_change(engine: Delivering, recorded: Recorded) -> None:
    engine.cluster.append(TOPIC, survey_events(1))
    with recorded.on():
        tracer().regroup({"surveys": "another"})
        async with engine.running(engine.deliver):
            await engine.settled(1)
    span = recorded.one(f"deliver {TOPIC}")
    assert span.attributes is not None
    assert span.attributes["messaging.consumer.group.name"] == "another"


async def test_polls_and_commits_are_spans(engine: Delivering, recorded: Recorded) -> None:
    engine.cluster.append(TOPIC, survey_events(3))
    with recorded.on():
        async with engine.running(engine.deliver):
            await engine.settled(3)
    poll, commit = recorded.one(f"poll {TOPIC}"), recorded.all(f"commit {TOPIC}")[-1]
    assert (poll.kind, commit.kind) == (SpanKind.CLIENT, SpanKind.CLIENT)
    assert poll.attributes is not None
    assert commit.attributes is not None
    assert poll.attributes["messaging.operation.type"] == "receive"
    assert poll.attributes["messaging.batch.message_count"] == 3
    assert commit.attributes["messaging.operation.type"] == "settle"
    assert commit.attributes["messaging.consumer.group.name"] == GROUP


async def test_links_are_capped_and_the_span_says_how_many_there_were(engine: Delivering, recorded: Recorded) -> None:
    engine.destination["batch"] = {"linger": "50ms"}
    engine.target = engine.new_target()
    for number in range(MAX_LINKS + 72):
        engine.cluster.append(TOPIC, [survey_event(f"evt_{number}")], headers=context_of(number + 1))
    with recorded.on():
        async with engine.running(engine.deliver):
            await engine.settled(200)
    span = recorded.one(f"deliver {TOPIC}")
    assert span.attributes is not None
    assert (len(span.links), span.attributes["streamer.batch.contexts"]) == (MAX_LINKS, 200)


async def test_a_single_record_is_named_by_its_place(engine: Delivering, recorded: Recorded) -> None:
    engine.cluster.append(TOPIC, [survey_event("evt_1")])
    with recorded.on(has_older_names=True):
        async with engine.running(engine.deliver):
            await engine.settled(1)
    attributes = recorded.one(f"deliver {TOPIC}").attributes
    assert attributes is not None
    expected = {
        "messaging.destination.partition.id": "0",
        "messaging.kafka.destination.partition": "0",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.offset": 0,
        "messaging.message.id": "evt_1",
        "messaging.operation": "process",
        "messaging.kafka.consumer.group": GROUP,
    }
    assert {name: attributes.get(name) for name in expected} == expected


async def test_a_dead_letter_keeps_its_producers_context_and_its_span_links_to_it(
    engine: Delivering, recorded: Recorded
) -> None:
    engine.cluster.append(TOPIC, [b"not JSON"], headers=context_of(7), key=KEY)
    engine.cluster.append(TOPIC, [b"not JSON either"])
    with recorded.on():
        async with engine.running(engine.deliver):
            await engine.settled(2)
    traced, untraced = (dict(letter.headers) for letter in engine.letters())
    assert (traced["traceparent"], traced["tracestate"]) == (context_of(7)[0][1], b"vendor=1")
    assert "traceparent" not in untraced, "what a redrive brings back has the headers that its producer wrote"
    first, _ = recorded.all(f"send {LETTERS}")
    assert first.kind is SpanKind.PRODUCER
    assert [link.context.span_id for link in first.links] == [7]
    assert first.attributes is not None
    assert first.attributes["streamer.dead_letter.reason"] == "decode_error"
    assert first.attributes["streamer.record.offset"] == 0


def test_a_batch_of_several_topics_names_none_of_them(recorded: Recorded) -> None:
    held = [SimpleNamespace(record=MemoryRecord(name, 0, 0, 0, None, b"{}", ())) for name in ("a", "b")]
    with recorded.on(), tracer().process("deliver", "surveys", held), tracer().commit("surveys", {"a", "b"}):
        pass
    for name in ("deliver", "commit"):
        attributes = recorded.one(name).attributes
        assert attributes is not None
        assert "messaging.destination.name" not in attributes


async def test_a_transaction_of_the_way_back_is_a_span(tmp_path: Path, recorded: Recorded) -> None:
    engine = InboundEngine(tmp_path)
    engine.write(call("m1"), call("m2"))
    with recorded.on():
        async with engine.running():
            await eventually(lambda: engine.committed() == 2)
    span = recorded.one("apply segment.inbound")
    assert span.kind is SpanKind.CONSUMER
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 2


class Api:
    """An HTTP API that answers with these statuses, one after the other, and then accepts."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.headers: list[dict[str, str]] = []
        self.server = TestServer(web.Application())
        self.server.app.router.add_post("/v1/batch", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


async def test_each_attempt_is_a_span_that_its_request_names(engine: Delivering, recorded: Recorded) -> None:
    api = Api(200, 500)
    async with api.server as server:
        engine.destination |= {"endpoint": str(server.make_url("")).rstrip("/"), "retry": {"quick": ["10ms"]}}
        settings = engine.settings().destinations["segment"]
        client = SegmentClient(settings)
        engine.target = Destination("segment", settings, client=client, timings=engine.timings)
        engine.cluster.append(TOPIC, [survey_event("evt_0")])
        with recorded.on(), capture_logs() as lines:
            async with engine.running(engine.deliver):
                await engine.settled(1)
                engine.cluster.append(TOPIC, [survey_event("evt_1")], headers=context_of(1), key=KEY)
                await engine.settled(2)
        await client.close()
    _, failed, accepted = recorded.all("POST")
    _, *deliveries = recorded.all(f"deliver {TOPIC}")
    for attempt, delivery, headers in zip((failed, accepted), deliveries, api.headers[1:], strict=True):
        assert attempt.kind is SpanKind.CLIENT
        assert attempt.parent is not None
        assert delivery.context is not None
        assert attempt.context is not None
        assert attempt.parent.span_id == delivery.context.span_id
        trace, span = format_trace_id(attempt.context.trace_id), format_span_id(attempt.context.span_id)
        assert re.fullmatch(f"00-{trace}-{span}-0[13]", headers["traceparent"])
        assert "tracestate" not in headers
    assert failed.attributes == {
        "http.request.method": "POST",
        "url.full": f"{settings.url}/v1/batch",
        "server.address": "127.0.0.1",
        "server.port": int(settings.url.rpartition(":")[2]),
        "http.response.status_code": 500,
        "error.type": "500",
    }
    assert accepted.attributes is not None
    assert accepted.attributes["http.request.resend_count"] == 1
    assert "error.type" not in accepted.attributes
    assert deliveries[0].attributes is not None
    assert deliveries[0].attributes["error.type"] == "500"
    [retrying] = [line for line in lines if line["event"] == "batch.retrying"]
    assert deliveries[0].context is not None
    assert retrying["trace_id"] == format_trace_id(deliveries[0].context.trace_id)
    assert retrying["span_id"] == format_span_id(deliveries[0].context.span_id)
    assert deliveries[1].context is not None
    examples = [example.trace_id for example in engine.target.status.request_seconds.examples.values()]
    assert format_trace_id(deliveries[1].context.trace_id) in examples


async def test_no_span_holds_a_value_a_key_or_a_secret(engine: Delivering, recorded: Recorded) -> None:
    engine.cluster.append(TOPIC, [*survey_events(3), survey_event("refused"), b"not JSON"], key=KEY)
    engine.receiver.decide = lambda message_ids: status(400) if "refused" in message_ids else ACCEPTED
    with recorded.on():
        async with engine.running(engine.deliver):
            await eventually(lambda: len(engine.letters()) == 2)
        with tracer().commit("surveys", [TOPIC]), tracer().request("GET", "http://me:hunter2@host/p?key=hunter2", 0):
            pass
    told = " ".join(span.to_json() for span in recorded.exporter.get_finished_spans())
    for secret in (KEY.decode(), "streamer_test_key", "not JSON", "user_1", "hunter2"):
        assert secret not in told, secret
    assert ApiRequest("DELETE", "/v1/users/jane", b"").shown_path == "/v1/users/REDACTED"
    assert ApiRequest("POST", "/v2/users", b"").shown_path == "/v2/users"


async def test_what_is_not_sampled_costs_no_look_at_the_records(
    engine: Delivering, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setattr("streamer.tracing.open_telemetry._link", lambda *_: pytest.fail("nobody will see it"))
    engine.cluster.append(TOPIC, [survey_event("evt_1"), b"not JSON"], headers=context_of(1))
    with recorded.on(), capture_logs() as lines:
        async with engine.running(engine.deliver):
            await engine.settled(2)
    assert not recorded.exporter.get_finished_spans()
    assert not any(line.get("trace_id") for line in lines)
    assert not [line for line in lines if line["event"] == "observer.failed"]
    assert not engine.target.status.request_seconds.examples


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"x" * 1_000_000, b"00-1-2-3"],
    ids=["null", "empty", "not UTF-8", "zeros", "a megabyte", "short"],
)
async def test_a_damaged_context_is_no_link_and_harms_nothing(
    engine: Delivering, recorded: Recorded, value: bytes | None
) -> None:
    engine.cluster.append(TOPIC, [survey_event("evt_1")], headers=(("traceparent", value), ("tracestate", b"\xff")))
    with recorded.on(), capture_logs() as lines:
        async with engine.running(engine.deliver):
            await engine.settled(1)
    assert engine.receiver.taken == ["evt_1"]
    assert not recorded.one(f"deliver {TOPIC}").links
    assert not [line for line in lines if line["event"] == "observer.failed"]


async def test_a_tracer_that_fails_does_not_hurt_delivery(
    engine: Delivering, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    engine.cluster.append(TOPIC, [survey_event("evt_1"), b"not JSON"])
    with recorded.on(), capture_logs() as lines:
        monkeypatch.setattr("opentelemetry.sdk.trace.Tracer.start_span", fail)
        async with engine.running(engine.deliver):
            await engine.settled(2)
    assert engine.receiver.taken == ["evt_1"]
    assert {line["reason"] for line in lines if line["event"] == "observer.failed"} == {"traces"}


async def test_without_traces_there_is_nothing(engine: Delivering) -> None:
    engine.receiver.decide = lambda _ids: ACCEPTED if tracer().trace_id() is None else status(500)
    engine.cluster.append(TOPIC, [survey_event("evt_1")])
    with capture_logs() as lines:
        async with engine.running(engine.deliver):
            await engine.settled(1)
    assert engine.receiver.taken == ["evt_1"]
    assert not any(line.get("trace_id") for line in lines)
    assert not tracer().counts()
