"""Readiness: it tells what does not move, of each integration by itself. Nothing is connected."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from streamer.core.steering.pause import Pause
from streamer.kafka import TopicPartition
from streamer.pipeline import Pipeline
from streamer.service import Service
from streamer.service_view import ServiceView
from streamer.settings import Settings
from streamer.status import Check
from streamer.timings import Timings

WITHOUT_PATIENCE = Timings(silent_after=-1.0)
"""Whatever a broker said is too old at once."""


class Partition:
    """What an asker knows of one partition."""

    def __init__(self, since: float | None) -> None:
        self._since = since

    def open_transaction_since(self, _place: TopicPartition, _now: float) -> float | None:
        return self._since


@contextlib.contextmanager
def opened(directory: Path, timings: Timings, status: str = "running") -> Iterator[Service]:
    """A service that is not run."""
    integration = {"dialect": "sprig", "destination": "local", "topics": ["answers"], "status": status}
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "memory:1"},
            "state_dir": directory,
            "destinations": {"local": {"write_key": "key", "endpoint": "http://127.0.0.1:1"}},
            "integrations": {"surveys": integration},
        }
    )
    service = Service(settings, timings)
    try:
        yield service
    finally:
        service.integrations["surveys"].receipts.close()


def join(service: Service, *, is_guarded: bool = False, open_since: float | None = None) -> None:
    """Have the integration run, as far as readiness looks at it."""
    integration = service.integrations["surveys"]
    integration.runner.contact.heard()
    integration.runner.pipeline = cast(
        "Pipeline",
        SimpleNamespace(
            is_connected=True,
            is_guarded=is_guarded,
            asker=Partition(open_since),
            assignment=SimpleNamespace(
                ledgers={TopicPartition("answers", 0): None}, left_out=SimpleNamespace(faults=dict), flowing=set
            ),
            source=SimpleNamespace(missing_topics=list),
        ),
    )


def check(service: Service) -> Check:
    [found] = [check for check in ServiceView(service).ready() if check.name == "integration.surveys"]
    return found


@pytest.mark.parametrize("is_guarded", [False, True])
def test_brokers_that_answer_make_it_ready(tmp_path: Path, *, is_guarded: bool) -> None:
    with opened(tmp_path, Timings()) as service:
        assert not check(service).ok, "not a member yet"
        join(service, is_guarded=is_guarded)
        assert check(service).ok
        assert check(service).is_degraded is is_guarded


@pytest.mark.parametrize("is_guarded", [False, True])
def test_brokers_that_do_not_answer_make_it_unready(tmp_path: Path, *, is_guarded: bool) -> None:
    with opened(tmp_path, WITHOUT_PATIENCE) as service:
        join(service, is_guarded=is_guarded)
        assert not check(service).ok
        assert "no broker has answered for 0 s" in check(service).detail


@pytest.mark.parametrize(("timings", "is_ready"), [(Timings(), True), (WITHOUT_PATIENCE, False)])
def test_one_that_is_paused_is_ready_unless_its_brokers_stopped_answering(
    tmp_path: Path, timings: Timings, *, is_ready: bool
) -> None:
    with opened(tmp_path, timings, "paused") as service:
        assert check(service).ok
        join(service)
        assert check(service).ok is is_ready


def test_a_state_is_shown_with_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr("streamer.service_view.time.time", lambda: clock[0])
    with opened(tmp_path, Timings(), "running") as service:
        view = ServiceView(service)

        def seen() -> tuple[str, float | None]:
            [integration] = view.status().integrations
            return integration.state, integration.state_since

        assert seen() == ("starting", 1_000.0)
        clock[0] = 1_010.0
        assert seen() == ("starting", 1_000.0)
        service.is_draining = True
        assert seen() == ("draining", 1_010.0)


def test_a_partition_that_waits_for_a_transaction_degrades_it(tmp_path: Path) -> None:
    with opened(tmp_path, Timings()) as service:
        join(service, open_since=time.monotonic() - 60)
        assert check(service).is_degraded
        assert "wait for a transaction to end: 1" in check(service).detail


def test_one_that_an_operator_has_paused_is_ready_and_says_who_it_was(tmp_path: Path) -> None:
    with opened(tmp_path, Timings()) as service:
        join(service)
        runner = service.integrations["surveys"].runner
        runner.pipeline = None
        runner.steer(Pause(by="ada@web-7", reason="Segment moves", since=time.time() - 3_600))
        assert check(service).is_degraded
        assert check(service).detail == "paused by ada@web-7 for 60 min: Segment moves"
        [integration] = ServiceView(service).status().integrations
        assert integration.state == "paused"


def test_one_that_does_not_know_its_orders_yet_is_starting(tmp_path: Path) -> None:
    with opened(tmp_path, Timings()) as service:
        join(service)
        runner = service.integrations["surveys"].runner
        view = ServiceView(service)
        runner.await_orders()
        assert view._state_of(runner) == "starting"
        runner.awaits_orders = False
        assert view._state_of(runner) == "running"
