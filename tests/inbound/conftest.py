"""A listener over Kafka in memory, and ways to send to it; the way back as a whole, for tests to start."""

import asyncio
import contextlib
import gzip
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from streamer.devkit.broker import Broker
from streamer.inbound.listener import Listener
from streamer.settings.inbound import InboundSettings
from streamer.timings import PRODUCTION, Timings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic
from tests.doubles.kafka import MemoryCluster, MemoryPublisher, MemoryRecord
from tests.inbound.way_back import WayBack

SECRET = "streamer-sample-secret"

TIMINGS = replace(PRODUCTION, publish=0.5, request_complete=0.5, secrets_every=0.0)

Answer = tuple[int, Any]
"""Status and decoded body."""


def sign(signed: bytes, secret: str = SECRET) -> dict[str, str]:
    """The header of Segment's signature, made without the code under test."""
    return {"X-Signature": hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest()}


def request_bytes(body: bytes, headers: Mapping[str, str], *, path: str = "/webhooks/segment/production") -> bytes:
    """A request as it goes over the wire, with nothing but these headers and the length."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def raw_request(webhooks: "Webhooks", data: bytes) -> bytes:
    """Send bytes; returns all that is answered until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", webhooks.listener.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


class Webhooks:
    """A listener, with what its records become."""

    def __init__(self, listener: Listener, cluster: MemoryCluster, publisher: MemoryPublisher) -> None:
        self.listener = listener
        self.cluster = cluster
        self.publisher = publisher
        self._session = aiohttp.ClientSession(auto_decompress=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}"

    async def send(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        name: str = "production",
    ) -> Answer:
        """Send a request as Segment does; without headers it is signed."""
        given = CIMultiDict(sign(body) if headers is None else headers)
        given.setdefault("Content-Type", "application/json")
        url = f"{self.url}/webhooks/segment/{name}"
        async with self._session.request(method, url, data=body, headers=given) as answer:
            self.headers = answer.headers
            return answer.status, await answer.json()

    async def send_gzip(self, body: bytes, compressed: bytes | None = None) -> Answer:
        """Send a request whose body is compressed; the signature is over what it decompresses to."""
        given = gzip.compress(body) if compressed is None else compressed
        return await self.send(given, {**sign(body), "Content-Encoding": "gzip"})

    def records(self, topic: str = "segment.inbound") -> list[MemoryRecord]:
        """What was written to a topic, in order."""
        return [record for log in self.cluster.logs[topic] for record in log.records]

    def results(self) -> dict[tuple[str, str], int]:
        """Requests by webhook and result."""
        return {(webhook, result.value): count for (webhook, result), count in self.listener.counts.requests.items()}

    async def close(self) -> None:
        await self._session.close()
        await self.listener.stop()


@contextlib.asynccontextmanager
async def listening(
    webhook: Mapping[str, Any] | None = None, limits: Mapping[str, Any] | None = None, timings: Timings = TIMINGS
) -> AsyncIterator[Webhooks]:
    """A listener with a webhook ``production``."""
    document = {
        "listen": {"port": 0},
        "webhooks": {"production": {"secrets": [SECRET]} if webhook is None else webhook},
        "limits": limits or {},
    }
    cluster = MemoryCluster()
    cluster.create("segment.inbound")
    cluster.create("segment.inbound.dlq")
    publisher = MemoryPublisher(cluster)
    listener = Listener(InboundSettings.model_validate(document), publisher, timings)
    await listener.start()
    webhooks = Webhooks(listener, cluster, publisher)
    try:
        yield webhooks
    finally:
        await webhooks.close()


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    """A listener with the default settings."""
    async with listening() as webhooks:
        yield webhooks


@pytest.fixture
async def way_back(
    tmp_path: Path, broker: Broker | ExternalCluster, make_topic: MakeTopic, consume_all: ConsumeAll
) -> WayBack:
    """The way back with a SQLite file, not running."""
    url = f"sqlite:///{tmp_path}/directory.db"
    return await WayBack.prepare(broker.bootstrap_servers, tmp_path, url, make_topic, consume_all)


@pytest.fixture
async def way_back_on_postgresql(
    tmp_path: Path,
    broker: Broker | ExternalCluster,
    postgresql_url: str,
    make_topic: MakeTopic,
    consume_all: ConsumeAll,
) -> WayBack:
    """The way back with a database of its own, not running."""
    return await WayBack.prepare(broker.bootstrap_servers, tmp_path, postgresql_url, make_topic, consume_all)
