"""Ends of processes, asked for or not, in the middle of a stream: nothing is lost, and little is sent twice."""

import asyncio
import signal
from datetime import UTC, datetime

import pytest

from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.service.harness import Deployment, Process, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 2_000
MAX_CALLS = 20
MAX_IN_FLIGHT = 8
IN_FLIGHT = MAX_CALLS * MAX_IN_FLIGHT


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    """A topic with a backlog that takes the service some seconds, since each request takes a while."""
    deployment.document["kafka"]["session_timeout_ms"] = 1_500
    deployment.destination["batch"] = {"max_calls": MAX_CALLS, "linger": 0.01}
    deployment.destination["max_in_flight"] = MAX_IN_FLIGHT
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.2)))
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))
    return topic


async def taken(deployment: Deployment, calls: int) -> None:
    """Wait until the sandbox has taken so many calls."""
    async with asyncio.timeout(30):
        await deployment.sandbox.until(lambda record: record.accepted >= calls)


def resent(deployment: Deployment) -> int:
    return sum(times - 1 for _, times in deployment.sandbox.record.counts())


async def next_commit(process: Process) -> None:
    """Wait for a commit of what has changed by now; there must be something that has."""

    async def commits() -> int:
        number: int = (await process.status())["integrations"]["surveys"]["commits"]["stored"]
        return number

    before = await commits()
    async with asyncio.timeout(10):
        while await commits() == before:  # noqa: ASYNC110 - a process announces nothing
            await asyncio.sleep(0.02)


async def finish(deployment: Deployment, process: Process) -> None:
    """Let a process settle everything, and end it in good order, this time as Ctrl-C does."""
    await deployment.settled()
    assert (await process.status())["unaccounted"] == 0
    process.send(signal.SIGINT)
    assert await process.wait() == 0
    assert process.errors == ""


@pytest.mark.usefixtures("topic")
async def test_a_restart_in_good_order_sends_nothing_twice(deployment: Deployment) -> None:
    """The requests that are out end, what they delivered is committed, and the exit code is 0."""
    process = await deployment.start_process()
    await taken(deployment, 300)
    process.send(signal.SIGTERM)
    assert await process.wait() == 0
    assert deployment.sandbox.record.accepted < EVENTS, "it ended in the middle"
    await deployment.verify(is_over=False)

    await finish(deployment, await deployment.start_process())

    await deployment.verify(settled_once=False)


@pytest.mark.usefixtures("topic")
@pytest.mark.parametrize("same_disk", [True, False], ids=["same disk", "another machine"])
async def test_a_kill_in_the_middle_loses_nothing(deployment: Deployment, *, same_disk: bool) -> None:
    """What was in flight is sent again; without the receipts on disk, what was settled since the last commit too."""
    process = await deployment.start_process()
    await deployment.commits_beyond(100)
    await process.kill()
    await deployment.verify(is_over=False)
    accepted = deployment.sandbox.record.accepted
    committed = sum((await deployment.committed()).values())
    assert accepted < EVENTS, "it was killed in the middle"

    await finish(deployment, await deployment.start_process(state="state" if same_disk else "another"))

    await deployment.verify(max_times=2, settled_once=False)
    sent_again = resent(deployment)
    print(f"killed after {accepted} calls, {committed} of them committed: {sent_again} sent again")  # noqa: T201 - a figure
    assert sent_again <= (IN_FLIGHT if same_disk else accepted - committed)


@pytest.mark.usefixtures("topic")
async def test_a_kill_before_anything_is_sent_costs_nothing_more(deployment: Deployment) -> None:
    """Somewhere between the assignment and the first request: before or after it is stored where the group begins."""
    process = await deployment.start_process()
    async with asyncio.timeout(30):
        while not process.log_events("partition.assigned"):  # noqa: ASYNC110 - a process announces nothing
            await asyncio.sleep(0.005)
    await process.kill()

    await finish(deployment, await deployment.start_process())

    await deployment.verify(max_times=2, settled_once=False)
    assert resent(deployment) <= IN_FLIGHT


