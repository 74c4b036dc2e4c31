"""The minute's line: what happened since the last one, and nothing while nothing happens."""

import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.limiting import Limit
from streamer.core.model import DeadLetterReason
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.log_ends import LogEnds
from streamer.kafka import TopicPartition
from streamer.pipeline.minute import Minute
from streamer.pipeline.runner import Runner
from tests.pipeline.engine import TOPIC, Engine, HandWorker

PLACE = TopicPartition(TOPIC, 0)
EPOCH = 1_770_000_000.0


class World:
    """An integration with a partition of which the brokers say where it ends, and a clock."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.state = "ok"
        self.end = 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: EPOCH + self.now)
        pipeline = engine.pipeline(HandWorker)
        self.runner = Runner(
            pipeline._subscription,
            new_brokers=lambda: pipeline._brokers,
            make_worker=HandWorker,
            guard_memory=pipeline._guard_memory,
            timings=engine.timings,
        )
        self.runner.pipeline = pipeline
        self.runner.contact.heard()
        self.account = self.runner.accounts[PLACE]
        pipeline.assignment.ledgers[PLACE] = PartitionLedger(TOPIC, 0, 0, self.account)
        pipeline.assignment.assigned_since[PLACE] = EPOCH
        monkeypatch.setattr(pipeline.asker, "ends", lambda *_: LogEnds(self.end, self.end))
        monkeypatch.setattr(pipeline.asker, "open_transaction_since", lambda *_: None)
        self.minute = Minute(self.runner, destination_state=lambda: self.state)

    def line(
        self, *, seconds: float = 60.0, limit: Limit = Limit.FETCH, is_last: bool = False
    ) -> dict[str, Any] | None:
        """The line at the end of the next minute."""
        self.now += seconds
        self.runner.contact.heard()
        self.runner.limited.add(limit, seconds)
        with capture_logs() as lines:
            self.minute.tell(is_last=is_last)
        assert len(lines) <= 1, lines
        return dict(lines[0]) if lines else None


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(Engine(tmp_path, partitions=1), monkeypatch)


async def test_it_says_what_happened_since_the_last_one(world: World) -> None:
    world.account.consumed = world.account.delivered = 900
    world.line()
    world.account.consumed += 1_200
    world.account.delivered += 960
    world.account.duplicate += 30
    world.account.dead_lettered[DeadLetterReason.DECODE_ERROR] += 10
    world.account.dead_lettered[DeadLetterReason.SCHEMA_INVALID] += 200
    world.end = 5_000
    line = world.line(limit=Limit.DESTINATION)
    assert line is not None
    assert {name: value for name, value in line.items() if name not in {"event", "log_level"}} == {
        "integration": "surveys",
        "destination": "segment",
        "destination_state": "ok",
        "limited_by": "destination",
        "lag": 5_000,
        "seconds": 60.0,
        "consumed_per_second": 20.0,
        "settled_per_second": 20.0,
        "delivered": 960,
        "duplicate": 30,
        "dead_lettered": 210,
        "dead_letter_reasons": "schema_invalid 200, decode_error 10",
        "in_flight": 0,
    }


async def test_a_quiet_night_is_a_quiet_log(world: World) -> None:
    """One line says that it stands still; the next one comes when something happens."""
    assert world.line() is not None
    assert [world.line() for _ in range(60)] == [None] * 60
    world.account.consumed = world.account.delivered = 60
    line = world.line()
    assert line is not None
    assert (line["seconds"], line["consumed_per_second"]) == (60.0, 1.0)


async def test_a_change_is_told_although_no_record_comes(world: World) -> None:
    world.line()
    world.state = "held"
    line = world.line(limit=Limit.HELD)
    assert line is not None
    assert (line["destination_state"], line["limited_by"]) == ("held", "held")
    assert world.line(limit=Limit.HELD) is None


async def test_records_that_wait_are_told_each_minute(world: World) -> None:
    world.end = 10
    lines = [world.line() for _ in range(3)]
    assert [line["lag"] for line in lines if line] == [10, 10, 10]


async def test_brokers_that_do_not_answer_are_told_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.end = 10
    world.line()
    assert world.runner.pipeline is not None
    monkeypatch.setattr(world.runner.pipeline.asker, "ends", lambda *_: None)
    line = world.line(limit=Limit.KAFKA)
    assert line is not None
    assert (line.get("lag"), line["limited_by"]) == (None, "kafka")
    assert world.line(limit=Limit.KAFKA) is None, "kafka.unavailable says so"


async def test_the_last_line_has_what_the_drain_has_brought(world: World) -> None:
    world.line()
    world.account.consumed = world.account.delivered = 5
    assert world.runner.pipeline is not None
    world.runner.pipeline.assignment.ledgers.clear()
    line = world.line(seconds=3.0, is_last=True)
    assert line is not None
    assert (line["delivered"], line.get("lag")) == (5, None)
    assert world.line(is_last=True) is None, "the end is no news"
