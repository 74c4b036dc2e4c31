"""The network fails between the service and its receiver, or between the service and its brokers.

Scripted answers of the sandbox (``tests/service/test_unhappy_destination.py``) end where HTTP ends; here it is the
bytes that stop, drip or break off, on either side of the service.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from streamer.core.delivery.transitions import State
from streamer.devkit.broker import HOST, Broker, free_port
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.kafka import CommitResult
from tests.faults.proxy import BOTH, Proxy, Way
from tests.faults.traffic import every_partition_moves, flow, handed_back, partitions_of, stranger
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 400


PARTITIONS = 4


class Detour(NamedTuple):
    """The way through the proxy."""

    proxy_port: int
    """Where clients of this way are told that the broker is."""
    listener: str
    """Where the broker really listens for them."""


@pytest.fixture(scope="module")
def detour() -> Detour:
    return Detour(free_port(), f"{HOST}:{free_port()}")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, detour: Detour) -> Iterator[Broker]:
    """One with two listeners: the tests go straight to it, and whom they send on the detour stays on it."""
    broker = Broker(tmp_path_factory.mktemp("kafka-with-detour"))
    straight = f"PLAINTEXT://{broker.bootstrap_servers}"
    broker.config |= {
        "listeners": f"{straight},DETOUR://{detour.listener},CONTROLLER://{HOST}:{broker.controller_port}",
        "advertised.listeners": f"{straight},DETOUR://{HOST}:{detour.proxy_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(broker.start())
        yield broker
        runner.run(broker.stop())


@pytest.fixture
async def to_receiver(deployment: Deployment) -> AsyncIterator[Proxy]:
    """The network between the service and Segment."""
    async with Proxy(deployment.sandbox.url.removeprefix("http://")) as proxy:
        deployment.destination["endpoint"] = f"http://{proxy.address}"
        deployment.destination["batch"] = {"max_calls": 20, "linger": 0.01}
        deployment.destination["timeout"] = 0.5
        yield proxy


async def test_requests_that_break_off_halfway_are_sent_again(deployment: Deployment, to_receiver: Proxy) -> None:
    """Half a request is none: nothing of it was taken, and all of it goes again."""
    deployment.destination["retry"] = {"quick": [0.05, 0.1, 0.2], "schedule": [0.2, 0.4, 0.8]}
    deployment.destination["gzip"] = False
    [topic] = await deployment.integrate()
    async with deployment.running():
        for cut in range(8):
            to_receiver.reset_after(1 + 700 * cut, Way.TO_SERVER)
            await deployment.produce(topic, survey_events(50, f"evt_{cut}"))
            await eventually(lambda resets=cut + 1: to_receiver.resets == resets)  # type: ignore[misc]
        await deployment.settled()

    await deployment.verify()


async def test_answers_that_break_off_are_outcomes_unknown(deployment: Deployment, to_receiver: Proxy) -> None:
    """The receiver has taken the calls; under the same messageIds they do no harm a second time."""
    deployment.destination["retry"] = {"quick": [0.05, 0.1, 0.2], "schedule": [0.2, 0.4, 0.8]}
    [topic] = await deployment.integrate()
    async with deployment.running():
        for cut in range(6):
            to_receiver.reset_after(1 + 30 * cut, Way.TO_CLIENT)
            await deployment.produce(topic, survey_events(50, f"evt_{cut}"))
            await eventually(lambda resets=cut + 1: to_receiver.resets == resets)  # type: ignore[misc]
        await deployment.settled()

    await deployment.verify(max_times=4)


@pytest.mark.parametrize("weather", ["nothing passes", "no answer passes", "answers drip"])
async def test_a_receiver_that_answers_too_late_costs_no_event_an_attempt(
    deployment: Deployment, to_receiver: Proxy, weather: str
) -> None:
    """One time limit covers the whole exchange, so that dripping bytes hold no permit.

    Retries of 1 ms would be used up at once if anything were charged. What the receiver took without our knowing is
    sent again.
    """
    deployment.destination["retry"] = {"quick": [0.001], "schedule": [0.001]}
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        destination = service.destinations["segment"]
        if weather == "nothing passes":
            to_receiver.hold()
        elif weather == "no answer passes":
            to_receiver.hold(Way.TO_CLIENT)
        else:
            to_receiver.drip(20, Way.TO_CLIENT)
        await deployment.produce(topic, survey_events(EVENTS))
        await eventually(lambda: destination.state is State.BACKING_OFF)
        await eventually(lambda: destination.status.in_flight == 0)
        to_receiver.clear()
        await deployment.settled()
        assert destination.state is State.OK

    await deployment.verify(max_times=8)
    assert await deployment.dead_letters() == []


async def test_a_slow_network_is_no_fault(deployment: Deployment, to_receiver: Proxy) -> None:
    """Within the time limit, nothing is sent twice."""
    deployment.destination["timeout"] = "10s"
    to_receiver.delay(0.1)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))
    async with deployment.running():
        await deployment.settled()

    await deployment.verify()


@pytest.fixture
async def to_brokers(deployment: Deployment, detour: Detour) -> AsyncIterator[Proxy]:
    """The network between the service and Kafka; the tests themselves do not use it."""
    deployment.hurry(commit_timeout=0.5)
    deployment.destination["batch"] = {"max_calls": 20, "linger": 0.01}
    async with Proxy(detour.listener, port=detour.proxy_port) as proxy:
        deployment.document["kafka"]["bootstrap_servers"] = proxy.address
        yield proxy


@pytest.mark.parametrize(
    ("ways", "session_timeout_ms"),
    [(BOTH, 1_000), (BOTH, 6_000), ((Way.TO_CLIENT,), 6_000)],
    ids=["longer than the session", "shorter", "no answers"],
)
async def test_brokers_out_of_reach_for_a_while(
    deployment: Deployment, to_brokers: Proxy, ways: tuple[Way, ...], session_timeout_ms: int
) -> None:
    """What was open stays open in us and goes on, evicted or not: nobody else had the partitions.

    So nothing is read or sent twice, whatever became of the commits whose answers never came.
    """
    deployment.document["kafka"]["session_timeout_ms"] = session_timeout_ms
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    async with deployment.running() as service:
        async with flow(deployment, topic, partitions=PARTITIONS):
            await deployment.commits_beyond(100)
            to_brokers.hold(*ways)
            await asyncio.sleep(1.5)  # what is tested is the length of the outage
            to_brokers.clear()
            await eventually(lambda: partitions_of(service) == PARTITIONS)
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify()


async def test_commits_that_landed_unheard_are_recognised(
    deployment: Deployment, to_brokers: Proxy, bootstrap_servers: str
) -> None:
    """Their answers never came, and the session ended meanwhile; what is stored is known as ours all the same.

    Another member keeps the group alive, so that nothing can be committed between eviction and return. A request is
    out all the while: its record stays ours.
    """
    deployment.document["kafka"]["session_timeout_ms"] = 1_000
    deployment.destination["timeout"] = "20s"
    slow = Fault(match=Match(message_ids=frozenset({"slow_0"})), action=Action(latency_seconds=6.0))
    deployment.sandbox.faults.set(slow)
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    await deployment.make_topics([f"{topic}.other"])
    async with deployment.running() as service:
        async with stranger(deployment, f"{topic}.other", bootstrap_servers=bootstrap_servers):
            # Alone in its request: in company, it would be given up because others overtake it.
            await deployment.produce(topic, survey_events(1, "slow"), partition=0)
            await eventually(lambda: deployment.sandbox.record.count("slow_0"))
            async with flow(deployment, topic, partitions=PARTITIONS):
                await deployment.commits_beyond(100)
                to_brokers.hold(Way.TO_CLIENT)
                await eventually(lambda: pipeline_of(service).assignment.commits.results[CommitResult.TIMED_OUT])
                to_brokers.hold()
                await asyncio.sleep(2)  # past the session
                to_brokers.clear()
                await eventually(
                    lambda: pipeline_of(service).assignment.commits.results[CommitResult.MEMBERSHIP_CHANGED]
                )
                await eventually(lambda: partitions_of(service) == PARTITIONS)
            await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert handed_back(service) == 0

    await deployment.verify()


async def test_an_instance_that_is_cut_off_does_no_harm_when_it_comes_back(
    deployment: Deployment, to_brokers: Proxy, bootstrap_servers: str
) -> None:
    """It takes itself for the owner and goes on delivering, while another one has its partitions and settles all."""
    deployment.document["kafka"]["session_timeout_ms"] = 1_000
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.2)))
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    async with deployment.running(state="cut off") as cut_off:
        async with flow(deployment, topic, partitions=PARTITIONS):
            await deployment.commits_beyond(100)
            deployment.document["kafka"]["bootstrap_servers"] = bootstrap_servers
            to_brokers.hold()
            async with deployment.running(state="other") as other:
                await eventually(lambda: partitions_of(other) == PARTITIONS)
                await every_partition_moves(deployment, topic, partitions=PARTITIONS, prefix="other")
                to_brokers.clear()
                await eventually(lambda: partitions_of(cut_off) == partitions_of(other) == PARTITIONS // 2)
                await every_partition_moves(deployment, topic, partitions=PARTITIONS, prefix="both")
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert cut_off.integrations["surveys"].runner.restarts == 0

    await deployment.verify(max_times=2, settled_once=False)


async def test_connections_to_brokers_that_keep_breaking(deployment: Deployment, to_brokers: Proxy) -> None:
    """A reset is not a rebalance: all goes on, once."""
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    async with deployment.running() as service:
        async with flow(deployment, topic, partitions=PARTITIONS):
            for reset in range(10):
                await deployment.commits_beyond(50 * reset)
                to_brokers.reset()
        await every_partition_moves(deployment, topic, partitions=PARTITIONS)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify()


async def test_brokers_behind_a_slow_network(deployment: Deployment, to_brokers: Proxy) -> None:
    """Slow is not broken."""
    to_brokers.delay(0.02)
    to_brokers.drip(200_000, Way.TO_CLIENT)
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(EVENTS), partition=0)
        await every_partition_moves(deployment, topic, partitions=PARTITIONS, seconds=20)
        assert pipeline_of(service).assignment.rebalances["revoked"] == 0

    await deployment.verify()