@pytest.mark.usefixtures("topic")
async def test_a_kill_in_the_first_backlog_sends_again_what_was_in_flight(deployment: Deployment) -> None:
    """In its first second nothing is stored but where the group begins: the receipts since then prove the rest."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.05)))
    process = await deployment.start_process()
    await taken(deployment, 400)
    await process.kill()
    committed = sum((await deployment.committed()).values())

    await finish(deployment, await deployment.start_process())

    await deployment.verify(max_times=2, settled_once=False)
    print(f"killed with {committed} records committed: {resent(deployment)} sent again")  # noqa: T201 - a figure
    assert resent(deployment) <= IN_FLIGHT


async def test_a_kill_while_a_reset_is_followed_sends_again_what_was_in_flight(
    deployment: Deployment, topic: str
) -> None:
    """An operator wants everything once more, and not once more after each kill."""
    record = deployment.sandbox.record
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.05)))
    await finish(deployment, await deployment.start_process())
    await deployment.reset_positions(topic)
    process = await deployment.start_process()
    async with asyncio.timeout(30):
        await deployment.sandbox.until(lambda _: record.duplicates >= 400)
    await process.kill()

    await finish(deployment, await deployment.start_process())

    times = [times for _, times in record.counts()]
    assert len(times) == EVENTS
    assert min(times) == 2
    assert sum(times) - 2 * EVENTS <= IN_FLIGHT


async def test_one_straggler_costs_one_request_after_a_kill(deployment: Deployment, topic: str) -> None:
    """The position cannot pass it, but the commit says what is settled above, to whoever has the partition then."""
    deployment.destination["timeout"] = "1m"
    straggler = Fault(match=Match(message_ids=frozenset({"evt_0"})), action=Action(hang=True))
    deployment.sandbox.faults.set(straggler)
    process = await deployment.start_process()
    await taken(deployment, EVENTS)
    await deployment.produce(topic, survey_events(1, "last"), partition=0)
    await taken(deployment, EVENTS + 1)
    await next_commit(process)
    await process.kill()
    await deployment.verify(is_over=False)
    assert sum((await deployment.committed()).values()) <= EVENTS / 2 + 1, "the position stands before the straggler"

    deployment.sandbox.faults.clear()
    await finish(deployment, await deployment.start_process(state="another"))

    await deployment.verify(max_times=2, settled_once=False)
    assert 1 <= resent(deployment) <= MAX_CALLS + 1


@pytest.mark.usefixtures("topic")
async def test_kills_in_a_row_lose_nothing(deployment: Deployment) -> None:
    """Whatever the moment, what is committed has its end."""
    for kill in range(3):
        process = await deployment.start_process()
        await deployment.commits_beyond(100 + 500 * kill)
        await process.kill()
        await deployment.verify(max_times=4, is_over=False)

    await finish(deployment, await deployment.start_process())

    await deployment.verify(max_times=4, settled_once=False)
    assert resent(deployment) <= 3 * IN_FLIGHT


@pytest.mark.usefixtures("topic")
async def test_a_second_signal_ends_at_once(deployment: Deployment) -> None:
    """A drain waits for a request that hangs; whoever cannot wait says so again. The request is not taken for done."""
    deployment.destination["timeout"] = "1m"
    deployment.sandbox.faults.set(Fault(action=Action(hang=True)))
    process = await deployment.start_process()
    await taken(deployment, 1)
    process.send(signal.SIGTERM)
    async with asyncio.timeout(10):
        while not process.log_events("drain.started"):  # noqa: ASYNC110 - a process announces nothing
            await asyncio.sleep(0.02)
    process.send(signal.SIGTERM)

    assert await process.wait(seconds=3) == 143
    assert process.errors == ""
    assert not any((await deployment.committed()).values())

    deployment.sandbox.faults.clear()
    await finish(deployment, await deployment.start_process())
    await deployment.verify(max_times=2, settled_once=False)


async def test_a_frozen_instance_that_comes_back_loses_nothing(deployment: Deployment, topic: str) -> None:
    """It slept through its session, another one has its partitions: what it still claims to know must do no harm."""
    frozen = await deployment.start_process(state="frozen")
    await taken(deployment, 300)
    frozen.send(signal.SIGSTOP)
    other = await deployment.start_process(state="other")
    await deployment.settled()
    frozen.send(signal.SIGCONT)
    await deployment.produce(topic, survey_events(100, "after"))
    await deployment.settled()

    await finish(deployment, other)
    await deployment.produce(topic, survey_events(100, "alone"))
    await finish(deployment, frozen)
    await deployment.verify(max_times=2, settled_once=False)


@pytest.mark.usefixtures("topic")
async def test_receipts_are_complete_only_since_the_partition_is_ours(deployment: Deployment) -> None:
    """What another instance delivered in between has its receipt there, however old the receipts here are."""
    for _ in range(2):
        began_at = datetime.now(UTC)
        process = await deployment.start_process()
        await deployment.settled()
        partitions = (await process.status())["integrations"]["surveys"]["partitions"]
        assert all(datetime.fromisoformat(one["receipts_since"]) >= began_at for one in partitions)
        process.send(signal.SIGTERM)
        assert await process.wait() == 0
