"""The control topic is read and obeyed, and whatever befalls it stops nothing."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Self

import pytest
from structlog.testing import capture_logs

from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.steering.order import Order, encode
from streamer.kafka.whole_topic import ForbiddenTopicError
from streamer.steering import Control
from streamer.timings import Timings
from tests.doubles.kafka import MemoryRecord
from tests.pipeline.engine import eventually

TIMINGS = Timings(steer_every=0.002, control_retry=0.002, orders=0.05, poll=0.002)
PAUSED = Order(is_paused=True, by="ada@web-7", at=5.0)
RUNNING = Order(at=6.0)


class MemoryTopic:
    """The control topic; faults are switched on by attributes."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.exists = True
        self.fault: Exception | None = None
        self.opened = self.looked_for = 0
        self.is_slow = False
        """Whether what lies on it arrives one by one, as from a slow broker."""

    def write(self, name: str, order: Order | bytes | None) -> None:
        value = encode(order) if isinstance(order, Order) else order
        self.records.append(MemoryRecord("control", 0, len(self.records), 0, name.encode(), value, []))

    def follower(self, topic: str) -> "MemoryFollower":
        assert topic == "control"
        self.opened += 1
        return MemoryFollower(self)


class MemoryFollower:
    """A `streamer.steering.ports.Follower`."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._position = 0
        self._end = 0

    async def __aenter__(self) -> Self:
        await self._answer()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self._topic.fault is not None:
            raise self._topic.fault

    async def find(self) -> bool:
        await self._answer()
        self._topic.looked_for += 1
        self._end = len(self._topic.records)
        return self._topic.exists

    async def poll(self, seconds: float) -> Sequence[Record]:
        await self._answer()
        end = self._position + 1 if self._topic.is_slow else len(self._topic.records)
        arrived = self._topic.records[self._position : end]
        self._position += len(arrived)
        if not arrived:
            await asyncio.sleep(seconds)
        return arrived

    async def is_caught_up(self) -> bool:
        await self._answer()
        return self._position >= self._end


class Steered:
    """Who obeys: a `streamer.steering.Steering` that notes its orders."""

    def __init__(self) -> None:
        self.is_connected = False
        self.is_waiting = False
        self.orders: list[Order | None] = []
        self.is_read: bool | None = None

    @property
    def order(self) -> Order | None:
        return self.orders[-1] if self.orders else None

    def await_orders(self) -> None:
        self.is_waiting = True

    def steer(self, order: Order | None, now: float, *, is_read: bool) -> None:
        assert now > 0
        self.is_waiting, self.is_read = False, is_read
        if not self.orders or self.orders[-1] != order:
            self.orders.append(order)


@pytest.fixture
def topic() -> MemoryTopic:
    return MemoryTopic()


@contextlib.asynccontextmanager
async def obeying(topic: MemoryTopic, *names: str) -> AsyncIterator[dict[str, Steered]]:
    """Integrations that have just been started."""
    steered = {name: Steered() for name in names or ("sprig",)}
    control = Control("control", follower=topic.follower, steered=lambda: steered, timings=TIMINGS)  # type: ignore[arg-type, return-value]
    for name, one in steered.items():
        control.admit(name, one)  # type: ignore[arg-type]
    running = asyncio.create_task(control.run())
    try:
        yield steered
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_each_integration_obeys_the_newest_order_for_it(topic: MemoryTopic) -> None:
    topic.write("sprig", RUNNING)
    topic.write("sprig", PAUSED)
    topic.write("feedback", RUNNING)
    async with obeying(topic, "sprig", "feedback", "other") as steered:
        await eventually(lambda: all(one.orders for one in steered.values()))
        assert [one.order for one in steered.values()] == [PAUSED, RUNNING, None]
        topic.write("sprig", RUNNING)
        await eventually(lambda: steered["sprig"].order == RUNNING)


async def test_orders_that_were_overtaken_are_not_obeyed_at_the_start(topic: MemoryTopic) -> None:
    topic.is_slow = True
    for _ in range(5):
        topic.write("sprig", PAUSED)
        topic.write("sprig", RUNNING)
    async with obeying(topic) as steered:
        assert steered["sprig"].is_waiting
        await eventually(lambda: steered["sprig"].orders)
        topic.write("sprig", PAUSED)
        await eventually(lambda: steered["sprig"].order == PAUSED)
        assert steered["sprig"].orders == [RUNNING, PAUSED]


async def test_without_a_topic_everything_runs_and_it_is_found_when_it_is_made(topic: MemoryTopic) -> None:
    topic.exists = False
    with capture_logs() as lines:
        async with obeying(topic) as steered:
            await eventually(lambda: steered["sprig"].orders == [None])
            assert steered["sprig"].is_read
            topic.write("sprig", PAUSED)
            topic.exists = True
            await eventually(lambda: steered["sprig"].order == PAUSED)
    assert not lines


async def test_brokers_that_go_away_change_nothing(topic: MemoryTopic) -> None:
    topic.write("sprig", PAUSED)
    async with obeying(topic) as steered:
        await eventually(lambda: steered["sprig"].order == PAUSED)
        topic.fault = UnavailableError("no broker answers")
        opened = topic.opened
        await eventually(lambda: topic.opened > opened + 2)
        assert steered["sprig"].orders == [PAUSED]
        topic.fault = None
        topic.write("sprig", RUNNING)
        await eventually(lambda: steered["sprig"].order == RUNNING)
        assert steered["sprig"].orders == [PAUSED, RUNNING], "it was read again from its beginning"


async def test_a_topic_that_is_gone_changes_nothing(topic: MemoryTopic) -> None:
    topic.write("sprig", PAUSED)
    async with obeying(topic) as steered:
        await eventually(lambda: steered["sprig"].order == PAUSED)
        topic.fault, topic.exists = UnavailableError("the topic does not exist"), False
        opened, looked_for = topic.opened, topic.looked_for
        await eventually(lambda: topic.opened > opened)
        topic.fault = None
        await eventually(lambda: topic.looked_for > looked_for + 1)
        assert steered["sprig"].orders == [PAUSED]


async def test_a_topic_that_may_not_be_read_is_said_once_and_stops_nothing(topic: MemoryTopic) -> None:
    topic.fault = ForbiddenTopicError("a right on the topic is missing")
    with capture_logs() as lines:
        async with obeying(topic) as steered:
            await eventually(lambda: steered["sprig"].orders == [None])
            assert steered["sprig"].is_read is False
            await eventually(lambda: topic.opened > 3)
            topic.write("sprig", PAUSED)
            topic.fault = None
            await eventually(lambda: steered["sprig"].order == PAUSED)
    assert [line["event"] for line in lines] == ["control.unreadable", "control.readable"]


async def test_at_the_start_events_do_not_wait_for_the_topic_for_ever(topic: MemoryTopic) -> None:
    """Not before an integration could read at all: while the brokers are away, nothing is known of anything."""
    topic.fault = UnavailableError("no answer")
    with capture_logs() as lines:
        async with obeying(topic, "sprig", "feedback") as steered:
            await eventually(lambda: topic.opened > 30)
            assert all(one.is_waiting for one in steered.values())
            steered["sprig"].is_connected = True
            await eventually(lambda: not any(one.is_waiting for one in steered.values()))
            assert [one.is_read for one in steered.values()] == [False, False]
    assert [line["event"] for line in lines] == ["control.unreadable"]


async def test_junk_is_ignored_and_said_once_for_each_kind(topic: MemoryTopic) -> None:
    topic.write("sprig", PAUSED)
    with capture_logs() as lines:
        async with obeying(topic) as steered:
            await eventually(lambda: steered["sprig"].order == PAUSED)
            for _ in range(3):
                topic.write("sprig", b"junk")
                topic.write("sprig", b'{"v":2}')
            topic.write("sprig", dataclasses.replace(RUNNING, at=9.0))
            await eventually(lambda: steered["sprig"].order != PAUSED)
    assert [(line["event"], line["offset"]) for line in lines] == [
        ("control.order_ignored", 1),
        ("control.order_ignored", 2),
    ]


async def test_one_that_cannot_obey_keeps_no_other_from_it(topic: MemoryTopic) -> None:
    async with obeying(topic, "broken", "sprig") as steered:
        await eventually(lambda: steered["sprig"].orders)
        steered["broken"].steer = None  # type: ignore[method-assign, assignment]
        with capture_logs():
            topic.write("sprig", PAUSED)
            await eventually(lambda: steered["sprig"].order == PAUSED)


async def test_who_is_started_later_obeys_at_once(topic: MemoryTopic) -> None:
    topic.write("later", PAUSED)
    steered: dict[str, Steered] = {}
    control = Control("control", follower=topic.follower, steered=lambda: steered, timings=TIMINGS)  # type: ignore[arg-type, return-value]
    running = asyncio.create_task(control.run())
    await eventually(lambda: control.is_known)
    later = Steered()
    control.admit("later", later)  # type: ignore[arg-type]
    assert later.orders == [PAUSED]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_without_control_nobody_waits_for_orders() -> None:
    control = Control(None, follower=MemoryTopic().follower, steered=dict, timings=TIMINGS)
    one = Steered()
    control.admit("sprig", one)  # type: ignore[arg-type]
    assert not one.is_waiting
    await control.run()
