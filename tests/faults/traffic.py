"""Events that keep coming while something breaks, and the question whether every partition moves afterwards."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

from streamer.service import Service
from tests.service.harness import Deployment, pipeline_of, survey_events

PACE_SECONDS = 0.05
"""Pause between two rounds of events; fast enough that there is always something in flight."""


@contextlib.asynccontextmanager
async def flow(deployment: Deployment, topic: str, *, partitions: int, prefix: str = "flow") -> AsyncIterator[None]:
    """Produce to all partitions while the block lasts; each record written is known to the deployment."""
    stop = asyncio.Event()

    async def produce() -> None:
        for number in itertools.count():
            for partition in range(partitions):
                await deployment.produce(topic, survey_events(5, f"{prefix}_{partition}_{number}"), partition=partition)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE_SECONDS):
                    await stop.wait()
            if stop.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce(), name="flow")
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
    if integration.pipeline is None or not pipeline_of(service).assignment.is_restored:
        return 0
    return len(pipeline_of(service).assignment.ledgers)
