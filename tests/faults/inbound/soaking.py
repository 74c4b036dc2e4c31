"""The way back in a soak: calls that keep coming to all instances, a database that breaks, and the verdict."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from typing import Any, Final, Self

from tests.faults.cluster import Cluster, Operation, Resource
from tests.faults.inbound import breaking
from tests.faults.inbound.deployment import WayBack
from tests.faults.inbound.oracle import Evidence, faults
from tests.faults.inbound.sender import flow
from tests.faults.inbound.traffic import new_traffic
from tests.postgresql import PostgreSQL
from tests.service.harness import Deployment

PARTITIONS: Final = 4
LISTENERS: Final = 2
"""Of the steady instance, and of the guest."""

PACE_SECONDS: Final = 0.3
SETTLED_SECONDS: Final = 120.0

DATABASE_STOPPED: Final = "database stopped"
DATABASE_KILLED: Final = "database killed"
CONNECTIONS_CUT: Final = "database connections cut"
TABLE_LOCKED: Final = "database table locked"
DATABASE_FAULTS: Final = frozenset({DATABASE_STOPPED, DATABASE_KILLED, CONNECTIONS_CUT, TABLE_LOCKED})

MAX_NEW_RELAYS: Final = 20
"""Most times that a relay begins anew because of one round: it waits 1, 2, 4 .. 30 s after each failure."""


class SoakedWayBack:
    """A directory in a PostgreSQL of its own, fed by both instances."""

    def __init__(self, deployment: Deployment, cluster: Cluster, seed: int) -> None:
        """Plan it; nothing runs before the block."""
        self._cluster = cluster
        self._server = PostgreSQL()
        self._way_back = WayBack(deployment, cluster.bootstrap_servers, self._server.url("postgres"))
        self._traffic = new_traffic(seed)
        self._seed = seed
        self.evidence: Evidence | None = None
        """What is known at the end."""

    async def __aenter__(self) -> Self:
        """Start the database, make the topics, and grant the service what it needs."""
        await asyncio.to_thread(self._server.start)
        await self._way_back.prepare(listeners=LISTENERS, partitions=PARTITIONS)
        self._sender = self._way_back.sender(self._seed)
        grant, way_back = self._cluster.grant, self._way_back
        group_id = way_back.section["group_id"]
        await grant(Resource.GROUP, group_id, Operation.READ)
        await grant(Resource.TRANSACTIONAL_ID, f"{group_id}.relay", Operation.WRITE, Operation.DESCRIBE)
        await grant(Resource.TOPIC, way_back.topic, Operation.READ, Operation.WRITE, Operation.DESCRIBE)
        for topic in (way_back.dead_letters, way_back.profiles, way_back.triggers):
            await grant(Resource.TOPIC, topic, Operation.WRITE, Operation.DESCRIBE)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the database."""
        await asyncio.to_thread(self._server.remove)

    def sections(self, number: int) -> dict[str, Any]:
        """The configuration of an instance; 0 is the steady one, and 1 the guest."""
        return self._way_back.sections(number)

    @contextlib.asynccontextmanager
    async def flow(self) -> AsyncIterator[None]:
        """Send calls while the block lasts."""
        async with flow(self._sender, self._traffic, senders=3, pace_seconds=PACE_SECONDS):
            yield

    def draw(self, chance: random.Random) -> tuple[str, breaking.Breaking]:
        """One fault of the database."""
        stopped = breaking.stopped
        kinds: list[tuple[str, breaking.Breaking]] = [
            (DATABASE_STOPPED, lambda _: stopped(self._server, signal.SIGINT)),
            (DATABASE_KILLED, lambda _: stopped(self._server, signal.SIGQUIT)),
            (CONNECTIONS_CUT, breaking.connections_cut),
            (TABLE_LOCKED, breaking.table_locked),
        ]
        return chance.choice(kinds)

    async def break_for(self, breaking_it: breaking.Breaking, seconds: float) -> None:
        """Have the database broken for so long."""
        async with breaking_it(self._way_back.database):
            await asyncio.sleep(seconds)

    async def moves(self, seconds: float) -> None:
        """Wait until the calls that are on the topic now are applied."""
        self._way_back.relays += MAX_NEW_RELAYS
        await self._way_back.caught_up(seconds)

    async def finish(self) -> None:
        """Wait until everything is published, and look at it. Nothing may be sent any more."""
        await self._way_back.settled(SETTLED_SECONDS)
        self.evidence = await self._way_back.evidence(self._sender)

    def violations(self) -> list[str]:
        """Every promise that was broken."""
        return ["the way back did not come to its end"] if self.evidence is None else faults(self.evidence)

    def report(self) -> str:
        """What was measured."""
        if self.evidence is None:
            return ""
        answers = ", ".join(f"{times} of {name}" for name, times in sorted(self._sender.answers.items()))
        triggers = len(self.evidence.expected.triggers)
        return (
            f"{sum(self._sender.accepted.values())} calls accepted ({answers}), {len(self.evidence.records)} on the"
            f" topic, {len(self.evidence.messages)} applied, {len(self.evidence.lines)} people, {triggers} triggers of"
            f" which {len(self.evidence.triggers) - triggers} were published again"
        )
