"""Two instances of the service with several integrations, on the real broker, with the sandbox as Segment."""

import asyncio
import contextlib
import getpass
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from streamer.devkit.sandbox.server import Sandbox
from tests.conftest import ConsumeAll
from tests.questions import transcripts
from tests.questions.asking import Person
from tests.service.harness import Deployment, Process, eventually, survey_event, survey_events

RECORDS: Final = int(os.environ.get("STREAMER_QUESTIONS_RECORDS", "2000"))
"""How many records are on the first topic before anybody asks; ``make questions`` takes a million."""

CHUNK: Final = 20_000
PARTITIONS: Final = 2
FIRST: Final = "one"
PATIENCE_SECONDS: Final = 60 + RECORDS / 2_000
"""Longest wait for all to be delivered."""

INTEGRATIONS: Final = ("web", "app", "mobile", "shop", "feedback", "history")
WEB_SHOP: Final = [("client.id", b"web-shop")]
"""Headers of a producer that writes correct records."""
KIOSK: Final = [("client.id", b"kiosk-7")]
"""Headers of one that does not."""


@dataclass(slots=True)
class World:
    """What the questions are about."""

    deployment: Deployment
    person: Person
    topics: dict[str, str]
    ports: dict[str, int]
    instances: dict[str, Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """Start an instance, or start it again."""
        process = await self.deployment.start_process(state=f"state-{name}", server={"port": self.ports[name]})
        self.instances[name] = process
        self.deployment.document["state_dir"] = str(self.deployment.directory / f"state-{FIRST}")
        await eventually(lambda: process.log_events("service.started"), 30)

    def reconfigure(self, integration: str, **settings: Any) -> None:
        """Change settings of an integration in the files of both instances, which notice it."""
        self.deployment.integration(integration).update(settings)
        for process in self.instances.values():
            document = yaml.safe_load(process.config.read_text())
            document["integrations"][integration].update(settings)
            process.config.write_text(yaml.safe_dump(document))
        self.deployment.write_configuration()

    async def kill(self, name: str) -> None:
        """End an instance without a farewell."""
        await self.instances[name].kill()

    @property
    def asked(self) -> tuple[str, ...]:
        """Options that name both instances: they are on one machine, so Kafka cannot tell where each one listens."""
        return tuple(part for port in self.ports.values() for part in ("--instance", f"http://127.0.0.1:{port}"))

    async def produce(self, name: str, values: Sequence[bytes], **given: Any) -> None:
        """Write records to the topic of an integration."""
        await self.deployment.produce(self.topics[name], values, **given)

    async def deliver(self, name: str, prefix: str, count: int = 1) -> None:
        """Write events, and wait until Segment has them."""
        await self.produce(name, survey_events(count, prefix), headers=WEB_SHOP)
        await self.arrived(f"{prefix}_{count - 1}")

    async def arrived(self, message_id: str, seconds: float = 30.0) -> None:
        """Wait until Segment has an event."""
        await eventually(lambda: self.received(message_id), seconds)

    def received(self, message_id: str) -> int:
        """How often Segment has an event."""
        return self.deployment.sandbox.record.count(message_id)

    async def joined(self, instance: str, name: str, seconds: float = 60.0) -> None:
        """Wait until an instance has partitions of an integration."""
        async with asyncio.timeout(seconds):
            while not (await self.status(instance, name))["partitions"]:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.1)

    async def arrived_more(self, events: int, seconds: float = 30.0) -> None:
        """Wait until Segment has so many events more."""
        record = self.deployment.sandbox.record
        enough = record.received + events
        await eventually(lambda: record.received >= enough, seconds)

    async def dead_lettered(self, name: str, count: int, seconds: float = 30.0) -> None:
        """Wait for so many dead letters of an integration."""
        async with asyncio.timeout(seconds):
            while len(await self.deployment.dead_letters(name)) < count:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.1)

    async def status(self, instance: str, integration: str) -> dict[str, Any]:
        """What an instance says of an integration."""
        found: dict[str, Any] = (await self.instances[instance].status())["integrations"][integration]
        return found


@contextlib.asynccontextmanager
async def world(
    directory: Path, *, bootstrap_servers: str, sandbox: Sandbox, consume_all: ConsumeAll
) -> AsyncIterator[World]:
    """Both instances run, and everything that was on the topics is delivered."""
    deployment = Deployment(
        directory=directory, bootstrap_servers=bootstrap_servers, sandbox=sandbox, consume_all=consume_all
    )
    suffix = "" if transcripts.are_wanted() else f".{uuid.uuid4().hex[:8]}"
    topics = {name: f"surveys.{name}{suffix}" for name in INTEGRATIONS}
    deployment.document |= {
        "receipts": {"topic": f"streamer.receipts{suffix}"},
        "control": {"topic": f"streamer.control{suffix}"},
        "integrations": {
            name: {
                "dialect": "getuserfeedback",
                "topics": [topic],
                "destination": "segment",
                "group_id": f"streamer.{name}{suffix}",
            }
            for name, topic in topics.items()
        },
    }
    deployment.destination["retry"] = {"quick": ["1s"], "schedule": ["25s"]}
    await deployment.make_topics(
        [*topics.values(), *(f"{topic}.dlq" for topic in topics.values())], partitions=PARTITIONS
    )
    await deployment.make_topics([f"streamer.receipts{suffix}"])
    ports = {name: _free_port() for name in ("one", "two")}
    deployment.document["server"] = {"port": ports["one"]}
    host = socket.gethostname()
    replaced = {f"127.0.0.1:{port}": f"streamer-{name}:8080" for name, port in ports.items()}
    person = Person(directory, {**replaced, f"[{host}, ": "[host-1, ", f"{getpass.getuser()}@{host}": "ada@ops-1"})
    found = World(deployment, person, topics, ports)
    try:
        for begin in range(0, RECORDS, CHUNK):
            values = [survey_event(f"evt_{number}") for number in range(begin, min(begin + CHUNK, RECORDS))]
            await found.produce("web", values, headers=WEB_SHOP)
        for name in ports:
            await found.start(name)
        deployment.write_configuration()  # what commands read
        await deployment.settled(PATIENCE_SECONDS)
        yield found
    finally:
        await deployment.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def utc(epoch_seconds: float) -> str:
    """A time as commands take it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))
