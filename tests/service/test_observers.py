"""Whoever only looks at the service must not hurt it: the summary, a scrape, the look-up of a retention."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import structlog

from streamer.core.records.ledger import PartitionLedger
from streamer.kafka import TopicPartition
from streamer.service import Service
from streamer.settings import Settings
from streamer.timings import Timings
from tests.service.harness import eventually

PLACE: Final = TopicPartition("answers", 0)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service whose broker is away, and which summarises all the time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed_port = server.getsockname()[1]
    integration = {"dialect": "sprig", "destination": "local", "group_id": "g"}
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": f"127.0.0.1:{closed_port}"},
            "state_dir": tmp_path,
            "server": {"port": 0},
            "destinations": {"local": {"write_key": "key", "endpoint": "http://127.0.0.1:1"}},
            "integrations": {
                "one": {**integration, "topics": [PLACE.topic]},
                "other": {**integration, "topics": ["others"]},
            },
        }
    )
    return Service(settings, Timings(summary_every=0.01))


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[list[structlog.typing.EventDict]]:
    """Run the service; yields its log lines. What it raises is raised."""
    stop = asyncio.Event()
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(service.run(stop))
        try:
            await eventually(lambda: task.done() or all(one.runner.pipeline for one in service.integrations.values()))
            yield lines
            assert not task.done(), "the service has ended"
        finally:
            stop.set()
            await task


async def get(service: Service, path: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{service.port}{path}") as response,
    ):
        assert response.status == 200, f"{path} answers {response.status}"
        return await response.text()


def leave_with_open_records(service: Service) -> None:
    """As while a pipeline that has failed leaves its group, which takes seconds if the broker is away."""
    integration = service.integrations["one"]
    assert integration.runner.pipeline is not None
    assignment = integration.runner.pipeline.assignment
    assignment.assigned_since[PLACE] = 0.0
    assignment.ledgers[PLACE] = PartitionLedger(PLACE.topic, PLACE.partition, 7, integration.runner.accounts[PLACE])


def summaries_of(service: Service, lines: list[structlog.typing.EventDict], integration: str) -> int:
    """How many lines of the minute there are; each time something has happened since the last one."""
    service.integrations[integration].runner.accounts["others", 7].handed_back += 1
    return sum((line["event"], line["integration"]) == ("service.summarised", integration) for line in lines[:])


def failures_in(lines: list[structlog.typing.EventDict]) -> set[tuple[str, str]]:
    return {(line["integration"], line["reason"]) for line in lines[:] if line["event"] == "observer.failed"}


async def test_status_metrics_and_summary_go_on_while_a_pipeline_leaves_its_group(service: Service) -> None:
    """It has partitions and no client any more: what the client would know is not known, the account is shown."""
    async with running(service) as lines:
        leave_with_open_records(service)
        status, metrics = await get(service, "/status"), await get(service, "/metrics")
        seen = len(lines)
        await eventually(lambda: summaries_of(service, lines[seen:], "one") > 1)
        assert '"position": 7' in status
        assert 'topic="answers"' in metrics
        assert failures_in(lines) == set()


async def test_a_fault_of_one_integration_hides_neither_the_others_nor_ends_the_service(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    async with running(service) as lines:
        leave_with_open_records(service)
        pipeline = service.integrations["one"].runner.pipeline
        assert pipeline is not None
        monkeypatch.setattr(pipeline.asker, "ends", fail)
        status, metrics = await get(service, "/status"), await get(service, "/metrics")
        seen = len(lines)
        await eventually(
            lambda: summaries_of(service, lines[seen:], "one") > 1 and summaries_of(service, lines[seen:], "other") > 1
        )
        assert "its state cannot be shown; see the log for observer.failed" in status
        assert all(f'integration="{name}"' in metrics for name in service.integrations)
        assert {("one", "status"), ("one", "lag")} <= failures_in(lines)


@pytest.mark.parametrize("observe", ["summarise", "note_limit", "note_rate", "tell_findings"])
async def test_whatever_an_observer_raises_the_service_goes_on(
    service: Service, monkeypatch: pytest.MonkeyPatch, observe: str
) -> None:
    called = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal called
        called += 1
        raise RuntimeError("planted")

    for integration in service.integrations.values():
        owner = integration.runner if hasattr(integration.runner, observe) else integration
        monkeypatch.setattr(owner, observe, fail)
    async with running(service) as lines:
        await eventually(lambda: called > 4)
        assert {name for name, _ in failures_in(lines)} == {"one", "other"}
        await get(service, "/status")


async def test_what_cannot_be_closed_keeps_nothing_else_open(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    async def fail() -> None:
        raise OSError("planted")

    def note(close: Callable[[], None], name: str) -> Callable[[], None]:
        def noted() -> None:
            closed.append(name)
            close()

        return noted

    monkeypatch.setattr(service.destinations["local"], "close", fail)
    for name, integration in service.integrations.items():
        monkeypatch.setattr(integration.receipts, "close", note(integration.receipts.close, name))
    async with running(service):
        pass
    assert closed == ["one", "other"]
