"""Rebalances that come at the worst time, and members that are gone without knowing it.

The other members here are strangers: see `traffic`.
"""

import asyncio
import time

import pytest

from streamer.core.delivery.concurrency import INITIAL_LIMIT
from streamer.core.records.obstacles import PartitionFault
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.kafka import Source, StoredPosition, TopicPartition
from tests.faults.traffic import every_partition_moves, flow, handed_back, partitions_of, stranger
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

PARTITIONS = 4


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    deployment.destination["batch"] = {"max_calls": 20, "linger": 0.01}
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    return topic


@pytest.fixture
async def other_topic(deployment: Deployment, topic: str) -> str:
    """One that only strangers read: their coming and going takes no partition from us for longer than a rebalance."""
    other = f"{topic}.other"
    await deployment.make_topics([other])
    return other


async def test_a_member_joins_or_leaves_each_second(deployment: Deployment, topic: str) -> None:
    """For 10 seconds, every third without a word. Afterwards every partition moves within 10 seconds."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.1)))
    async with deployment.running() as service:
        async with flow(deployment, topic, partitions=PARTITIONS):
            await deployment.commits_beyond(50)
            for number in range(5):
                async with stranger(deployment, topic, bids_farewell=number % 3 != 0):
                    await asyncio.sleep(1)
                await asyncio.sleep(1)
        committed = sum((await deployment.committed()).values())
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert pipeline_of(service).assignment.rebalances["revoked"] >= 5
        assert service.integrations["surveys"].runner.restarts == 0

    assert committed > 200, "there was progress all along"
    await deployment.verify(max_times=2, settled_once=False)


async def test_partitions_that_come_back_at_once_are_not_read_again(
    deployment: Deployment, topic: str, other_topic: str
) -> None:
    """The protocol takes all partitions at each rebalance. What is open in those that we get back just goes on."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.2)))
    async with deployment.running() as service:
        async with flow(deployment, topic, partitions=PARTITIONS):
            await deployment.commits_beyond(50)
            for number in range(5):
                rebalances = pipeline_of(service).assignment.rebalances["assigned"]
                async with stranger(deployment, other_topic):
                    await eventually(
                        lambda before=rebalances: pipeline_of(service).assignment.rebalances["assigned"] > before  # type: ignore[misc]
                    )
                    await deployment.commits_beyond(100 * number)
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert handed_back(service) == 0

    await deployment.verify()


async def test_a_rebalance_while_all_requests_hang(deployment: Deployment, topic: str, other_topic: str) -> None:
    """The drain is bounded, the group is stable again soon, and the answers that come after it are not lost on us."""
    deployment.document["kafka"]["rebalance_timeout_ms"] = 3_000
    deployment.destination["timeout"] = "20s"
    deployment.destination["batch"] = {"max_calls": 1}  # a larger one that others overtake is given up
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(1, "before"), partition=0)
        await deployment.settled()
        deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=5.0), times=INITIAL_LIMIT))
        for partition in range(PARTITIONS):
            await deployment.produce(topic, survey_events(100, f"evt_{partition}"), partition=partition)
        await eventually(lambda: pipeline_of(service).worker.under_way == INITIAL_LIMIT)
        began = time.monotonic()
        async with stranger(deployment, other_topic):
            await eventually(lambda: pipeline_of(service).assignment.rebalances["assigned"] == 2)
            assert time.monotonic() - began < 3.0, "within the rebalance timeout"
            await eventually(lambda: partitions_of(service) == PARTITIONS)
            assert pipeline_of(service).worker.under_way == INITIAL_LIMIT, "the requests are still out"
            await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert handed_back(service) == 0

    await deployment.verify()


async def test_a_blocked_event_loop_survives_its_eviction(deployment: Deployment, topic: str) -> None:
    """No heartbeat is sent while something blocks the loop: the group goes on without us, and takes us back."""
    deployment.document["kafka"]["session_timeout_ms"] = 1_000
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.1)))
    async with deployment.running() as service:
        async with flow(deployment, topic, partitions=PARTITIONS):
            await deployment.commits_beyond(50)
            time.sleep(1.5)  # noqa: ASYNC251 - this is the fault
            await eventually(lambda: pipeline_of(service).assignment.rebalances["revoked"] >= 1)
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(max_times=2, settled_once=False)


async def test_nothing_is_read_before_it_is_known_where_to_begin(
    deployment: Deployment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client fetches from the moment it is assigned, and the coordinator may take longer than a session to answer.

    Asked in the client's callback, which stops its heartbeats, that would be an eviction.
    """
    answers = asyncio.Event()
    ask = Source.stored_positions

    async def ask_slowly(
        source: Source, partitions: frozenset[TopicPartition]
    ) -> dict[TopicPartition, StoredPosition | PartitionFault]:
        await answers.wait()
        return await ask(source, partitions)

    monkeypatch.setattr(Source, "stored_positions", ask_slowly)
    deployment.document["kafka"]["session_timeout_ms"] = 1_000
    for partition in range(PARTITIONS):
        await deployment.produce(topic, survey_events(50, f"evt_{partition}"), partition=partition)
    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.has_started)
        await asyncio.sleep(1.5)  # past the session
        assert not pipeline_of(service).assignment.is_restored
        assert deployment.sandbox.record.received == 0
        answers.set()
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert pipeline_of(service).assignment.rebalances == {"assigned": 1, "revoked": 0, "lost": 0}

    await deployment.verify()
