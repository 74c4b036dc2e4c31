"""An instance that is frozen does not stop the others for long, and does no harm when it wakes. On PostgreSQL.

PostgreSQL ends what a frozen program holds. On SQLite nobody can: the others wait until it wakes or is killed.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.faults.inbound import breaking, hurried
from tests.faults.inbound.deployment import WayBack, eventually, publishes
from tests.faults.inbound.sender import flow, new_session
from tests.faults.inbound.traffic import new_traffic
from tests.service.harness import Deployment, Process

pytestmark = pytest.mark.kafka

SEED = 20261128
SESSION_MS = 1_500
WAIT_SECONDS = 60.0
FREEZES = 3

IN_A_TRANSACTION = """
SELECT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE NOT granted AND relation = 'directory_messages'::regclass
"""
"""The port of whoever has begun a transaction, and waits for the table."""


@pytest.fixture
async def way_back(deployment: Deployment, bootstrap_servers: str, postgresql_url: str) -> WayBack:
    """With short waits for those that hold the database."""
    deployment.document["kafka"]["session_timeout_ms"] = SESSION_MS
    way_back = WayBack(deployment, bootstrap_servers, postgresql_url)
    way_back.program = (hurried.__file__,)
    await way_back.prepare(listeners=1, partitions=4)
    return way_back


@contextlib.asynccontextmanager
async def frozen(process: Process) -> AsyncIterator[None]:
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


async def owner_of(port: int, processes: list[Process]) -> Process:
    """The process with this port of its own."""
    for process in processes:
        if any(one.laddr.port == port for one in psutil.Process(process.pid).net_connections()):
            return process
    raise AssertionError(f"nobody has port {port}")


async def test_a_consumer_that_is_frozen_in_a_transaction_stops_nobody_for_long(way_back: WayBack) -> None:
    """It holds the lock of the one writer until PostgreSQL ends its transaction; its calls are applied by another."""
    sender, traffic = way_back.sender(SEED), new_traffic(SEED)
    await way_back.start_listener(0)
    consumers = [await way_back.start_consumer(number) for number in range(2)]
    async with new_session() as session:
        await sender.deliver(session, traffic.first_calls())
        await way_back.settled(WAIT_SECONDS)
        async with breaking.table_locked(way_back.database):
            for _ in range(20):
                await sender.deliver(session, traffic.request())
            await eventually(lambda: is_in_transaction(way_back), WAIT_SECONDS)
            [(port,)] = await way_back.database.select(IN_A_TRANSACTION)
            victim = await owner_of(port, consumers)
            victim.send(signal.SIGSTOP)
        await way_back.settled(WAIT_SECONDS)  # by the other one
        victim.send(signal.SIGCONT)
        for _ in range(20):
            await sender.deliver(session, traffic.request())
        await way_back.settled(WAIT_SECONDS)

    way_back.relays = 2
    await way_back.verify(sender, last=consumers)


async def test_a_relay_that_was_frozen_publishes_nothing_old(way_back: WayBack) -> None:
    """Another one takes over and publishes; the brokers refuse what the frozen one had in hand."""
    chance = random.Random(SEED)
    sender = way_back.sender(SEED)
    await way_back.start_listener(0)
    consumers = [await way_back.start_consumer(number) for number in range(2)]
    async with flow(sender, new_traffic(SEED), pace_seconds=0.1):
        for _ in range(FREEZES):
            await eventually(lambda: one_publishes(consumers), WAIT_SECONDS)
            [relay] = [process for process in consumers if await publishes(process)]
            [other] = [process for process in consumers if process is not relay]
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            async with frozen(relay):
                await eventually(lambda other=other: publishes(other), WAIT_SECONDS)  # type: ignore[misc]
                published = len(await way_back.read(way_back.triggers))
                await eventually(lambda published=published: has_more(way_back, published), WAIT_SECONDS)  # type: ignore[misc]
            way_back.relays += 1
    await way_back.settled(WAIT_SECONDS)
    await way_back.verify(sender, last=consumers)


async def is_in_transaction(way_back: WayBack) -> bool:
    return bool(await way_back.database.select(IN_A_TRANSACTION))


async def one_publishes(processes: list[Process]) -> bool:
    """Whether exactly one says so: one that has just woken does not know yet that it lost the lock."""
    return sum([await publishes(process) for process in processes]) == 1


async def has_more(way_back: WayBack, published: int) -> bool:
    """Whether there are more triggers than these."""
    return len(await way_back.read(way_back.triggers)) > published
