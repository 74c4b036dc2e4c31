"""Where a group begins with a topic: at `start` when it enters the topic, at the beginning with what comes later."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.kafka import CommitResult
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.guard_memory import GuardMemory
from tests.doubles.kafka import Log
from tests.pipeline.engine import GROUP, LETTERS, TOPIC, Engine, HandWorker, eventually, hand_of

BEFORE = 5
NOON_MS = 1_767_268_800_000
LATEST, AT_NOON = "latest", "2026-01-01T12:00:00Z"


def engine_of(directory: Path, *, start: str = LATEST, partitions: int = 2) -> Engine:
    """One with records in every partition that are older than the group."""
    engine = Engine(directory, partitions=partitions, start=start)
    for partition in range(partitions):
        fill(engine, partition, BEFORE)
    return engine


def fill(engine: Engine, partition: int, count: int = 1) -> None:
    engine.cluster.append(TOPIC, [b"x"] * count, partition=partition)


def grow(engine: Engine, count: int) -> None:
    """Let the topic get a partition with records."""
    for topic in (TOPIC, LETTERS):
        engine.cluster.logs[topic].append(Log())
    fill(engine, len(engine.cluster.logs[TOPIC]) - 1, count)


def read(*pipelines: Pipeline) -> dict[int, list[int]]:
    """What was read and not settled, by partition."""
    found: dict[int, list[int]] = {}
    for pipeline in pipelines:
        for call in hand_of(pipeline).open:
            if not call.ledger.is_fenced:
                found.setdefault(call.record.partition, []).append(call.record.offset)
    return found


@contextlib.asynccontextmanager
async def started(engine: Engine, instance: str) -> AsyncIterator[Pipeline]:
    """Run an instance, without waiting for anything."""
    pipeline = engine.pipeline(HandWorker, instance=instance)
    stop = asyncio.Event()
    running = asyncio.create_task(pipeline.run(stop))
    try:
        yield pipeline
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await running


async def test_latest_is_the_end_at_the_moment_of_entering(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    async with engine.running() as pipeline:
        fill(engine, 1)
        await eventually(lambda: read(pipeline))
        assert read(pipeline) == {1: [BEFORE]}
    assert [engine.committed(0), engine.committed(1)] == [BEFORE, BEFORE]


async def test_a_time_is_where_the_first_record_since_then_is(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, start=AT_NOON)
    engine.cluster.append(TOPIC, [b"x"], partition=1, timestamp=NOON_MS)
    async with engine.running() as pipeline:
        await eventually(lambda: read(pipeline))
        assert read(pipeline) == {1: [BEFORE]}
    assert engine.committed(0) == BEFORE, "there is no such record yet: the next one is"


@pytest.mark.parametrize("start", [LATEST, AT_NOON, "earliest"])
async def test_a_partition_that_is_added_while_nobody_runs_is_read_from_its_beginning(
    tmp_path: Path, start: str
) -> None:
    engine = engine_of(tmp_path, partitions=1, start=start)
    async with engine.running() as pipeline:
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed(0) is not None)
    grow(engine, 3)
    async with engine.running() as pipeline:
        await eventually(lambda: read(pipeline).get(1))
        assert read(pipeline)[1] == [0, 1, 2]


async def test_so_is_one_whose_topic_is_known_from_positions_of_another_member(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, partitions=1)
    async with engine.running():
        pass
    grow(engine, 3)
    async with engine.running() as first, engine.running(instance="two") as second:
        await eventually(lambda: len(first.assignment.readable()) == len(second.assignment.readable()) == 1)
        await eventually(lambda: len(read(first, second).get(1, ())) == 3)
        assert read(first, second) == {1: [0, 1, 2]}


async def test_a_topic_that_is_added_is_entered_by_itself(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    async with engine.running():
        pass
    for topic in ("new", "new.dlq"):
        engine.cluster.create(topic)
    engine.cluster.append("new", [b"x"] * BEFORE)
    engine.section["topics"] = [TOPIC, "new"]
    async with engine.running() as pipeline:
        assert pipeline.assignment.ledgers[Place("new", 0)].position == BEFORE


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_instances_that_start_a_new_group_at_once_agree_on_where_it_begins(tmp_path: Path, turns: int) -> None:
    """One of them enters the topic for both: what the other finds stored does not make its partition a later one."""
    engine = engine_of(tmp_path)
    async with started(engine, "one") as first:
        for _ in range(turns):
            await asyncio.sleep(0)
        async with started(engine, "two") as second:
            await eventually(lambda: len(first.assignment.readable()) == len(second.assignment.readable()) == 1)
            for partition in range(2):
                fill(engine, partition)
            await eventually(lambda: len(read(first, second)) == 2)
            assert read(first, second) == {0: [BEFORE], 1: [BEFORE]}


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_what_comes_after_a_group_has_begun_is_read_by_whoever_gets_its_partition(
    tmp_path: Path, turns: int
) -> None:
    """The first instance dies at any moment: once a begin is stored, nothing behind it is skipped."""
    engine = engine_of(tmp_path)
    pipeline = engine.pipeline(HandWorker)
    running = asyncio.create_task(pipeline.run(asyncio.Event()))
    for _ in range(turns):
        await asyncio.sleep(0)
    has_begun = bool(engine.cluster.group(GROUP).stored)
    for partition in range(2):
        fill(engine, partition)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    async with engine.running() as first, engine.running(instance="two") as second:
        await eventually(lambda: len(first.assignment.readable()) == len(second.assignment.readable()) == 1)
        for partition in range(2):
            fill(engine, partition)
        expected = [BEFORE, BEFORE + 1] if has_begun else [BEFORE + 1]
        await eventually(lambda: sum(map(len, read(first, second).values())) == 2 * len(expected))
        assert read(first, second) == {0: expected, 1: expected}


@pytest.mark.parametrize("result", [CommitResult.TIMED_OUT, CommitResult.FAILED])
async def test_the_begin_stays_where_it_is_while_it_cannot_be_stored(tmp_path: Path, result: CommitResult) -> None:
    engine = engine_of(tmp_path)
    engine.cluster.commit_results.extend([result] * 3)
    async with started(engine, "one") as pipeline:
        await eventually(lambda: len(engine.cluster.commit_results) == 2)
        for partition in range(2):
            fill(engine, partition)
        await eventually(lambda: len(read(pipeline)) == 2)
        assert read(pipeline) == {0: [BEFORE], 1: [BEFORE]}


async def test_an_instance_that_waits_for_another_to_begin_says_so(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    engine.cluster.closed.add(TOPIC)
    with capture_logs() as lines:
        async with started(engine, "one") as first, started(engine, "two") as second:
            await eventually(lambda: [line for line in lines if "partition 0" in line.get("detail", "")])
            assert first.assignment.readable() | second.assignment.readable() == set()
            engine.cluster.closed.clear()
            await eventually(lambda: len(first.assignment.readable()) == len(second.assignment.readable()) == 1)


async def test_a_topic_that_is_made_anew_while_we_run_is_read_from_its_beginning(tmp_path: Path) -> None:
    """The broker forgets the positions of a deleted topic; `start` is for topics that we did not know."""
    engine = engine_of(tmp_path)
    async with engine.running() as pipeline:
        await eventually(pipeline.assignment.readable)
        engine.cluster.delete(TOPIC)
        engine.cluster.group(GROUP).stored.clear()
        engine.cluster.create(TOPIC, 2)
        fill(engine, 1, 3)
        await engine.cluster.group(GROUP).rebalance()
        await eventually(lambda: read(pipeline))
        assert read(pipeline) == {1: [0, 1, 2]}


class TestPaused:
    """A member of the group that reads nothing, so that the positions do not expire."""

    async def test_it_stores_where_the_group_begins_and_reads_nothing(self, tmp_path: Path) -> None:
        """With `latest`, a pause before the first run does not move the start."""
        engine = engine_of(tmp_path)
        engine.section["status"] = "paused"
        async with engine.running() as paused:
            await eventually(paused.assignment.readable)
            for partition in range(2):
                fill(engine, partition)
            turned_at = paused._reader.turned_at
            await eventually(lambda: paused._reader.turned_at > turned_at)
            assert engine.cluster.group(GROUP).members, "it keeps the group from being empty"
            assert hand_of(paused).open == []
        assert [engine.committed(0), engine.committed(1)] == [BEFORE, BEFORE]
        engine.section["status"] = "running"
        async with engine.running() as resumed:
            await eventually(lambda: len(read(resumed)) == 2)
            assert read(resumed) == {0: [BEFORE], 1: [BEFORE]}

    async def test_it_leaves_positions_as_they_are(self, tmp_path: Path) -> None:
        engine = engine_of(tmp_path, start="earliest")
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 2 * BEFORE)
            hand_of(pipeline).deliver()
            await eventually(lambda: engine.committed(0) == engine.committed(1) == BEFORE)
        stored = dict(engine.cluster.group(GROUP).stored)
        engine.section["status"] = "paused"
        async with engine.running() as paused:
            await eventually(paused.assignment.readable)
        assert engine.cluster.group(GROUP).stored == stored

    async def test_it_needs_no_topic_for_dead_letters(self, tmp_path: Path) -> None:
        engine = engine_of(tmp_path)
        engine.cluster.delete(LETTERS)
        engine.section["status"] = "paused"
        async with engine.running() as paused:
            await eventually(paused.assignment.readable)

    async def test_that_the_mass_guard_has_stopped_it_is_not_said_meanwhile(self, tmp_path: Path) -> None:
        engine = engine_of(tmp_path)
        engine.section["status"] = "paused"
        GuardMemory(tmp_path / "one", fingerprint=engine.settings().fingerprint()).remember()
        with capture_logs() as lines:
            async with engine.running() as paused:
                assert not paused.is_guarded
        assert "integration.guarded" not in {line["event"] for line in lines}
