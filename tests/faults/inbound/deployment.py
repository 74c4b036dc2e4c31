"""The way back under test: topics on the real broker, a database, and processes that listen, apply and publish."""

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.core.model import Record
from streamer.devkit.broker import free_port
from streamer.directory.store import Directory
from streamer.service import Service
from tests.conftest import connected_admin, read_topic
from tests.directory.conftest import settings_of
from tests.faults.inbound.audit import Database
from tests.faults.inbound.oracle import Evidence, faults
from tests.faults.inbound.sender import Sender, new_sender
from tests.service.harness import Deployment, Process

WEBHOOKS: Final = {"production": "secret-of-production", "second": "secret-of-the-second-source"}
POLL_SECONDS: Final = 0.1
READY: Final = 200
UNREADY: Final = 503
NONE: Final[Mapping[str, Any]] = {"destinations": {}, "integrations": {}}
"""Sections of a process that sends no events."""


class WayBack:
    """One directory with its topics, and all processes that work on it."""

    def __init__(self, deployment: Deployment, bootstrap_servers: str, url: str) -> None:
        """Plan it; nothing runs yet.

        Args:
            deployment: makes topics and starts processes.
            bootstrap_servers: its broker.
            url: address of an empty database.
        """
        self.deployment = deployment
        self.database = Database(url)
        self.ports: Sequence[int] = ()
        """Where listeners listen."""
        suffix = uuid.uuid4().hex[:8]
        self.topic, self.dead_letters, self.profiles, self.triggers = (
            f"streamer-test.{name}.{suffix}" for name in ("inbound", "inbound.dlq", "profiles", "triggers")
        )
        self.section: dict[str, Any] = {
            "webhooks": {name: {"secrets": [secret]} for name, secret in WEBHOOKS.items()},
            "topic": self.topic,
            "group_id": f"streamer.inbound.{suffix}",
            "dead_letters": {"topic": self.dead_letters},
            "profiles_topic": self.profiles,
            "triggers_topic": self.triggers,
        }
        """``inbound`` of the configuration, but for ``listen``."""
        self.relays = 0
        """How often another relay may have begun, whatever the reason."""
        self.program: Sequence[str] = ("-m", "streamer")
        """What Python runs."""
        self._bootstrap_servers = bootstrap_servers
        self._partitions = 0

    async def prepare(self, *, listeners: int, partitions: int) -> None:
        """Make the topics, the tables, and the notes of what is stored; find ports for so many listeners."""
        self._partitions = partitions
        await self.deployment.make_topics([self.topic], partitions=partitions)
        await self.deployment.make_topics([self.dead_letters])
        await self.deployment.make_topics([self.triggers], partitions=2)
        await self.deployment.make_topics([self.profiles], partitions=2, **{"cleanup.policy": "compact"})
        self.ports = [free_port() for _ in range(listeners)]
        directory = Directory(settings_of(self.database.url))
        await directory.migrate()
        await directory.close()
        await self.database.audit()

    def sender(self, seed: int) -> Sender:
        """One that sends to all listeners."""
        return new_sender(self.ports, WEBHOOKS, seed)

    async def start_listener(self, number: int) -> Process:
        """Start a process that only listens, on one of the ports."""
        sections = self.sections(number) | {"directory": False}
        return await self.deployment.start_process(state=f"listener-{number}", program=self.program, **NONE, **sections)

    async def start_consumer(self, number: int) -> Process:
        """Start a process that only applies calls and publishes."""
        inbound = {**self.section, "listen": False}
        sections = {**NONE, "inbound": inbound, "directory": {"url": self.database.url}}
        return await self.deployment.start_process(state=f"consumer-{number}", program=self.program, **sections)

    def sections(self, number: int) -> dict[str, Any]:
        """The configuration of an instance that does everything, and listens on one of the ports."""
        inbound = {**self.section, "listen": {"host": "127.0.0.1", "port": self.ports[number]}}
        return {"inbound": inbound, "directory": {"url": self.database.url}}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Run listener, consumer and relay in this process; at the end of the block they drain."""
        self.deployment.document |= {**NONE, **self.sections(0)}
        async with self.deployment.running() as service:
            yield service

    async def settled(self, seconds: float) -> None:
        """Wait until all calls are applied, and all records of the outbox published. Nothing may be sent any more."""
        async with asyncio.timeout(seconds):
            await self.caught_up(seconds)
            while await self.database.waiting():  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(POLL_SECONDS)

    async def caught_up(self, seconds: float) -> None:
        """Wait until the calls that are on the topic now are applied, and this is committed."""
        async with asyncio.timeout(seconds):
            ends = await self.ends()
            while not await self._has_committed(ends):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(POLL_SECONDS)

    async def _has_committed(self, ends: Mapping[int, int]) -> bool:
        try:
            committed = await self.committed()
        except KafkaError as error:
            if not error.retriable:
                raise
            return False  # the coordinator is still being made or moved
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    async def read(self, topic: str) -> list[Record]:
        """All records of a topic; of a transaction, only if it was committed."""
        records: list[Record] = await read_topic(self._bootstrap_servers, topic, is_committed=True)
        return records

    async def ends(self) -> dict[int, int]:
        """Partition of the inbound topic -> offset after the last one, where there is one."""
        places = [TopicPartition(self.topic, number) for number in range(self._partitions)]
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers) as consumer:
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(places)
        return {place.partition: end for place, end in ends.items() if end > 0}

    async def committed(self) -> dict[int, int]:
        """Partition of the inbound topic -> committed position, where it is not the beginning."""
        async with connected_admin(self._bootstrap_servers) as admin:
            stored: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(self.section["group_id"])
        return {place.partition: position.offset for place, position in stored.items() if position.offset > 0}

    def configuration(self) -> Path:
        """A file for commands."""
        directory = {"url": self.database.url}
        return self.deployment.write_configuration("commands.yaml", inbound=self.section, directory=directory, **NONE)

    async def export(self, *options: str) -> list[Any]:
        """The directory, as ``streamer users export`` writes it."""
        path = self.configuration()
        command = (sys.executable, "-m", "streamer", "users", "export", *options, "--config", str(path))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0
        return [orjson.loads(line) for line in output.splitlines()]

    async def evidence(self, sender: Sender, *, last: Sequence[Process] = ()) -> Evidence:
        """All that is known by now; ``last``: the instances that run."""
        records, profiles, triggers, dead_letters = [
            await self.read(name) for name in (self.topic, self.profiles, self.triggers, self.dead_letters)
        ]
        return Evidence(
            records=records,
            accepted=sender.accepted,
            sent=frozenset(sender.sent),
            messages=await self.database.messages(),
            outbox=await self.database.outbox(),
            waiting=await self.database.waiting(),
            lines=await self.export(),
            profiles=profiles,
            triggers=triggers,
            dead_letters=dead_letters,
            committed=await self.committed(),
            ends=await self.ends(),
            accounts=[account for process in last for account in await accounts_of(process)],
            relays=self.relays,
        )

    async def verify(self, sender: Sender, *, last: Sequence[Process] = ()) -> None:
        """Ask the oracle."""
        found = faults(await self.evidence(sender, last=last))
        assert not found, "\n".join(found)


async def status_of(process: Process) -> dict[str, Any]:
    """What it says of the way back."""
    inbound: dict[str, Any] = (await process.status())["inbound"]
    return inbound


async def publishes(process: Process) -> bool:
    """Whether it is the one that publishes; one that is starting is not."""
    if not process.log_events("server.listening"):
        return False
    return bool((await status_of(process))["directory"]["outbox"]["publishing"])


async def eventually(happened: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until something that nothing announces is so."""
    async with asyncio.timeout(seconds):
        while not await happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_SECONDS)


async def accounts_of(process: Process) -> list[dict[str, int]]:
    """What it says became of the records that it consumed: of each partition, and of calls by their type."""
    terms = ("applied", "duplicate", "ignored", "dead_lettered", "handed_back", "in_flight")
    status = await status_of(process)
    accounts = [
        {"consumed": account["consumed"], **{term: _total(account.get(term, 0)) for term in terms}}
        for account in (partition["account"] for partition in status["partitions"])
    ]
    ended = sum(account[term] for account in accounts for term in terms[:4])
    by_type = {kind: sum(ends.values()) for kind, ends in status["types"].items()}
    return [*accounts, {"consumed": ended, **by_type}]


async def is_ready(service: Service) -> bool:
    """Whether ``/readyz`` says so."""
    return await _readyz(service) == READY


async def is_unready(service: Service) -> bool:
    """Whether ``/readyz`` says so."""
    return await _readyz(service) == UNREADY


async def _readyz(service: Service) -> int:
    url = f"http://127.0.0.1:{service.port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


def _total(term: int | dict[str, int]) -> int:
    return term if isinstance(term, int) else sum(term.values())
