"""Delivery shows its batches to taps, and delivers as if nobody looked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamer.core.tapping import Tap, TapRequest
from streamer.core.tapping.tap import MAX_QUEUED_BYTES
from streamer.tapping import Listener
from tests.doubles.destination import ACCEPTED, BROKEN, status
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import TOPIC, eventually
from tests.service.harness import survey_events

MANY = TapRequest(rate=1_000.0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    yield engine
    engine.receipts.close()


def opened(engine: Delivering, request: TapRequest) -> Listener:
    """A tap that has been open for a second."""
    listener = engine.taps.open(request)
    listener.tap._lines_left.at -= 1.0
    return listener


def lines_of(tap: Tap) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in tap.take().splitlines()]


async def test_a_tap_sees_what_is_accepted(engine: Delivering) -> None:
    tap = opened(engine, MANY).tap
    engine.cluster.append(TOPIC, survey_events(3))
    async with engine.running(engine.deliver):
        await engine.settled(3)
    lines = lines_of(tap)
    assert [line["messageId"] for line in lines] == ["evt_0", "evt_1", "evt_2"]
    keys = (
        "integration",
        "destination",
        "topic",
        "partition",
        "offset",
        "status",
        "result",
        "attempt",
        "event",
        "type",
    )
    assert [lines[2][key] for key in keys] == [
        "surveys", "segment", TOPIC, 0, 2, 200, "delivered", 1, "Response Submitted", "track"
    ]  # fmt: skip
    assert 0 <= lines[2]["duration_seconds"] < 60


async def test_it_sees_what_is_not_and_which_attempt_it_was(engine: Delivering) -> None:
    answers = iter([BROKEN, status(503)])
    engine.receiver.decide = lambda _message_ids: next(answers, ACCEPTED)
    tap = opened(engine, MANY).tap
    engine.cluster.append(TOPIC, survey_events(1))
    async with engine.running(engine.deliver):
        await engine.settled(1)
    seen = [(line["status"], line["result"], line["attempt"]) for line in lines_of(tap)]
    assert seen == [("connection_reset", "retried", 1), (503, "retried", 2), (200, "delivered", 3)]


async def test_a_refused_batch_is_seen_as_it_is_divided(engine: Delivering) -> None:
    engine.receiver.decide = lambda message_ids: status(400) if "evt_1" in message_ids else ACCEPTED
    tap = opened(engine, MANY).tap
    engine.cluster.append(TOPIC, survey_events(1, "before"))
    async with engine.running(engine.deliver):
        await engine.settled(1)
        engine.cluster.append(TOPIC, survey_events(2))
        await engine.settled(3)
    seen = {(line["messageId"], line["status"], line["result"]) for line in lines_of(tap)}
    assert {("evt_1", 400, "split"), ("evt_0", 200, "delivered")} <= seen
    assert engine.total("dead_lettered") == 1


async def test_a_reader_that_takes_nothing_slows_nothing(engine: Delivering) -> None:
    """Its lines are lost, all calls are delivered, and its memory is bounded."""
    listeners = [opened(engine, TapRequest(rate=1_000.0, shows_values=True)) for _ in range(4)]
    engine.cluster.append(TOPIC, survey_events(6_000))
    for listener in listeners:
        for budget in (listener.tap._lines_left, listener.tap._looks_left):
            budget.per_second = budget.left = 1e9
    async with engine.running(engine.deliver):
        await eventually(lambda: engine.total("delivered") == 6_000)
    for listener in listeners:
        assert listener.tap.lost > 0
        assert listener.tap.shown + listener.tap.lost == 6_000
        assert len(listener.tap.take()) <= MAX_QUEUED_BYTES


async def test_a_bug_of_a_tap_is_logged_and_delivery_goes_on(
    engine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Tap, "offer", stumble)
    engine.taps.open(MANY)
    engine.cluster.append(TOPIC, survey_events(3))
    with capture_logs() as lines:
        async with engine.running(engine.deliver):
            await engine.settled(3)
    assert engine.receiver.taken == ["evt_0", "evt_1", "evt_2"]
    assert "observer.failed" in [line["event"] for line in lines]


async def test_after_a_tap_is_closed_nothing_is_looked_at(engine: Delivering) -> None:
    listener = engine.taps.open(MANY)
    engine.taps.close(listener)
    engine.cluster.append(TOPIC, survey_events(3))
    async with engine.running(engine.deliver):
        await engine.settled(3)
    assert listener.tap.passed == 0
