"""``kill -9`` at random moments: every commit was true when it was stored, nothing is lost, little is sent again."""

import asyncio
import contextlib
import os
import random
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.core.delivery.permits import FULL_SPEED_CALLS, MIN_CALLS_IN_FLIGHT
from streamer.core.records import statement as statements
from streamer.core.records.statement import Statement
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox
from tests.faults.oracle import costs_of_kills, verify_history
from tests.faults.recorded import POISON, MixedEvents, Recorder, marked
from tests.service.harness import Deployment, Process, survey_events

pytestmark = pytest.mark.kafka

SEED = int(os.environ.get("STREAMER_TEST_SEED", "20261122"))
KILLS = int(os.environ.get("STREAMER_TEST_KILLS", "5"))
"""How often the service is killed in a row."""

ILL_SECONDS = 5.0
"""How long some events fail; the service is killed at least twice by then."""

CATCH_UP_SECONDS = 60.0 + 10.0 * KILLS
"""Longest time for what has come in while the service was being killed."""

MAX_CALLS = 20
MAX_IN_FLIGHT = 8
IN_FLIGHT = MAX_CALLS * MAX_IN_FLIGHT
SETTLED_ABOVE = 20_000
BACKLOG = 60_000
QUIET_SECONDS = 1.0
PACE_SECONDS = 0.05


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """One that keeps every call it receives, with its time."""
    sandbox = Sandbox(record_path=tmp_path / "received.jsonl")
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
def recorder(deployment: Deployment, bootstrap_servers: str, tmp_path: Path) -> Recorder:
    deployment.document["kafka"]["session_timeout_ms"] = 1_500
    deployment.destination["batch"] = {"max_calls": MAX_CALLS, "linger": 0.01}
    deployment.destination["max_in_flight"] = MAX_IN_FLIGHT
    return Recorder(deployment, bootstrap_servers, tmp_path / "received.jsonl")


@contextlib.asynccontextmanager
async def flow(deployment: Deployment, topic: str, events: MixedEvents) -> AsyncIterator[None]:
    """Produce to two partitions while the block lasts."""

    async def produce() -> None:
        while not stop.is_set():
            await deployment.produce(topic, events.take(20))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PACE_SECONDS)

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce(), name="flow")
        try:
            yield
        finally:
            stop.set()


async def kill(process: Process) -> float:
    """End it as a crash would; returns when, in seconds since the epoch."""
    await process.kill()
    return time.time()


async def finish(deployment: Deployment, process: Process) -> None:
    """Let a process settle everything, and end it by force: it has nothing left to say."""
    await deployment.settled(CATCH_UP_SECONDS)
    assert (await process.status())["unaccounted"] == 0
    await process.kill()
    assert process.errors == ""


@pytest.mark.timeout(90 + 20 * KILLS)
async def test_kills_at_random_moments_break_no_promise(deployment: Deployment, recorder: Recorder) -> None:
    """Events flow, of all kinds; each second time the service comes back on a machine without its receipts."""
    chance = random.Random(SEED)
    deployment.destination["retry"] = {"quick": [0.2, 0.5], "schedule": [1] * 30}
    deployment.sandbox.faults.set(
        Fault(action=Action(latency_seconds=0.05)),
        POISON,
        Fault(match=marked("ill"), action=Action(status=500), for_seconds=ILL_SECONDS),
    )
    topic = await recorder.integrate(partitions=2)
    kills: list[float] = []
    async with flow(deployment, topic, MixedEvents(random.Random(SEED))):
        for number in range(KILLS):
            process = await deployment.start_process(state=f"machine-{number // 2}")
            await taken(deployment, deployment.sandbox.record.accepted + chance.randrange(1, 600))
            kills.append(await kill(process))

    await finish(deployment, await deployment.start_process())

    history = await recorder.history(kills)
    for cost in costs_of_kills(history):
        print(f"a kill after which {cost.resent} calls of {cost.uncovered} possible ones were sent again")  # noqa: T201
    assert verify_history(history) == []
    await deployment.verify(max_times=KILLS + 1, settled_once=False)
    assert len(history.commits) > KILLS, "there was something to look at"


