"""Brokers that crash, hand over, take less than they should, and topics that are not the ones they were."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from structlog.testing import capture_logs

from streamer.devkit.broker import HOST, Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.kafka import CommitResult, Source
from streamer.service import Service
from streamer.service_view import check_of_reading
from tests.conftest import connected_admin
from tests.faults.traffic import every_partition_moves, flow
from tests.service.harness import Deployment, delivery_of, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

PARTITIONS = 4


async def test_a_broker_that_is_killed_while_events_flow(deployment: Deployment, own_broker: Broker) -> None:
    """A crash says goodbye to nobody; reading, committing and writing dead letters go on once it is back."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.05)))
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        await deployment.produce(topic, [*survey_events(500, f"before_{partition}"), b"not JSON"], partition=partition)
    async with deployment.running() as service:
        await deployment.commits_beyond(100)
        own_broker.kill()
        await own_broker.start()
        await every_partition_moves(deployment, topic, partitions=PARTITIONS, seconds=30)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(max_times=2, settled_once=False)
    assert len(await deployment.dead_letters()) >= PARTITIONS


class TestTwoBrokers:
    """A cluster of two, everything on both; the second one can go without taking the cluster's controller along."""

    @pytest.fixture(scope="class")
    @classmethod
    def brokers(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Broker]]:
        everything_twice = {
            "default.replication.factor": "2",
            "offsets.topic.replication.factor": "2",
            "transaction.state.log.replication.factor": "2",
        }
        first = Broker(tmp_path_factory.mktemp("kafka-1"), config=everything_twice)
        second = Broker(tmp_path_factory.mktemp("kafka-2"), node_id=2)
        second.config |= everything_twice | {
            "process.roles": "broker",
            "listeners": f"PLAINTEXT://{second.bootstrap_servers}",
            "controller.quorum.voters": f"1@{HOST}:{first.controller_port}",
        }
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(start_together(first, second))
            yield first, second
            for broker in (second, first):
                runner.run(broker.stop())

    @pytest.fixture(scope="class")
    @classmethod
    def broker(cls, brokers: tuple[Broker, Broker]) -> Broker:
        """For topics and producers of the tests."""
        return brokers[0]

    async def test_leaders_and_the_coordinator_move_while_events_flow(
        self, deployment: Deployment, brokers: tuple[Broker, Broker]
    ) -> None:
        """The killed broker led half of the partitions, and the group. Later it leads again."""
        _, second = brokers
        deployment.document["kafka"]["bootstrap_servers"] = ",".join(broker.bootstrap_servers for broker in brokers)
        [topic] = await deployment.integrate(partitions=PARTITIONS)
        deployment.integration("surveys")["group_id"] = await group_coordinated_by(second, topic)
        async with deployment.running() as service:
            async with flow(deployment, topic, partitions=PARTITIONS):
                await deployment.commits_beyond(100)
                second.kill()
                await every_partition_moves(deployment, topic, partitions=PARTITIONS, prefix="alone", seconds=30)
                await second.start()
            await every_partition_moves(deployment, topic, partitions=PARTITIONS, seconds=30)
            assert service.integrations["surveys"].runner.restarts == 0

        await deployment.verify(max_times=2, settled_once=False)

    async def test_a_partition_without_a_leader_stops_no_other_one_and_goes_on_later(
        self, deployment: Deployment, brokers: tuple[Broker, Broker]
    ) -> None:
        """Its only replica is away, also over a restart. When it is back, the partition goes on by itself."""
        first, second = brokers
        deployment.document["kafka"] |= {
            "bootstrap_servers": ",".join(broker.bootstrap_servers for broker in brokers),
            "metadata_max_age_ms": 1_000,
        }
        deployment.hurry(left_out_max=2.0)
        [topic] = await deployment.integrate(partitions=2)
        split = f"{topic}.split"
        async with connected_admin(first.bootstrap_servers) as admin:
            await admin.create_topics([NewTopic(split, -1, -1, replica_assignments={0: [1], 1: [2]})])
        await deployment.make_topics([f"{split}.dlq"])
        section = deployment.integration("surveys")
        section["topics"] = [topic, split]
        section["group_id"] = await group_coordinated_by(first, topic)
        sound = [TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition(split, 0)]
        lost = TopicPartition(split, 1)
        for place in (*sound, lost):
            await deployment.produce(place.topic, survey_events(10, f"{place}_before"), partition=place.partition)
        async with deployment.running() as service:
            await deployment.settled()
            second.kill()
            await eventually(lambda: pipeline_of(service).assignment.left_out.fault(lost))
            await self.these_move(deployment, sound, "without")
            check = check_of_reading("surveys", pipeline_of(service))
            assert (check.ok, check.detail) == (True, f"{split}-1 is not read: no_leader")
            assert await metadata_requests(service, seconds=2) < 40, "the client asks for the leader without a pause"
        async with deployment.running() as service:
            await self.these_move(deployment, sound, "restarted")
            assert pipeline_of(service).assignment.left_out.faults().keys() == {lost}
            await second.start()
            await eventually(lambda: lost in pipeline_of(service).assignment.ledgers)
            await self.these_move(deployment, [*sound, lost], "back")
            assert service.integrations["surveys"].runner.restarts == 0

        await deployment.verify(max_times=2, settled_once=False)

    async def these_move(self, deployment: Deployment, places: Sequence[TopicPartition], prefix: str) -> None:
        """One event more for each of these partitions is delivered and committed."""
        for place in places:
            await deployment.produce(place.topic, survey_events(1, f"{place}_{prefix}"), partition=place.partition)
        await deployment.settled(30)


