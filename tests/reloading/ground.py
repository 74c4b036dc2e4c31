"""A service on Kafka and receivers in memory, and the configuration file that it follows."""

import asyncio
import contextlib
import copy
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import structlog
import yaml

from streamer.core.records.account import Totals
from streamer.destinations import Destination, Exchange
from streamer.pipeline import Pipeline
from streamer.service import Service
from streamer.settings import DestinationSettings
from streamer.settings.watching import ConfigFile
from streamer.timings import Timings
from tests.doubles.destination import MemoryClient
from tests.doubles.kafka import MemoryBrokers, MemoryCluster
from tests.pipeline.engine import AT_ONCE, WAIT_SECONDS, eventually

TIMINGS: Final = dataclasses.replace(AT_ONCE, drain=WAIT_SECONDS, config_every=3_600.0)
"""The files are looked at when a test says so."""

FILE: Final[dict[str, Any]] = {
    "kafka": {"bootstrap_servers": "memory:1"},
    "server": {"port": 0},
    "destinations": {
        "shared": {"write_key": "key-1", "batch": {"linger": "0s"}},
        "own": {"write_key": "key-2", "batch": {"linger": "0s"}},
    },
    "integrations": {
        name: {"dialect": "getuserfeedback", "topics": [name], "destination": destination}
        for name, destination in {"one": "shared", "two": "shared", "three": "own"}.items()
    },
}


def survey(message_id: str) -> bytes:
    """A record."""
    properties = {"app_id": "a", "organization_id": "o", "survey_id": "s", "response_id": f"r_{message_id}"}
    return orjson.dumps(
        {
            "event": "Response Submitted",
            "userId": "user_1",
            "anonymousId": "anon_1",
            "messageId": message_id,
            "timestamp": "2026-05-13T10:14:00.000Z",
            "properties": properties,
        }
    )


class Receiver(MemoryClient):
    """What a destination calls: keeps the name of each event, and reads its key as the settings say."""

    def __init__(self, settings: DestinationSettings) -> None:
        super().__init__()
        self._settings = settings
        self.key = self._key_in_use = settings.read_key()
        self.events: dict[str, str] = {}
        """By messageId."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        self.events |= {call["messageId"]: call["event"] for call in map(orjson.loads, bodies)}
        await self.may_answer.wait()
        return await super().send(bodies, resend_count=resend_count)

    def reread_credentials(self) -> bool:
        self.key = self._settings.read_key()
        return super().reread_credentials()


class Ground:
    """The service, and everything around it."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.cluster = MemoryCluster()
        for name in ("one", "two", "three", "four"):
            self.cluster.create(name)
            self.cluster.create(f"{name}.dlq")
        self.brokers = MemoryBrokers(self.cluster)
        self.receivers: dict[str, list[Receiver]] = {}
        """All that a destination has had, the newest last."""
        self.document = copy.deepcopy(FILE)
        """The file as it will be written next."""
        self.document["state_dir"] = str(directory / "state")
        self.path = directory / "streamer.yaml"
        self.lines: list[structlog.typing.EventDict] = []
        self.service: Service
        self._produced: Counter[str] = Counter()
        patch.setattr("streamer.integration.Brokers", lambda *_, **__: self.brokers)
        patch.setattr("streamer.destinations._open", self._open)

    def _open(self, name: str, settings: DestinationSettings, timings: Timings) -> Destination:
        receiver = Receiver(settings)
        self.receivers.setdefault(name, []).append(receiver)
        return Destination(name, settings, client=receiver, timings=timings)

    @contextlib.asynccontextmanager
    async def running(self, **timings: float) -> AsyncIterator[Service]:
        """Run the service; at the end of the block it drains, and everything must add up."""
        self.write()
        file = ConfigFile(self.path, {})
        self.service = service = Service(file.load(), dataclasses.replace(TIMINGS, **timings), config_file=file)
        stop = asyncio.Event()
        with structlog.testing.capture_logs() as self.lines:
            running = asyncio.create_task(service.run(stop), name="service under test")
            try:
                await eventually(lambda: running.done() or all(map(self.is_reading, service.integrations)))
                if not running.done():
                    yield service
            finally:
                stop.set()
                async with asyncio.timeout(WAIT_SECONDS):
                    await running
        for name in service.integrations:
            assert self.totals(name).adds_up(), name

    def write(self) -> None:
        """Write the file."""
        self.path.write_text(yaml.safe_dump(self.document, sort_keys=False))

    async def reload(self) -> None:
        """Write the file, and have it read at once."""
        self.write()
        async with asyncio.timeout(WAIT_SECONDS):
            await self.service.reloader.reload()

    def integration(self, name: str) -> dict[str, Any]:
        """The section of an integration in the file."""
        section: dict[str, Any] = self.document["integrations"].setdefault(name, {})
        return section

    def destination(self, name: str) -> dict[str, Any]:
        """The section of a destination in the file."""
        section: dict[str, Any] = self.document["destinations"].setdefault(name, {})
        return section

    def produce(self, name: str, *message_ids: str) -> None:
        """Write records to the topic of an integration."""
        self.cluster.append(name, map(survey, message_ids))
        self._produced[name] += len(message_ids)

    async def delivered(self, name: str) -> None:
        """Wait until everything that was produced for an integration is committed."""
        group = self.cluster.group(f"streamer.{name}")
        await eventually(lambda: [stored.offset for stored in group.stored.values()] == [self._produced[name]])

    def events(self, destination: str) -> dict[str, str]:
        """The name of each event that arrived, by messageId."""
        return {key: event for one in self.receivers[destination] for key, event in one.events.items()}

    def taken(self, destination: str) -> list[str]:
        """The messageIds that arrived, as often as they did."""
        return [message_id for one in self.receivers[destination] for message_id in one.taken]

    def is_reading(self, name: str) -> bool:
        """Whether an integration has its partitions."""
        pipeline = self.service.integrations[name].runner.pipeline
        return pipeline is not None and pipeline.is_connected and pipeline.assignment.is_restored

    def pipelines(self) -> dict[str, Pipeline]:
        """The present ones."""
        running = {name: one.runner.pipeline for name, one in self.service.integrations.items()}
        return {name: pipeline for name, pipeline in running.items() if pipeline is not None}

    def rebalances(self, name: str) -> int:
        """How often an integration was given its partitions."""
        return self.service.integrations[name].runner.rebalances()["assigned"]

    def totals(self, name: str) -> Totals:
        """The account of an integration."""
        return self.service.integrations[name].runner.totals()

    def told(self, event: str) -> list[structlog.typing.EventDict]:
        """The lines of the log with this name."""
        return [line for line in self.lines if line["event"] == event]
