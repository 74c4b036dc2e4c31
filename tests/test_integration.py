"""What an integration keeps over its pipelines, before anything is connected."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from streamer.core.delivery.transitions import State
from streamer.core.errors import UnavailableError
from streamer.core.model import FilterReason
from streamer.core.records.account import Account
from streamer.core.records.filtered_out import MIN_FILTERED
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.steering.pause import Pause
from streamer.destinations import Destination
from streamer.integration import Integration
from streamer.receipts import Deliveries, ProblemKind, digest_of
from streamer.service_view import ServiceView
from streamer.settings import Settings
from streamer.status.histogram import Example
from streamer.timings import PRODUCTION
from streamer.tracing import tracer
from streamer.tracing.exporting import ExportingTracer, LibraryLines
from streamer.tracing.spans import using
from tests.doubles.destination import MemoryClient, status
from tests.doubles.kafka import MemoryRecord

NOW = 1_770_000_000.0


@contextmanager
def opened(directory: Path, **changes: Any) -> Iterator[tuple[Integration, MemoryClient]]:
    """An integration whose destination has these settings."""
    section = {"write_key": "key", "region": "us", **changes}
    settings = Settings.model_validate(
        {
            "state_dir": str(directory / "state"),
            "kafka": {"bootstrap_servers": "memory:1"},
            "destinations": {"segment": section},
            "integrations": {"surveys": {"dialect": "sprig", "topics": ["surveys"], "destination": "segment"}},
        }
    )
    client = MemoryClient()
    destination = Destination("segment", settings.destinations["segment"], client=client, timings=PRODUCTION)
    integration = Integration("surveys", settings, destination=destination, timings=PRODUCTION)
    try:
        yield integration, client
    finally:
        integration.receipts.close()


def test_the_latency_of_a_delivery_names_its_trace(tmp_path: Path) -> None:
    lines = LibraryLines()
    lines.attach()
    records = [
        OpenRecord(MemoryRecord("surveys", 0, offset, 1_769_999_999_000, None, b"{}", ()), ledger, "evt", b"{}")
        for offset, ledger in enumerate([PartitionLedger("surveys", 0, 0, Account())] * 2)
    ]
    with opened(tmp_path) as (integration, _), using(ExportingTracer(InMemorySpanExporter(), {}, lines)):
        integration._observe_latency(records, NOW)
        assert not integration.latency_seconds["surveys"].examples, "there is no trace yet"
        with tracer().process("deliver", "surveys", records) as span:
            integration._observe_latency(records, NOW)
        [example] = integration.latency_seconds["surveys"].examples.values()
    assert span.trace_id is not None
    assert example == Example(1.0, span.trace_id, NOW)


def deliver(integration: Integration) -> None:
    integration.receipts.add([Deliveries("surveys", 0, [1], [digest_of("evt")])], NOW)


@pytest.mark.parametrize("change", [{"region": "eu"}, {"write_key": "other"}, {"message_id_suffix": "-2"}])
def test_receipts_of_another_destination_are_set_aside(tmp_path: Path, change: dict[str, str]) -> None:
    """After a wrong region or key is corrected, what producers send again went nowhere: it ended as duplicate."""
    with opened(tmp_path) as (integration, _):
        deliver(integration)
    with opened(tmp_path, **change) as (integration, _):
        assert integration.receipts.find([digest_of("evt")], NOW) == {}
        assert [problem.kind for problem in integration.receipts.problems] == [ProblemKind.OTHER_DESTINATION]


def test_receipts_of_the_same_destination_count(tmp_path: Path) -> None:
    for is_there in (False, True):
        with opened(tmp_path, timeout=20 if is_there else 10) as (integration, _):
            assert bool(integration.receipts.find([digest_of("evt")], NOW)) is is_there
            deliver(integration)
            assert not integration.receipts.problems


async def test_a_write_key_that_is_replaced_while_running_is_another_destination(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong")
    with opened(tmp_path, write_key=None, write_key_file=str(key_file)) as (integration, client):
        deliver(integration)
        client.decide = lambda _message_ids: status(401)
        attempt = integration.destination.start("sprig", 1, is_retry=False)
        await integration.destination.send(attempt, [b'{"messageId":"evt_2"}'], size=300, resend_count=0)
        assert integration.destination.state is State.HELD
        integration.destination.reread_credentials()
        assert integration.receipts.entries() == 1, "nothing has changed yet"
        key_file.write_text("right")
        client.key = "right"
        integration.destination.reread_credentials()
        assert integration.receipts.entries() == 0
        assert [problem.kind for problem in integration.receipts.problems] == [ProblemKind.OTHER_DESTINATION]


def test_the_write_key_is_not_on_disk(tmp_path: Path) -> None:
    with opened(tmp_path, write_key="a-secret-write-key") as (integration, _):
        deliver(integration)
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"a-secret-write-key" in path.read_bytes()]


def test_a_topic_of_which_everything_is_filtered_is_no_silence(tmp_path: Path) -> None:
    """A wrong setting may make every record one that is not in the stream: nothing failed, and nothing arrived."""
    with opened(tmp_path) as (integration, _), capture_logs() as lines:
        service: Any = SimpleNamespace(
            is_draining=False, integrations={"surveys": integration}, destinations={}, inbound=None
        )
        pipeline: Any = SimpleNamespace(
            is_connected=True,
            is_guarded=False,
            dead_letters=None,
            assignment=SimpleNamespace(ledgers={}, left_out=SimpleNamespace(faults=dict), flowing=set),
            source=SimpleNamespace(missing_topics=list),
        )
        account = integration.runner.accounts["surveys", 0]
        account.consumed = MIN_FILTERED
        account.filtered[FilterReason.NOT_IN_STREAM] = MIN_FILTERED
        for _ in range(2):
            integration.summarise()
        integration.runner.pipeline = pipeline
        [check] = [check for check in ServiceView(service).ready() if check.name == "integration.surveys"]
        integration.runner.pipeline = None
        account.consumed += 1
        integration.summarise()

    assert (check.ok, check.is_degraded) == (True, True)
    assert "surveys" in check.detail
    told = [(line["event"], line["topic"], line.get("records")) for line in lines if line["event"].startswith("topic.")]
    assert told == [("topic.filtered_out", "surveys", MIN_FILTERED), ("topic.resumed", "surveys", None)]


def test_brokers_that_do_not_answer_are_no_stall(tmp_path: Path) -> None:
    """Three stalls ask for a restart of the process, which would bring no broker back."""
    with opened(tmp_path) as (integration, _), capture_logs() as lines:
        for _ in range(3):
            integration.runner._tell_failure(UnavailableError("no broker answers"), 1.0)
        assert integration.runner.consecutive_stalls == 0
    assert {line["event"] for line in lines} == {"kafka.unavailable"}


def test_an_order_to_discard_outlasts_a_changed_mapping(tmp_path: Path) -> None:
    """A reload makes another mapper; events that an operator wants discarded must not be delivered because of that."""
    with opened(tmp_path) as (integration, _):
        for discards in (True, False):
            integration._discard(discards)
            integration.remap(integration._all_settings)
            mapper, _ = integration._new_mapper()
            assert mapper._settings.discard is discards  # type: ignore[attr-defined]
            assert integration.runner.pause is None, "the configuration has not paused it"


def test_a_configuration_that_discards_is_shown_as_a_pause_also_after_a_reload(tmp_path: Path) -> None:
    with opened(tmp_path) as (integration, _):
        document = integration._all_settings.model_dump(mode="json")
        document["destinations"]["segment"]["write_key"] = "key"
        document["integrations"]["surveys"] |= {"status": "paused", "on_pause": "discard"}
        integration.remap(Settings.model_validate(document))
        assert integration.runner.pause == Pause(discards=True)
        assert not integration.runner.is_paused