async def metadata_requests(service: Service, *, seconds: float) -> int:
    """How often the client asks for the cluster's layout in so many seconds."""
    source = pipeline_of(service).source
    assert isinstance(source, Source)
    client = source._joined._client
    ask, asked = client._metadata_update, 0

    async def count(*args: object) -> object:
        nonlocal asked
        asked += 1
        return await ask(*args)

    client._metadata_update = count
    await asyncio.sleep(seconds)
    client._metadata_update = ask
    return asked


async def start_together(*brokers: Broker) -> None:
    """Start brokers of one cluster."""
    async with asyncio.TaskGroup() as tasks:
        for broker in brokers:
            tasks.create_task(broker.start())


async def group_coordinated_by(broker: Broker, hint: str) -> str:
    """A name for a group whose coordinator is this broker."""
    async with asyncio.timeout(30), connected_admin(broker.bootstrap_servers) as admin:
        for number in itertools.count():
            with contextlib.suppress(GroupCoordinatorNotAvailableError):  # the topic of positions is being made
                if await admin.find_coordinator(f"{hint}.{number}") == broker.node_id:
                    break
    return f"{hint}.{number}"


class TestLittleMetadata:
    """A cluster whose operators allow less beside a position than Kafka's default."""

    LIMIT = 64

    @pytest.fixture(scope="class")
    @classmethod
    def broker(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
        config = {"offset.metadata.max.bytes": str(cls.LIMIT)}
        broker = Broker(tmp_path_factory.mktemp("kafka-little-metadata"), config=config)
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(broker.start())
            yield broker
            runner.run(broker.stop())

    async def test_commits_shrink_until_they_are_taken(self, deployment: Deployment) -> None:
        """What does not fit beside the position is sent again by the next owner; positions always get through."""
        failing = frozenset(f"evt_{number}" for number in range(4, 400, 4))
        deployment.sandbox.faults.set(
            Fault(match=Match(message_ids=frozenset({"evt_0"})), action=Action(latency_seconds=1.5)),
            Fault(match=Match(message_ids=failing), action=Action(status=500)),
        )
        deployment.destination["batch"] = {"max_calls": 1, "linger": 0}
        deployment.destination["retry"] = {"quick": ["1h"], "schedule": ["1h"]}
        [topic] = await deployment.integrate(partitions=1)
        async with deployment.running() as service:
            await deployment.produce(topic, survey_events(10, "first"), partition=0)
            await deployment.settled()
            await deployment.produce(topic, survey_events(400), partition=0)
            await eventually(lambda: len(delivery_of(service).parked) == len(failing))
            await eventually(lambda: deployment.sandbox.record.accepted == 410 - len(failing))
        commits = pipeline_of(service).assignment.commits.results
        assert commits[CommitResult.METADATA_TOO_LARGE] > 0
        assert commits[CommitResult.FAILED] == commits[CommitResult.TIMED_OUT] == 0
        [position] = (await positions_of(deployment)).values()
        assert position.offset == 14, "past evt_0, which was the last to end"
        assert 0 < len(position.metadata) <= self.LIMIT

        deployment.sandbox.faults.clear()
        async with deployment.running(state="another"):
            await deployment.settled()
        await deployment.verify(max_times=2, settled_once=False)


Positions = dict[TopicPartition, OffsetAndMetadata]


async def positions_of(deployment: Deployment) -> Positions:
    """What is stored for the integration, with what stands beside it."""
    async with connected_admin(deployment.document["kafka"]["bootstrap_servers"]) as admin:
        stored: Positions = await admin.list_consumer_group_offsets(deployment.integration("surveys")["group_id"])
        return {place: position for place, position in stored.items() if position.offset >= 0}


async def store(deployment: Deployment, positions: Positions) -> None:
    """Store positions as they were, for a group without members."""
    operator = AIOKafkaConsumer(
        bootstrap_servers=deployment.document["kafka"]["bootstrap_servers"],
        group_id=deployment.integration("surveys")["group_id"],
        enable_auto_commit=False,
    )
    async with asyncio.timeout(30), operator:
        operator.assign(list(positions))
        await operator.commit({place: (position.offset, position.metadata) for place, position in positions.items()})


async def recreate(deployment: Deployment, topic: str) -> None:
    """Delete a topic and make it anew, as people do to empty it."""
    async with asyncio.timeout(30), connected_admin(deployment.document["kafka"]["bootstrap_servers"]) as admin:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.02)
    await deployment.make_topics([topic], partitions=2)