async def test_the_metadata_alone_keeps_what_is_settled_above_a_straggler(
    deployment: Deployment, recorder: Recorder, tmp_path: Path
) -> None:
    """Killed twice, each time with the receipts gone: first with all committed, then in the middle of a tail."""
    deployment.destination["retry"] = {"quick": [0.2] * 6, "schedule": [600] * 10}
    deployment.destination["batch"]["max_calls"] = 200
    record, kills = deployment.sandbox.record, list[float]()
    topic = await recorder.integrate(partitions=1)
    process = await deployment.start_process()
    await park_a_straggler(deployment, topic)
    await deployment.produce(topic, survey_events(SETTLED_ABOVE), partition=0)
    await stated(recorder, SETTLED_ABOVE + 2)
    kills.append(await kill(process))
    shutil.rmtree(tmp_path / "state")

    await deployment.produce(topic, survey_events(SETTLED_ABOVE, "tail"), partition=0)
    process = await deployment.start_process()
    await taken(deployment, SETTLED_ABOVE + SETTLED_ABOVE // 2)
    kills.append(await kill(process))
    assert sum((await deployment.committed()).values()) == 1, "the position cannot pass the straggler"
    assert record.duplicates == 0, "nothing that was settled was sent again"
    shutil.rmtree(tmp_path / "state")

    deployment.sandbox.faults.clear()
    await finish(deployment, await deployment.start_process())

    history = await recorder.history(kills)
    assert verify_history(history) == []
    await deployment.verify(max_times=2, settled_once=False)
    _, tail = costs_of_kills(history)
    print(f"{tail.resent} of {record.received} calls were sent again, of {tail.uncovered} possible ones")  # noqa: T201
    assert record.duplicates == tail.resent < SETTLED_ABOVE


async def test_a_kill_at_full_speed_repeats_at_most_what_may_be_in_flight(
    deployment: Deployment, bootstrap_servers: str, tmp_path: Path
) -> None:
    """At the worst moment: a quick receiver with 32 permits has just become slow with all that it took."""
    deployment.document["kafka"]["session_timeout_ms"] = 1_500
    deployment.destination.update(timeout=60, max_in_flight=32, batch={})
    record, kills = deployment.sandbox.record, list[float]()
    recorder = Recorder(deployment, bootstrap_servers, tmp_path / "received.jsonl")
    topic = await recorder.integrate(partitions=2)
    await deployment.produce(topic, survey_events(BACKLOG))
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.02)))  # more are in flight where it is long
    process = await deployment.start_process()
    await taken(deployment, BACKLOG // 2)
    [destination] = (await process.status())["destinations"].values()
    most = max(MIN_CALLS_IN_FLIGHT, FULL_SPEED_CALLS * destination["request_seconds"]["p99_at_most"])
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=60.0)))
    await quiet(deployment)
    kills.append(await kill(process))
    deployment.sandbox.faults.clear()
    await finish(deployment, await deployment.start_process())

    history = await recorder.history(kills)
    assert verify_history(history) == []
    await deployment.verify(max_times=2, settled_once=False)
    print(f"{record.duplicates} of {record.received} calls were sent again")  # noqa: T201
    assert MIN_CALLS_IN_FLIGHT / 2 < record.duplicates <= most, f"more than {most:.0f}, which a busy machine may raise"


async def quiet(deployment: Deployment) -> None:
    """Wait until the sandbox has received nothing for a moment: as much is in flight as may be."""
    record, received = deployment.sandbox.record, -1
    async with asyncio.timeout(60):
        while received != record.received:
            received = record.received
            await asyncio.sleep(QUIET_SECONDS)


async def park_a_straggler(deployment: Deployment, topic: str) -> None:
    """Have an event wait for its next attempt for the rest of the test, alone, with one below it delivered."""
    record = deployment.sandbox.record
    deployment.sandbox.faults.set(Fault(match=marked("straggler"), action=Action(status=500)))
    await deployment.produce(topic, survey_events(1, "good"), partition=0)
    await taken(deployment, 1)
    await deployment.produce(topic, survey_events(1, "straggler"), partition=0)
    async with asyncio.timeout(30):
        await deployment.sandbox.until(lambda _: record.requests_by_answer["500"] >= 3)


async def taken(deployment: Deployment, calls: int) -> None:
    """Wait until the sandbox has taken so many calls."""
    async with asyncio.timeout(60):
        await deployment.sandbox.until(lambda record: record.accepted >= calls)


async def stated(recorder: Recorder, horizon: int) -> None:
    """Wait until a commit states that all records below an offset are settled, but for one at its position."""

    async def last_statement() -> Statement | None:
        commits = await recorder.commits()
        return statements.decode(commits[-1].metadata, commits[-1].offset) if commits else None

    async with asyncio.timeout(60):
        while not covers(await last_statement(), horizon):  # noqa: ASYNC110 - a process announces nothing
            await asyncio.sleep(0.2)


def covers(statement: Statement | None, horizon: int) -> bool:
    """Whether it states of all records below an offset but the first that they are settled."""
    if statement is None or statement.horizon < horizon:
        return False
    return [(run.first, run.end) for run in statement.open] == [(statement.position, statement.position + 1)]
