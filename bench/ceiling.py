"""Our own bare loop of the same libraries: what is the least that these could cost?

getmany -> loads, a dict, dumps -> batch -> gzip -> POST, concurrently -> commit. Event loop, settings of the collector,
client options, batch limits, gzip library and level are streamer's, and nothing else is: no validation, no receipts, no
duplicates, no ledger, no errors. It commits what it has read, not what was delivered: it is no service.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer
from isal import isal_zlib

from streamer.destinations.segment import GZIP_LEVEL, GZIP_WINDOW_BITS
from streamer.kafka.options import client_options
from streamer.pipeline.reader import MAX_POLL_RECORDS
from streamer.service import GC_THRESHOLD
from streamer.settings import DestinationSettings, KafkaSettings
from streamer.timings import PRODUCTION

COMMIT_EVERY_SECONDS: Final = 1.0

_ENVELOPE: Final = b'{"writeKey":"bench_write_key","sentAt":"%s","batch":['
_HEADERS: Final = {
    "Authorization": "Basic YmVuY2hfd3JpdGVfa2V5Og==",
    "Content-Type": "application/json",
    "Content-Encoding": "gzip",
}


def call_of(value: bytes) -> bytes:
    """The call of a getuserfeedback.com event, by the shortest way."""
    event: dict[str, Any] = orjson.loads(value)
    properties = event["properties"]
    return orjson.dumps(
        {
            "type": "track",
            "event": event["event"],
            "userId": event["userId"],
            "anonymousId": event["anonymousId"],
            "timestamp": event["timestamp"],
            "context": event["context"],
            "properties": {
                "response_id": properties["response_id"],
                "survey_id": properties["survey_id"],
                "app_id": properties["app_id"],
                "organization_id": properties["organization_id"],
                "traits": properties["traits"],
                "identities": properties["identities"],
                "references": properties["references"],
            },
            "messageId": event["messageId"],
        }
    )


class Loop:
    """Reads, maps, batches and sends."""

    def __init__(self, consumer: AIOKafkaConsumer, session: aiohttp.ClientSession, url: str) -> None:
        destination = DestinationSettings()
        self._consumer = consumer
        self._session = session
        self._url = f"{url}/v1/batch"
        self._limits = destination.batch
        self._permits = asyncio.Semaphore(destination.max_in_flight)
        self._calls: list[bytes] = []
        self._size = 0
        self._began = 0.0

    async def run(self) -> None:
        """Run for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit())
            while True:
                for records in (await self._poll()).values():
                    for record in records:
                        await self._add(tasks, call_of(record.value))
                if self._calls and self._linger_left() <= 0:
                    await self._start(tasks)
                await asyncio.sleep(0)

    async def _poll(self) -> Mapping[Any, Sequence[Any]]:
        wait = min(PRODUCTION.poll, self._linger_left()) if self._calls else PRODUCTION.poll
        polled: Mapping[Any, Sequence[Any]] = await self._consumer.getmany(
            timeout_ms=max(int(wait * 1000), 0), max_records=MAX_POLL_RECORDS
        )
        return polled

    def _linger_left(self) -> float:
        return self._began + self._limits.linger - time.monotonic()

    async def _add(self, tasks: asyncio.TaskGroup, call: bytes) -> None:
        if self._size + len(call) >= self._limits.max_bytes or len(self._calls) >= self._limits.max_calls:
            await self._start(tasks)
        if not self._calls:
            self._began = time.monotonic()
        self._calls.append(call)
        self._size += len(call) + 1

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        calls, self._calls, self._size = self._calls, [], 0
        await self._permits.acquire()
        tasks.create_task(self._send(calls))

    async def _send(self, calls: Sequence[bytes]) -> None:
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
        body = b"".join((_ENVELOPE % sent_at, b",".join(calls), b"]}"))
        body = isal_zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            await response.read()
        self._permits.release()

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
            await self._consumer.commit()


async def main(servers: str, topics: Sequence[str], group: str, url: str) -> None:
    """Run until SIGTERM."""
    kafka = KafkaSettings(bootstrap_servers=servers)
    consumer = AIOKafkaConsumer(
        *topics,
        **client_options(kafka),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=kafka.isolation_level,
        fetch_max_bytes=kafka.fetch_max_bytes,
        max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
    )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    )
    async with consumer, session:
        running = asyncio.ensure_future(Loop(consumer, session, url).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", required=True)
    parser.add_argument("--topic", action="append", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--url", required=True)
    arguments = parser.parse_args()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    uvloop.run(main(arguments.servers, arguments.topic, arguments.group, arguments.url))