def forget(deployment: Deployment) -> None:
    """Have the oracle judge only what comes from now on: the records before are gone with their topic."""
    deployment.sandbox.record.clear()
    deployment.services.clear()


@pytest.mark.parametrize("count", [20, 200], ids=["shorter", "longer"])
@pytest.mark.parametrize("keeps_positions", [True, False], ids=["positions kept", "positions deleted"])
async def test_a_topic_that_was_made_anew_while_we_were_away_is_read_from_its_start(
    deployment: Deployment, *, count: int, keeps_positions: bool
) -> None:
    """Kafka deletes the group's positions with a topic, but not those that somebody brings back from elsewhere.

    A position in another topic is known by lying above the end, or by the record that it names.
    """
    stragglers = frozenset({"old_0_50", "old_1_50"})
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=stragglers), action=Action(status=500)))
    deployment.destination["retry"] = {"quick": ["1h"], "schedule": ["1h"]}
    deployment.destination["batch"] = {"max_calls": 1, "linger": 0}
    [topic] = await deployment.integrate()
    for partition in range(2):
        await deployment.produce(topic, survey_events(100, f"old_{partition}"), partition=partition)
    async with deployment.running() as service:
        await eventually(lambda: deployment.sandbox.record.accepted == 198 and len(delivery_of(service).parked) == 2)
    forget(deployment)
    positions = await positions_of(deployment)
    assert [position.offset for position in positions.values()] == [50, 50]
    await recreate(deployment, topic)
    for partition in range(2):
        await deployment.produce(topic, survey_events(count, f"new_{partition}"), partition=partition)
    assert await positions_of(deployment) == {}
    if keeps_positions:
        await store(deployment, positions)

    with capture_logs() as lines:
        async with deployment.running():
            await eventually(lambda: deployment.sandbox.record.accepted == 2 * count)
            await deployment.settled()
    await deployment.verify()
    assert len([line for line in lines if line["event"] == "offsets.reset"]) == (2 if keeps_positions else 0)


@pytest.mark.parametrize("count", [50, 200], ids=["shorter", "longer"])
async def test_a_topic_that_is_made_anew_under_our_hands_is_read_from_its_start(
    deployment: Deployment, count: int
) -> None:
    """A request is out for its last records: the answer must not become a position in the new topic."""
    deployment.document["kafka"]["metadata_max_age_ms"] = 300
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        for partition in range(2):
            await deployment.produce(topic, survey_events(99, f"old_{partition}"), partition=partition)
        await deployment.settled()
        deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=2.0), times=1))
        await deployment.produce(topic, survey_events(2, "last"))
        await eventually(lambda: pipeline_of(service).worker.under_way)
        await recreate(deployment, topic)
        for partition in range(2):
            await deployment.produce(topic, survey_events(count, f"new_{partition}"), partition=partition)
        await eventually(lambda: deployment.sandbox.record.accepted == 200)
        deployment.sandbox.record.clear()
        await eventually(lambda: deployment.sandbox.record.accepted == 2 * count)
        await deployment.settled()
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(settled_once=False)
