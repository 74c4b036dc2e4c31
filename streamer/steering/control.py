"""Reads the control topic, and has all integrations obey it.

At the start an integration reads no record before its orders are known. That must not keep events for ever: when an
integration has been connected for `Timings.orders` and the topic could still not be read, everything runs by the
configuration. After that, whatever befalls the topic changes nothing: what was ordered last counts.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import Self

from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.model import Record
from streamer.core.steering.order import Unreadable
from streamer.core.steering.orders import Orders
from streamer.kafka.whole_topic import ForbiddenTopicError, WholeTopic
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.settings import Settings
from streamer.steering.ports import Follower
from streamer.steering.steering import Steering
from streamer.timings import Timings


class Control:
    """The orders of one process, and who obeys them."""

    def __init__(
        self,
        topic: str | None,
        *,
        follower: Callable[[str], Follower],
        steered: Callable[[], Mapping[str, Steering]],
        timings: Timings,
    ) -> None:
        """Know nothing; nothing is connected before `run`.

        Args:
            topic: the control topic; None: there is none, and everything runs by the configuration.
            follower: opens the topic.
            steered: who obeys now, by name.
            timings: how often to look, and how long to wait.
        """
        self._topic = topic
        self._follower = follower
        self._steered = steered
        self._timings = timings
        self._orders = Orders()
        self.is_known = topic is None
        """Whether it is known what is ordered, or was not to be found out in time."""
        self._is_read = False
        """Whether the topic was read once, or does not exist: then nothing is ordered."""
        self._is_fault_told = False
        self._ignored: set[Unreadable] = set()
        """Why records were ignored, as far as that was said."""
        self._connected_since: float | None = None

    @classmethod
    def of(cls, settings: Settings, steered: Callable[[], Mapping[str, Steering]], timings: Timings) -> Self:
        """What the configuration asks for."""
        return cls(
            None if settings.control is None else settings.control.topic,
            follower=functools.partial(WholeTopic, settings.kafka),
            steered=steered,
            timings=timings,
        )

    def admit(self, name: str, one: Steering) -> None:
        """Let somebody obey who is about to start: at once, or as soon as the orders are known."""
        if self.is_known:
            one.steer(self._orders.of(name), time.time(), is_read=self._is_read)
        else:
            one.await_orders()

    async def run(self) -> None:
        """Follow the topic and have it obeyed until cancelled."""
        if self._topic is None:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_for_ever(self._topic), name="follow the control topic")
            while True:
                self._give_up_waiting(time.monotonic())
                self._steer()
                await asyncio.sleep(self._timings.steer_every)

    def _steer(self) -> None:
        if not self.is_known:
            return
        now = time.time()
        for name, one in self._steered().items():
            with observing("orders", integration=name):
                one.steer(self._orders.of(name), now, is_read=self._is_read)

    def _give_up_waiting(self, now: float) -> None:
        """Run by the configuration if the topic cannot be read although integrations could."""
        if self.is_known or not any(one.is_connected for one in self._steered().values()):
            return
        self._connected_since = self._connected_since or now
        if now - self._connected_since >= self._timings.orders:
            self._give_up(f"it could not be read within {self._timings.orders:g} s")

    async def _follow_for_ever(self, topic: str) -> None:
        while True:
            with observing("the control topic"):
                try:
                    await self._follow(topic)
                except ForbiddenTopicError as error:
                    self._give_up(str(error))
                except (SettingsError, UnavailableError):
                    pass  # that brokers do not answer is said by the integrations; what is known goes on to count
            await asyncio.sleep(self._timings.control_retry)

    async def _follow(self, topic: str) -> None:
        """Read the topic from its beginning, then follow it. Orders that were overtaken meanwhile are not obeyed."""
        async with self._follower(topic) as follower:
            while not await follower.find():
                self._learn(self._orders)  # nobody has ever ordered anything, or the topic is gone
                await asyncio.sleep(self._timings.control_retry)
            orders = Orders()
            while True:
                records = await follower.poll(self._timings.poll)
                for record in records:
                    self._take(orders, record)
                if orders is self._orders:
                    if records:
                        self._steer()
                elif await follower.is_caught_up():
                    self._learn(orders)

    def _learn(self, orders: Orders) -> None:
        self._orders = orders
        self.is_known = self._is_read = True
        if self._is_fault_told:
            self._is_fault_told = False
            logger().emit(Event.CONTROL_READABLE, topic=self._topic)
        self._steer()

    def _give_up(self, detail: str) -> None:
        """Go on with what is known: at the start that is the configuration alone."""
        self.is_known = True
        if not self._is_fault_told:
            self._is_fault_told = True
            logger().emit(Event.CONTROL_UNREADABLE, topic=self._topic, detail=detail)

    def _take(self, orders: Orders, record: Record) -> None:
        why = orders.take(record.key, record.value)
        if why is not None and why not in self._ignored:
            self._ignored.add(why)
            logger().emit(
                Event.CONTROL_ORDER_IGNORED,
                topic=self._topic,
                partition=record.partition,
                offset=record.offset,
                reason=why.value,
            )
