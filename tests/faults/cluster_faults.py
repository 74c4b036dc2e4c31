"""What happens to brokers, to what lies on them, and to rights, while an integration reads two topics.

The first topic lives on the first broker, which is the controller too; the topic beside it has one partition, on the
second broker alone. What a fault does not concern must move before the fault is over.
"""

import asyncio
import functools
import random
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

from aiokafka import TopicPartition

from streamer.devkit.broker import Broker
from tests.faults.cluster import Cluster, Operation, Resource
from tests.faults.unreadable import unreadable_batch
from tests.kafka.batches import produce_raw
from tests.service.harness import Deployment, survey_events

RECOVERY_SECONDS: Final = 120.0
"""Longest time from the end of a round until what was produced by then is committed, and from the beginning of a fault
of some partitions until the same is true of the others. A partition that was left out is tried again after a minute at
most."""

UNREADABLE_AT_ONCE: Final = 3
WITHOUT_RIGHT_SECONDS: Final = 8.0
MARGIN_SECONDS: Final = 1.0
"""From the records that cannot be read to the end of the fault: others come behind them meanwhile."""

BROKER_RESTARTED: Final = "broker restarted"
BROKER_KILLED: Final = "broker killed"
BROKER_FROZEN: Final = "broker frozen"
NO_LEADER: Final = "partition without leader"
RIGHT_TAKEN: Final = "ACL taken away"
UNREADABLE_RECORDS: Final = "unreadable records"

FaultOf = tuple[str, Callable[[], Coroutine[Any, Any, None]]]
"""What to call a fault, and how to make it happen; it returns when the fault is over."""


class ClusterFaults:
    """What can go wrong, and what has been seen of it."""

    def __init__(self, deployment: Deployment, cluster: Cluster, chance: random.Random) -> None:
        self._deployment = deployment
        self._cluster = cluster
        self._chance = chance
        self._partitions: list[TopicPartition] = []
        self.unreadable = 0
        """Records written that nobody can read."""
        self.violations: list[str] = []

    def concern(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are read; the last one is the one of the second broker."""
        self._partitions = list(partitions)

    def draw(self) -> FaultOf:
        """One of the faults, with the broker, the topic and the time drawn too."""
        broker = self._chance.choice([self._cluster.first, self._cluster.second])
        briefly, for_long = self._chance.uniform(1.0, 6.0), self._chance.uniform(13.0, 18.0)  # 12 s count as silence
        seconds = self._chance.choice([briefly, for_long])
        place = self._chance.choice(self._partitions)
        faults: list[FaultOf] = [
            (BROKER_RESTARTED, self._cluster.first.restart),
            (BROKER_KILLED, self._kill),
            (BROKER_FROZEN, functools.partial(self._freeze, broker, seconds)),
            (NO_LEADER, functools.partial(self._stop_second, self._chance.uniform(4.0, 12.0))),
            (RIGHT_TAKEN, functools.partial(self._take_right, self._chance.choice(self._topics))),
            (UNREADABLE_RECORDS, functools.partial(self._write_unreadable, place)),
        ]
        return self._chance.choice(faults)

    @property
    def _topics(self) -> list[str]:
        return sorted({place.topic for place in self._partitions})

    async def _kill(self) -> None:
        self._cluster.first.kill()
        await self._cluster.first.start()

    async def _freeze(self, broker: Broker, seconds: float) -> None:
        broker.suspend()
        await asyncio.sleep(seconds)
        if broker is self._cluster.second:
            await self._others_move(BROKER_FROZEN, self._partitions[-1:])
        broker.resume()

    async def _stop_second(self, seconds: float) -> None:
        self._cluster.second.kill()
        await asyncio.sleep(seconds)
        await self._others_move(NO_LEADER, self._partitions[-1:])
        await self._cluster.second.start()

    async def _take_right(self, topic: str) -> None:
        """With READ goes what it implies, but DESCRIBE is a right of its own: the topic can be seen, and not read."""
        await self._cluster.take_away(Resource.TOPIC, topic, Operation.READ)
        await asyncio.sleep(WITHOUT_RIGHT_SECONDS)
        await self._others_move(RIGHT_TAKEN, [place for place in self._partitions if place.topic == topic])
        await self._cluster.grant(Resource.TOPIC, topic, Operation.READ)

    async def _write_unreadable(self, place: TopicPartition) -> None:
        batch = unreadable_batch(survey_events(UNREADABLE_AT_ONCE, f"unreadable_{self.unreadable}"))
        offset = await produce_raw(self._cluster.bootstrap_servers, place.topic, place.partition, batch)
        self.unreadable += UNREADABLE_AT_ONCE
        self._deployment.note_end(place, offset + UNREADABLE_AT_ONCE)
        await asyncio.sleep(MARGIN_SECONDS)

    async def _others_move(self, fault: str, concerned: Collection[TopicPartition]) -> None:
        try:
            await self._deployment.settled(RECOVERY_SECONDS, but=concerned)
        except TimeoutError:
            self.violations.append(f"{fault}: the other partitions did not move for {RECOVERY_SECONDS:.0f} s")
