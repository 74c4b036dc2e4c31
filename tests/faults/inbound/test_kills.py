"""``kill -9`` of listeners, consumers and relays at random moments: no accepted call is lost, none is applied twice."""

import os
import random

import pytest

from tests.faults.inbound.deployment import WayBack, publishes
from tests.faults.inbound.sender import flow
from tests.faults.inbound.traffic import new_traffic
from tests.service.harness import Process

pytestmark = pytest.mark.kafka

SEED = int(os.environ.get("STREAMER_TEST_SEED", "20261128"))
KILLS = int(os.environ.get("STREAMER_TEST_KILLS", "10"))
"""How many processes are killed in a row, on both databases together."""

LISTENERS = 3
CONSUMERS = 2
PARTITIONS = 4
KILLS_HERE = (KILLS + 1) // 2

CATCH_UP_SECONDS = 60.0 + KILLS


class Instances:
    """Those that run now. One that is killed is started again at once."""

    def __init__(self, way_back: WayBack) -> None:
        self._way_back = way_back
        self.listeners: list[Process] = []
        self.consumers: list[Process] = []

    async def start(self) -> None:
        self.listeners = [await self._way_back.start_listener(number) for number in range(LISTENERS)]
        self.consumers = [await self._way_back.start_consumer(number) for number in range(CONSUMERS)]

    async def kill_one(self, chance: random.Random) -> None:
        """Kill a listener, any consumer, or the one that publishes."""
        kind = chance.choice(["listener", "consumer", "relay"])
        if kind == "listener":
            await self.kill_listener(chance.randrange(LISTENERS))
        elif kind == "consumer":
            await self.kill_consumer(chance.randrange(CONSUMERS))
        else:
            await self.kill_relay()

    async def kill_listener(self, number: int) -> None:
        await self.listeners[number].kill()
        self.listeners[number] = await self._way_back.start_listener(number)

    async def kill_consumer(self, number: int) -> None:
        await self.consumers[number].kill()
        self._way_back.relays += 1
        self.consumers[number] = await self._way_back.start_consumer(number)

    async def kill_relay(self) -> None:
        """The consumer that publishes; if none does just now, the first."""
        publishing = [await publishes(process) for process in self.consumers]
        await self.kill_consumer(publishing.index(True) if True in publishing else 0)


@pytest.mark.timeout(120 + 20 * KILLS_HERE)
async def test_kills_at_random_moments_lose_nothing_and_apply_nothing_twice(way_back: WayBack) -> None:
    """Three listeners and two consumers under load; one of them is killed after some hundred accepted calls."""
    chance = random.Random(SEED)
    await way_back.prepare(listeners=LISTENERS, partitions=PARTITIONS)
    instances, sender = Instances(way_back), way_back.sender(SEED)
    await instances.start()
    async with flow(sender, new_traffic(SEED)):
        for _ in range(KILLS_HERE):
            await sender.more_accepted(chance.randrange(10, 150))
            await instances.kill_one(chance)
        await sender.more_accepted(500)

    await way_back.settled(CATCH_UP_SECONDS)
    print(f"{sender.accepted.total()} calls accepted, answers {dict(sender.answers)}")  # noqa: T201
    await way_back.verify(sender, last=instances.consumers)
