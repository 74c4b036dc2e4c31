"""A topic that is deleted, and one whose rights are taken away: the other topic of the integration goes on."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from streamer.core.steering.order import Order, encode
from streamer.devkit.broker import HOST, Broker, free_port
from streamer.service import Service
from streamer.service_view import check_of_reading
from tests.conftest import connected_admin
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

USER: Final = "reader"
PASSWORD: Final = "reader-password-51c0"

TOPIC, LITERAL = 2, 3
ALL, READ, DESCRIBE = 2, 3, 8
DENY, ALLOW = 2, 3
"""Numbers of the protocol."""

Rules = Sequence[tuple[int, int]]
"""Operations on a topic, each with whether it is allowed; a topic without rules is open to everybody."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """With an authorizer: whoever logs in has rights and can lose them; the tests' own tools do not log in."""
    port, controller_port, sasl_port = (free_port() for _ in range(3))
    broker = Broker(
        tmp_path_factory.mktemp("kafka-with-rights"),
        port=port,
        controller_port=controller_port,
        config={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "true",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port},"
            f"SASL_PLAINTEXT://{HOST}:{sasl_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port},SASL_PLAINTEXT://{HOST}:{sasl_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
            f'PlainLoginModule required user_{USER}="{PASSWORD}";',
        },
    )
    broker.sasl_port = sasl_port  # type: ignore[attr-defined]
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(broker.start())
        yield broker
        runner.run(broker.stop())


async def set_rules(broker: Broker, topic: str, rules: Rules) -> None:
    """Replace what the service may do with a topic."""
    async with connected_admin(broker.bootstrap_servers) as admin:
        node = admin._client.get_random_node()
        await admin._client.send(node, DeleteAclsRequest(TOPIC, topic, LITERAL, f"User:{USER}", "*", 1, 1))
        for operation, permission in rules:
            create = CreateAclsRequest(TOPIC, topic, LITERAL, f"User:{USER}", "*", operation, permission)
            answer = await admin._client.send(node, create)
            assert answer.creation_responses[0][0] == 0, answer


def log_in(deployment: Deployment, broker: Broker) -> None:
    deployment.document["kafka"] |= {
        "bootstrap_servers": f"{HOST}:{broker.sasl_port}",  # type: ignore[attr-defined]
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
        "metadata_max_age_ms": 500,
    }
    deployment.hurry(left_out_max=1.0)


async def moves(deployment: Deployment, topic: str, prefix: str) -> None:
    """Ten more events of a topic are delivered and committed; the broker tells nobody about commits."""
    await deployment.produce(topic, survey_events(10, prefix), partition=0)
    ids = {f"{prefix}_{number}" for number in range(10)}
    place = TopicPartition(topic, 0)
    async with asyncio.timeout(30):
        await deployment.sandbox.until(lambda record: ids <= record.accepted_ids)
        while (await deployment.committed()).get(place) != deployment._ends[place]:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


def is_shown(service: Service, topic: str) -> bool:
    check = check_of_reading("surveys", pipeline_of(service))
    return check.ok and topic in check.detail


@pytest.mark.parametrize(
    "rules", [[(DESCRIBE, ALLOW), (READ, DENY)], [(ALL, DENY)]], ids=["may be seen", "may not be seen"]
)
async def test_a_right_that_is_taken_away_stops_no_other_topic_and_comes_back(
    deployment: Deployment, broker: Broker, rules: Rules
) -> None:
    """While it runs, and over a restart; nobody has to do anything but to give the right back."""
    open_topic, closed = await deployment.integrate(topics=2, partitions=1)
    log_in(deployment, broker)
    async with deployment.running() as service:
        for topic in (open_topic, closed):
            await moves(deployment, topic, f"{topic}_before")
        await set_rules(broker, closed, rules)
        await eventually(lambda: is_shown(service, closed))
        await deployment.produce(closed, survey_events(10, "waits"), partition=0)
        for number in range(3):
            await moves(deployment, open_topic, f"alone_{number}")
        assert service.integrations["surveys"].runner.restarts == 0
    async with deployment.running() as service:
        await moves(deployment, open_topic, "restarted")
        await eventually(lambda: is_shown(service, closed))
        await set_rules(broker, closed, [])
        for topic in (open_topic, closed):
            await moves(deployment, topic, f"{topic}_after")
        await eventually(lambda: not check_of_reading("surveys", pipeline_of(service)).detail)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify()


async def test_a_topic_that_is_deleted_stops_no_other_one_and_is_read_when_it_is_made_again(
    deployment: Deployment, broker: Broker
) -> None:
    kept, deleted = await deployment.integrate(topics=2, partitions=1)
    log_in(deployment, broker)
    with capture_logs() as lines:
        async with deployment.running() as service:
            for topic in (kept, deleted):
                await moves(deployment, topic, f"{topic}_before")
            async with connected_admin(broker.bootstrap_servers) as admin:
                await admin.delete_topics([deleted])
            await eventually(lambda: is_shown(service, deleted))
            await moves(deployment, kept, "alone")
            assert service.integrations["surveys"].runner.restarts == 0
        async with deployment.running() as service:
            await moves(deployment, kept, "restarted")
            await eventually(lambda: is_shown(service, deleted))
            await deployment.make_topics([deleted])
            await eventually(lambda: TopicPartition(deleted, 0) in pipeline_of(service).assignment.ledgers)
            for topic in (kept, deleted):
                await moves(deployment, topic, f"{topic}_after")
            assert service.integrations["surveys"].runner.restarts == 0
    assert {line["event"] for line in lines} >= {"topics.missing", "topics.found"}


async def test_a_control_topic_that_may_not_be_read_stops_nothing(deployment: Deployment, broker: Broker) -> None:
    """Operators see it in the log, and orders are obeyed once the right is given, without a restart."""
    [topic] = await deployment.integrate(partitions=1)
    control = deployment.document["control"]["topic"]
    await deployment.make_topics([control])
    await set_rules(broker, control, [(DESCRIBE, ALLOW), (READ, DENY)])
    log_in(deployment, broker)
    deployment.hurry(control_retry=0.2)
    with capture_logs() as lines:
        async with deployment.running() as service:
            await moves(deployment, topic, "without")
            await eventually(lambda: "control.unreadable" in [line["event"] for line in lines])
            await set_rules(broker, control, [(ALL, ALLOW)])
            await eventually(lambda: "control.readable" in [line["event"] for line in lines])
            order = Order(is_paused=True, by="ada@web-7", at=time.time())
            await deployment.produce(control, [encode(order)], partition=0, key=b"surveys")
            await eventually(lambda: service.integrations["surveys"].runner.is_paused)
    assert [line["event"] for line in lines].count("control.unreadable") == 1
