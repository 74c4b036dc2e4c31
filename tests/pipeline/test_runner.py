"""What outlives the pipelines of one subscription."""

import asyncio
from dataclasses import replace
from pathlib import Path

from streamer.core.errors import UnavailableError
from streamer.kafka import CommitResult
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.runner import Runner
from streamer.pipeline.subscription import subscription_of
from tests.doubles.kafka import MemoryBrokers
from tests.pipeline.engine import TOPIC, Engine, HandWorker, eventually, hand_of


async def test_commits_and_rebalances_count_on_when_a_pipeline_is_replaced(tmp_path: Path) -> None:
    """A counter that falls looks like a restart of the process."""
    engine = Engine(tmp_path, partitions=1)
    engine.cluster.append(TOPIC, [b"one"])
    runner = Runner(
        subscription_of("surveys", engine.settings()),
        new_brokers=lambda: MemoryBrokers(engine.cluster),
        make_worker=HandWorker,
        guard_memory=GuardMemory(tmp_path, fingerprint="f"),
        timings=replace(engine.timings, restart_min=0.001),
    )
    assert set(runner.commits()) == set(CommitResult)
    assert runner.rebalances() == {"assigned": 0, "revoked": 0, "lost": 0}
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await eventually(lambda: runner.commits()[CommitResult.STORED])
    first = runner.pipeline
    assert first is not None
    hand_of(first).failure.set_exception(UnavailableError("planted"))
    await eventually(lambda: runner.pipeline is not first)
    stored = first.assignment.commits.results[CommitResult.STORED]
    await eventually(lambda: runner.rebalances()["assigned"] == 2)
    second = runner.pipeline
    assert second is not None
    await eventually(lambda: second.assignment.is_restored)
    assert runner.commits()[CommitResult.STORED] >= stored
    stop.set()
    await running
