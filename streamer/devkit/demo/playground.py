"""What the demo stands on: a Kafka with topics, a local Segment, the service, and its configuration file."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from streamer.core.errors import UnavailableError
from streamer.devkit.broker import Broker, free_port
from streamer.devkit.demo import inbound_set_up
from streamer.devkit.demo.events import DISABLED_EVENTS, INTEGRATIONS
from streamer.devkit.demo.service_process import ServiceProcess
from streamer.devkit.demo.showing import say
from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka import create_topics
from streamer.settings import Settings, load

PARTITIONS: Final = 3

WRITE_KEY: Final = "demo_write_key_0000000000000000"

SESSION_MS: Final = 6_000
"""How long Kafka keeps the partitions of a killed process for it: the shortest time that clusters allow by default."""

KAFKA_PORT: Final = 9092
SERVICE_PORT: Final = 8080
WEBHOOK_PORT: Final = 8081
SANDBOX_PORT: Final = 8090
"""The ports that the documents name."""


@dataclass(frozen=True, slots=True)
class Playground:
    """All of it, running."""

    config: Path
    """The configuration file; its directory is deleted at the end."""
    settings: Settings
    """What stands in it."""
    sandbox: Sandbox
    service: ServiceProcess

    @property
    def kafka(self) -> str:
        """``host:port``, for clients."""
        return self.settings.kafka.bootstrap_servers


@contextlib.asynccontextmanager
async def running(*, is_for_people: bool) -> AsyncIterator[Playground]:
    """Start everything, and end it in the opposite order.

    Args:
        is_for_people: use the ports that the documents name where they are free; else any free ports, so that several
            demos can run at once.

    Raises:
        UnavailableError: Kafka cannot be fetched or started, or another part does not start.
    """
    with tempfile.TemporaryDirectory(prefix="streamer-demo-") as name:
        directory = Path(name)
        cluster = os.environ.get("STREAMER_KAFKA__BOOTSTRAP_SERVERS")
        async with (
            _kafka(cluster, directory / "kafka", KAFKA_PORT if is_for_people else 0) as servers,
            _segment(SANDBOX_PORT if is_for_people else 0) as sandbox,
            aiohttp.ClientSession() as session,
        ):
            ports = [free_port(SERVICE_PORT), free_port(WEBHOOK_PORT)] if is_for_people else [free_port(), free_port()]
            config = directory / "streamer.yaml"
            document = _configuration(directory, servers, sandbox.url, *ports)
            _name_topics(document, directory.name if cluster else "")
            config.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
            settings = load(config, environ={})
            await _make_topics(settings)
            service = ServiceProcess(config, ports[0], session)
            say("demo: starting the service")
            service.spawn()
            try:
                await service.until_ready()
                yield Playground(config, settings, sandbox, service)
            finally:
                await service.stop()


@contextlib.asynccontextmanager
async def _kafka(cluster: str | None, directory: Path, port: int) -> AsyncIterator[str]:
    if cluster:
        say(f"demo: using the Kafka at {cluster}")
        yield cluster
        return
    say("demo: starting Apache Kafka (some seconds; about a minute the first time, to download it)")
    async with Broker(directory, port=free_port(port), report=say) as broker:
        yield broker.bootstrap_servers


@contextlib.asynccontextmanager
async def _segment(port: int) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    try:
        await sandbox.start(port=port)
    except UnavailableError:
        await sandbox.start()  # another program uses that port
    try:
        yield sandbox
    finally:
        await sandbox.stop()


def _configuration(directory: Path, servers: str, endpoint: str, port: int, webhook_port: int) -> dict[str, Any]:
    """A configuration like a user's."""
    document: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": servers,
            "create_topics": True,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 6,
        },
        "state_dir": str(directory / "state"),
        "server": {"port": port},
        "destinations": {"segment": {"write_key": WRITE_KEY, "endpoint": endpoint}},
        "integrations": {
            name: {
                "dialect": name,
                "topics": [f"surveys.{name}"],
                "destination": "segment",
                "events": {"disabled": DISABLED_EVENTS[name]},
            }
            for name in INTEGRATIONS
        },
    }
    if inbound_set_up.is_installed():
        document |= inbound_set_up.sections(f"{directory}/directory.db", webhook_port)
    return document


def _name_topics(document: dict[str, Any], prefix: str) -> None:
    """On somebody's own cluster, keep the topics and groups of this demo apart from all others there."""
    if not prefix:
        return
    for name, integration in document["integrations"].items():
        integration |= {"topics": [f"{prefix}.{name}"], "group_id": f"{prefix}.{name}"}
    if "inbound" in document:
        document["inbound"] |= {
            "topic": f"{prefix}.inbound",
            "group_id": f"{prefix}.inbound",
            "dead_letters": {"topic": f"{prefix}.inbound.dlq"},
            "profiles_topic": f"{prefix}.profiles",
            "triggers_topic": f"{prefix}.triggers",
        }


async def _make_topics(settings: Settings) -> None:
    for integration in settings.integrations.values():
        await create_topics(settings.kafka, integration.topics, partitions=PARTITIONS)
    if settings.inbound is not None:
        await inbound_set_up.make_topics(settings, partitions=PARTITIONS)
