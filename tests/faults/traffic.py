"""What goes on while something breaks: events that keep coming, and strangers in the consumer group."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from streamer.service import Service
from tests.service.harness import Deployment, pipeline_of, survey_events

PACE_SECONDS = 0.05
"""Pause between two rounds of events; fast enough that there is always something in flight."""


@contextlib.asynccontextmanager
async def flow(deployment: Deployment, topic: str, *, partitions: int, prefix: str = "flow") -> AsyncIterator[None]:
    """Produce to all partitions while the block lasts; each record written is known to the deployment."""

    async def produce(number: int) -> None:
        for partition in range(partitions):
            await deployment.produce(topic, survey_events(5, f"{prefix}_{partition}_{number}"), partition=partition)

    async with repeated(produce, PACE_SECONDS):
        yield


@contextlib.asynccontextmanager
async def repeated(produce: Callable[[int], Awaitable[None]], pace_seconds: float) -> AsyncIterator[None]:
    """Call ``produce`` with 0, 1, 2 .. while the block lasts, with a pause after each call; the last one ends."""
    stop = asyncio.Event()

    async def go_on() -> None:
        for number in itertools.count():
            await produce(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace_seconds):
                    await stop.wait()
            if stop.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on(), name="flow")
        try:
            yield
        finally:
            stop.set()


async def every_partition_moves(
    deployment: Deployment, topic: str, *, partitions: int, prefix: str = "after", seconds: float = 10.0
) -> None:
    """One event more for each partition: so many seconds later at most, all there is has ended and is committed."""
    for partition in range(partitions):
        await deployment.produce(topic, survey_events(1, f"{prefix}_{partition}"), partition=partition)
    await deployment.settled(seconds)


def partitions_of(service: Service) -> int:
    """How many partitions it may read now."""
    integration = service.integrations["surveys"]
    if integration.runner.pipeline is None or not pipeline_of(service).assignment.is_restored:
        return 0
    return len(pipeline_of(service).assignment.ledgers)


def handed_back(service: Service) -> int:
    """Records that were open when their assignment ended, and had to be read again."""
    return sum(account.handed_back for account in service.integrations["surveys"].runner.accounts.values())


@contextlib.asynccontextmanager
async def stranger(
    deployment: Deployment, topic: str, *, bootstrap_servers: str = "", bids_farewell: bool = True
) -> AsyncIterator[None]:
    """A member of the group that reads ``topic`` and commits nothing.

    It can do what an instance of ours never would: leave without a word, hold what it was given, read a topic that is
    not the group's, only to trouble it.

    Args:
        deployment: whose integration has the group.
        topic: what it subscribes to.
        bootstrap_servers: where it goes; empty: where the service goes.
        bids_farewell: False: at its end the coordinator is not told, as after a crash.
    """
    member = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers or deployment.document["kafka"]["bootstrap_servers"],
        group_id=deployment.integration("surveys")["group_id"],
        enable_auto_commit=False,
        session_timeout_ms=1_000,
        heartbeat_interval_ms=200,
        rebalance_timeout_ms=3_000,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    member.subscribe([topic])
    joining = asyncio.create_task(member.start())  # ends with the first assignment, which may never come
    try:
        yield
    finally:
        joining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await joining
        if not bids_farewell:
            member._coordinator._maybe_leave_group = _do_nothing
        await member.stop()


async def _do_nothing() -> None: ...
