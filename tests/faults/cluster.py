"""Two brokers that check rights: a partition can lose its only leader, and the service a right, while others go on.

Tests come without credentials and may do everything. The service comes to a listener of its own, as `USER`.
"""

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from streamer.devkit.broker import HOST, Broker, free_port
from tests.conftest import connected_admin

USER: Final = "survey-reader"
PASSWORD: Final = "broker-password-7f3a"

LITERAL: Final = 3
"""Kafka's number for a rule about one name."""
ALLOW: Final = 3
"""Kafka's number for a rule that grants."""
ANYWHERE: Final = "*"
MADE_TIMEOUT_SECONDS: Final = 30.0

_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"


class Resource(enum.IntEnum):
    """What a right is about, with Kafka's numbers."""

    TOPIC = 2
    GROUP = 3
    TRANSACTIONAL_ID = 5


class Operation(enum.IntEnum):
    """What somebody may do, with Kafka's numbers."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8


class Cluster:
    """A controller that is a broker too, and a second broker, which can go without taking the controller along."""

    def __init__(self, directory: Path) -> None:
        """Plan it; nothing runs yet."""
        self._secured_ports = [free_port(), free_port()]
        self.first = Broker(directory / "kafka-1")
        self.second = Broker(directory / "kafka-2", node_id=2)
        for broker, port in zip((self.first, self.second), self._secured_ports, strict=True):
            broker.config |= _guarded(broker, port)
        self.second.config |= {
            "process.roles": "broker",
            "controller.quorum.voters": f"1@{HOST}:{self.first.controller_port}",
        }

    @property
    def bootstrap_servers(self) -> str:
        """Where tests connect: to the first broker."""
        return self.first.bootstrap_servers

    @property
    def section(self) -> dict[str, Any]:
        """How the service connects: members of the section ``kafka`` of its configuration."""
        return {
            "bootstrap_servers": ",".join(f"{HOST}:{port}" for port in self._secured_ports),
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_plain_username": USER,
            "sasl_plain_password": PASSWORD,
        }

    async def __aenter__(self) -> Self:
        """Start the first broker. What is made before `add_second` lives on it alone."""
        await self.first.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what runs."""
        for broker in (self.second, self.first):
            await broker.stop()

    async def add_second(self, group_id: str) -> None:
        """Start the second broker; the topic of positions is made before, which has the coordinators of all groups."""
        async with asyncio.timeout(MADE_TIMEOUT_SECONDS), connected_admin(self.bootstrap_servers) as admin:
            while not await _has_coordinator(admin, group_id):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.05)
        await self.second.start()

    async def make_on_second(self, topic: str) -> None:
        """Make a topic of one partition that lives on the second broker alone. Returns when it can be produced to."""
        async with asyncio.timeout(MADE_TIMEOUT_SECONDS), connected_admin(self.bootstrap_servers) as admin:
            await admin.create_topics([NewTopic(topic, -1, -1, replica_assignments={0: [self.second.node_id]})])

    async def grant(self, resource: Resource, name: str, *operations: Operation) -> None:
        """Let the service do something."""
        async with self._client() as client:
            for operation in operations:
                request = CreateAclsRequest(resource, name, LITERAL, f"User:{USER}", ANYWHERE, operation, ALLOW)
                answer = await client.send(self.first.node_id, request)
                for code, text in answer.creation_responses:
                    assert code == 0, f"{for_code(code)}: {text}"

    async def take_away(self, resource: Resource, name: str, *operations: Operation) -> None:
        """Let the service no longer do something that was granted."""
        async with self._client() as client:
            for operation in operations:
                request = DeleteAclsRequest(resource, name, LITERAL, f"User:{USER}", ANYWHERE, operation, ALLOW)
                answer = await client.send(self.first.node_id, request)
                [(code, text, taken)] = answer.filter_responses
                assert code == 0, f"{for_code(code)}: {text}"
                assert len(taken) == 1, "it had been granted"

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaClient]:
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap_servers)
        await client.bootstrap()
        try:
            yield client
        finally:
            await client.close()


def _guarded(broker: Broker, port: int) -> dict[str, str]:
    """A listener with passwords beside the usual one, and an authorizer."""
    listeners = f"PLAINTEXT://{broker.bootstrap_servers},SASL_PLAINTEXT://{HOST}:{port}"
    controller = f",CONTROLLER://{HOST}:{broker.controller_port}" if broker.node_id == 1 else ""
    return {
        "listeners": listeners + controller,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}"
            for name, protocol in (
                ("PLAINTEXT", "PLAINTEXT"),
                ("CONTROLLER", "PLAINTEXT"),
                ("SASL_PLAINTEXT", "SASL_PLAINTEXT"),
            )
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{_PLAIN} required user_{USER}="{PASSWORD}";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


async def _has_coordinator(admin: AIOKafkaAdminClient, group_id: str) -> bool:
    try:
        await admin.find_coordinator(group_id)
    except GroupCoordinatorNotAvailableError:  # the topic of positions is being made
        return False
    return True
