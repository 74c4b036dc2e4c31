"""One integration obeys its orders while it runs: on Kafka in memory, with a worker that delivers."""

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.mapping import Mapper
from streamer.core.model import FilterReason
from streamer.core.steering.order import Order
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.delivery import Delivery
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.runner import Runner
from streamer.pipeline.subscription import subscription_of
from streamer.steering import Steering
from tests.doubles.destination import ACCEPTED, Decide, status
from tests.doubles.kafka import MemoryBrokers
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import TOPIC, eventually
from tests.service.harness import survey_events

NOW = time.time()
PAUSED = Order(is_paused=True, by="ada@web-7", reason="Segment moves", at=NOW)
RESUMED = PAUSED.resumed(by="bob@web-8", reason="moved", at=NOW + 60)


class Instance:
    """One process of an integration, as far as orders concern it."""

    def __init__(self, engine: Delivering, **memory: Any) -> None:
        settings = engine.settings()
        self.engine = engine
        self.memory = GuardMemory(engine.directory / "state", fingerprint=settings.fingerprint(), **memory)
        self.discards: list[bool] = []
        self.runner = Runner(
            subscription_of("surveys", settings),
            new_brokers=lambda: MemoryBrokers(engine.cluster),
            make_worker=engine.deliver,
            guard_memory=self.memory,
            timings=engine.timings,
        )
        self.steering = Steering(
            self.runner, guard_memory=self.memory, discard=self.discard, probe=engine.target.probe_now
        )

    @property
    def pipeline(self) -> Pipeline:
        assert self.runner.pipeline is not None
        return self.runner.pipeline

    def discard(self, discards: bool) -> None:
        self.discards.append(discards)
        mapping = dataclasses.replace(self.engine.settings().mapping("surveys"), discard=discards)
        worker = self.pipeline.worker
        assert isinstance(worker, Delivery)
        worker.remap(Mapper(mapping), None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(self.runner.run(stop))
        try:
            await eventually(lambda: self.runner.pipeline and self.pipeline.assignment.is_restored)
            yield
        finally:
            stop.set()
            await running

    async def turned(self) -> None:
        """Wait until the reader has come round twice: what it would read, it has."""
        for _ in range(2):
            await eventually(functools.partial(self._has_turned_since, self.pipeline._reader.turned_at))

    def _has_turned_since(self, at: float) -> bool:
        return self.pipeline._reader.turned_at > at


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    """Sends one event at a time, so that the guard sees every refusal."""
    engine = Delivering(tmp_path)
    engine.destination["batch"] = {"linger": 0, "max_calls": 1}
    engine.target = engine.new_target()
    yield engine
    engine.receipts.close()


def refusing(*bad: str) -> Decide:
    return lambda message_ids: status(400) if set(bad).intersection(message_ids) else ACCEPTED


async def test_a_pause_holds_what_comes_and_goes_on_with_everything_else(engine: Delivering) -> None:
    """Open calls are delivered and committed, lag is asked, the membership stays, and nobody takes it for a stall."""
    instance = Instance(engine)
    answers = asyncio.Event()

    async def later(_ids: Sequence[str]) -> Answer:
        await answers.wait()
        return ACCEPTED

    async with instance.running():
        engine.receiver.decide = later
        engine.cluster.append(TOPIC, survey_events(3, "before"))
        await eventually(lambda: engine.receiver.batches)
        instance.steering.steer(PAUSED, NOW)
        await instance.turned()
        engine.cluster.append(TOPIC, survey_events(5, "meanwhile"))
        await instance.turned()
        answers.set()
        await engine.settled(3)
        await eventually(lambda: instance.pipeline.lags(time.monotonic()) == {TOPIC: 5})
        instance.runner.note_limit(1.0)
        assert instance.runner.limited.lately is Limit.PAUSED
        assert instance.runner.is_paused
        assert len(engine.cluster.group("streamer.surveys").members) == 1
        assert instance.pipeline._watchdog.stall(time.monotonic() + 100, time.time() + 100) is None
        assert sorted(engine.receiver.taken) == [f"before_{number}" for number in range(3)]

        instance.steering.steer(RESUMED, NOW + 60)
        await engine.settled(8)
    assert len(engine.receiver.taken) == len(set(engine.receiver.taken)) == 8


async def test_a_pause_for_some_time_ends_by_itself(engine: Delivering) -> None:
    instance = Instance(engine)
    order = dataclasses.replace(PAUSED, until=NOW + 3_600)
    with capture_logs() as lines:
        async with instance.running():
            instance.steering.steer(order, NOW)
            instance.steering.steer(order, NOW + 3_599)
            await instance.turned()
            engine.cluster.append(TOPIC, survey_events(1))
            await instance.turned()
            assert not engine.receiver.taken
            instance.steering.steer(order, NOW + 3_600)
            await engine.settled(1)
    told = [line for line in lines if line["event"] in {"integration.paused", "integration.resumed"}]
    assert [(line["event"], line.get("by"), line["reason"]) for line in told] == [
        ("integration.paused", "ada@web-7", "Segment moves"),
        ("integration.resumed", None, "the time of the pause is over"),
    ]


async def test_a_pause_that_discards_filters_what_comes(engine: Delivering) -> None:
    instance = Instance(engine)
    async with instance.running():
        instance.steering.steer(dataclasses.replace(PAUSED, discard=True), NOW)
        assert not instance.runner.is_paused
        engine.cluster.append(TOPIC, survey_events(4, "discarded"))
        await engine.settled(4)
        instance.steering.steer(RESUMED, NOW + 60)
        engine.cluster.append(TOPIC, survey_events(2, "delivered"))
        await engine.settled(6)
    assert instance.discards == [True, False]
    assert sorted(engine.receiver.taken) == ["delivered_0", "delivered_1"]
    assert instance.runner.accounts[TOPIC, 0].filtered == {FilterReason.PAUSED: 4}


async def test_what_cannot_discard_lets_records_wait(engine: Delivering) -> None:
    instance = Instance(engine)
    steering = Steering(instance.runner, guard_memory=instance.memory)
    async with instance.running():
        steering.steer(dataclasses.replace(PAUSED, discard=True), NOW)
        assert instance.runner.is_paused


async def test_nothing_is_read_before_the_orders_are_known(engine: Delivering) -> None:
    instance = Instance(engine)
    instance.steering.await_orders()
    engine.cluster.append(TOPIC, survey_events(3))
    async with instance.running():
        await instance.turned()
        assert not instance.runner.totals().consumed
        assert instance.steering.is_connected
        instance.steering.steer(None, NOW)
        await engine.settled(3)


async def guard(engine: Delivering, instance: Instance) -> None:
    """Have the mass guard stop an integration whose destination refuses most events."""
    engine.cluster.append(TOPIC, survey_events(1, "accepted"))
    await engine.settled(1)
    engine.receiver.decide = refusing(*(f"bad_{number}" for number in range(100)))
    engine.cluster.append(TOPIC, survey_events(40, "bad"))
    await eventually(lambda: instance.pipeline.is_guarded)


async def test_an_order_releases_the_guard_and_what_it_kept_back_is_set_aside(engine: Delivering) -> None:
    """Nothing is sent again for that, and the integration goes on in the same assignment."""
    instance = Instance(engine)
    instance.steering.steer(None, NOW)
    async with instance.running():
        await guard(engine, instance)
        written, kept_back = len(engine.letters()), len(instance.pipeline.dead_letters)
        assert kept_back
        engine.receiver.decide = lambda _: ACCEPTED
        with capture_logs() as lines:
            instance.steering.steer(RESUMED, NOW + 60)
        assert ("guard.released", "bob@web-8") in [(line["event"], line.get("by")) for line in lines]
        assert not instance.pipeline.is_guarded
        engine.cluster.append(TOPIC, survey_events(2, "good"))
        await engine.settled(43)
        assert instance.pipeline.guard_evidence is None
        assert not instance.memory.is_guarded()
        assert len(engine.letters()) >= written + kept_back
        assert len(engine.letters()) + len(engine.receiver.taken) == 43
        assert instance.runner.rebalances()["assigned"] == 1


async def test_what_the_guard_kept_back_is_written_although_nothing_more_comes(engine: Delivering) -> None:
    instance = Instance(engine)
    instance.steering.steer(None, NOW)
    engine.cluster.append(TOPIC, [b"not JSON"] * 30)
    async with instance.running():
        await eventually(lambda: instance.pipeline.is_guarded)
        await instance.turned()
        assert not engine.letters()
        instance.steering.steer(RESUMED, NOW + 60)
        await engine.settled(30)
    assert len(engine.letters()) == 30


async def test_a_release_is_obeyed_once_whatever_is_started_again(engine: Delivering) -> None:
    """The topic keeps the order: a stop that comes later must not end because a restart reads it again."""
    first = Instance(engine)
    first.steering.steer(None, NOW)
    async with first.running():
        first.steering.steer(RESUMED, NOW + 60)  # of a stop long ago
        await guard(engine, first)
        first.steering.steer(RESUMED, NOW + 61)
        assert first.pipeline.is_guarded

    second = Instance(engine)
    second.steering.steer(RESUMED, NOW + 62)
    async with second.running():
        assert second.pipeline.is_guarded
        second.steering.steer(RESUMED.resumed(by="ada@web-7", reason="", at=NOW + 70), NOW + 70)
        assert not second.pipeline.is_guarded


async def test_one_that_was_away_obeys_a_release_when_it_is_back(engine: Delivering) -> None:
    first = Instance(engine)
    first.steering.steer(None, NOW)
    async with first.running():
        await guard(engine, first)

    second = Instance(engine)
    assert second.memory.is_guarded()
    second.steering.steer(RESUMED, NOW + 62)
    async with second.running():
        await engine.settled(41)
        assert not second.pipeline.is_guarded, "the records that stopped it are read again"
    assert len(engine.letters()) == 40


async def test_orders_that_could_not_be_read_leave_the_guard_alone(engine: Delivering) -> None:
    """Else the first look at the topic would take a release of long ago for a new one."""
    instance = Instance(engine)
    old = dataclasses.replace(RESUMED, release_guard_at=NOW - 3_600)
    instance.steering.steer(old, NOW)
    instance.steering.steer(None, NOW)
    instance.steering.steer(None, NOW, is_read=False)
    instance.memory.remember()
    instance.steering.steer(old, NOW)
    assert instance.memory.is_guarded()


async def test_a_release_from_before_the_stop_is_not_obeyed_when_the_topic_is_read_at_last(engine: Delivering) -> None:
    """The instance ran by its configuration until then, and was stopped."""
    instance = Instance(engine)
    instance.steering.steer(None, NOW, is_read=False)
    instance.memory.remember()
    instance.steering.steer(dataclasses.replace(RESUMED, release_guard_at=NOW - 3_600), NOW)
    assert instance.memory.is_guarded()


async def test_a_held_destination_is_probed_at_once(engine: Delivering) -> None:
    """The next probe would come in half a minute."""
    engine.timings = dataclasses.replace(engine.timings, held_probe=3_600.0)
    engine.target = engine.new_target()
    engine.receiver.decide = lambda _: status(401)
    instance = Instance(engine)
    async with instance.running():
        engine.cluster.append(TOPIC, survey_events(3))
        await eventually(lambda: engine.target.state is State.HELD)
        requests = len(engine.receiver.batches)
        engine.receiver.decide = lambda _: ACCEPTED
        engine.target._machine._schedule.due += 3_600  # it has been held for long
        engine.target._set_alarm()
        instance.steering.steer(RESUMED, NOW)
        await engine.settled(3)
        assert len(engine.receiver.batches) > requests
        assert engine.target.state is State.OK


async def test_places_are_as_before_when_nothing_was_ever_ordered(engine: Delivering) -> None:
    instance = Instance(engine)
    instance.steering.steer(None, NOW)
    engine.cluster.append(TOPIC, survey_events(2))
    async with instance.running():
        await engine.settled(2)
    assert engine.cluster.group("streamer.surveys").stored[Place(TOPIC, 0)].offset == 2
    assert instance.runner.order_at is None
