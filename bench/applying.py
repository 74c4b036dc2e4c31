"""A row of the benchmark: as fast as it goes, webhook calls that wait on Kafka become published profiles and triggers.

Every other call identifies a person, and the next one is an event of that person: one trigger. Triggers and profiles
are published in the order of the calls, so the triggers that have come tell how many calls have gone all the way.
Measured from the moment when a tenth of them has come to the last one; then the account must add up.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.data import BATCH_RECORDS, PARTITIONS, new_producer, send_batch
from bench.process import BenchError, Streamer, anonymous_bytes, cpu_seconds, running
from bench.results import Kind
from bench.stand import Outcome, Stand
from streamer.kafka import create_topics
from streamer.settings import KafkaSettings
from tests.postgresql import NoPostgreSQLError, PostgreSQL

PERSONS: Final = 1_000
"""Each is named by many calls, as in life: a slice has several of some of them."""

WARM_UP_SHARE: Final = 0.1
START_SECONDS: Final = 60.0
MIN_CALLS_PER_SECOND: Final = 200
"""Slower than this a run is given up."""
ACCOUNT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """One such row."""

    name: str
    title: str
    database: Literal["sqlite", "postgresql"]
    calls: int
    kind: Kind = Kind.APPLYING

    async def measure(self, stand: Stand) -> Outcome:
        """Run it once, with an empty directory."""
        topic = await self._fill(stand)
        with stand.directory() as home, self._database(home) as url:
            deployment = await _deployment(stand, topic, url)
            streamer = Streamer(home, deployment)
            with running(streamer.process) as process:
                async with _triggers(deployment) as triggers:
                    begin, end = await self._follow(streamer, triggers)
                held = anonymous_bytes([process.usage])
                lag_ms = await self._check_account(streamer)
            if exit_code := process.end():
                raise BenchError(f"{self.name}: streamer ended with {exit_code}")
        calls = end.calls - begin.calls
        return Outcome(
            [
                {
                    "events_per_second": round(calls / (end.at - begin.at)),
                    "cpu_us_per_event": round((end.cpu_seconds - begin.cpu_seconds) / calls * 1e6, 1),
                    "anonymous_mb": round(held / 1e6, 1),
                    "loop_lag_ms": lag_ms,
                }
            ]
        )

    async def _fill(self, stand: Stand) -> str:
        topic = await stand.new_topic(PARTITIONS)
        waiting: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        for number in range(self.calls):
            waiting[person_of(number) % PARTITIONS].append(call_of(number))
        async with new_producer(stand.servers) as producer:
            for partition, values in enumerate(waiting):
                for first in range(0, len(values), BATCH_RECORDS):
                    await (await send_batch(producer, topic, partition, values[first : first + BATCH_RECORDS]))
        return topic

    @contextlib.contextmanager
    def _database(self, home: Path) -> Iterator[str]:
        """The address of an empty database, which survives a loss of power, as in production."""
        if self.database == "sqlite":
            yield f"sqlite:///{home}/directory.db"
            return
        try:
            server = PostgreSQL(is_durable=True)
        except NoPostgreSQLError as error:
            raise BenchError(f"{self.name}: {error}") from error
        try:
            server.start()
            yield server.url("postgres")
        finally:
            server.remove()

    async def _follow(self, streamer: Streamer, triggers: AIOKafkaConsumer) -> tuple["_Mark", "_Mark"]:
        """The marks at the end of the warm-up and at the last trigger."""
        begin: _Mark | None = None
        came = 0
        usage = [streamer.process.usage]
        try:
            async with asyncio.timeout(START_SECONDS + self.calls / MIN_CALLS_PER_SECOND):
                while came < self.calls // 2:
                    streamer.process.check_runs()
                    came += sum(map(len, (await triggers.getmany(timeout_ms=50)).values()))
                    if begin is None and came >= WARM_UP_SHARE * self.calls / 2:
                        begin = _Mark(time.monotonic(), 2 * came, cpu_seconds(usage))
        except TimeoutError:
            raise BenchError(f"{self.name}: {came:,} of {self.calls // 2:,} triggers came in time") from None
        assert begin is not None, "all triggers came"
        return begin, _Mark(time.monotonic(), 2 * came, cpu_seconds(usage))

    async def _check_account(self, streamer: Streamer) -> float:
        """Wait until every call has its outcome; returns the largest lag of the event loop, in milliseconds."""
        try:
            async with asyncio.timeout(ACCOUNT_SECONDS):
                while True:
                    reading = await streamer.metrics()
                    if reading.total("streamer_inbound_calls_total") >= self.calls:
                        break
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise BenchError(f"{self.name}: not all calls have an outcome") from None
        if reading.total("streamer_records_unaccounted"):
            raise BenchError(f"{self.name}: the account does not add up")
        return reading.bound_ms("streamer_event_loop_lag_seconds", 1.0)


@dataclass(frozen=True, slots=True)
class _Mark:
    at: float
    """Monotonic seconds."""
    calls: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deployment:
    """A process that applies calls and receives none."""

    servers: str
    group: str
    url: str
    topics: dict[str, str]
    """By their settings."""

    def write(self, directory: Path, port: int) -> Path:
        """Write the configuration into a directory."""
        inbound: dict[str, Any] = {
            **self.topics,
            "dead_letters": {"topic": f"{self.topics['topic']}.dlq"},
            "group_id": self.group,
            "listen": False,
        }
        document = {
            "kafka": {"bootstrap_servers": self.servers, "create_topics": True},
            "state_dir": str(directory / "state"),
            "server": {"port": port},
            "log": {"level": "warning", "format": "json"},
            "inbound": inbound,
            "directory": {"url": self.url},
        }
        path = directory / "streamer.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


async def _deployment(stand: Stand, topic: str, url: str) -> _Deployment:
    topics = {"topic": topic, "profiles_topic": stand.new_name(), "triggers_topic": stand.new_name()}
    kafka = KafkaSettings(bootstrap_servers=stand.servers)
    await create_topics(kafka, [topics["profiles_topic"], topics["triggers_topic"], f"{topic}.dlq"], partitions=1)
    return _Deployment(servers=stand.servers, group=stand.new_name(), url=url, topics=topics)


@contextlib.asynccontextmanager
async def _triggers(deployment: _Deployment) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=deployment.servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(deployment.topics["triggers_topic"], 0)])
        yield consumer
    finally:
        await consumer.stop()


def person_of(number: int) -> int:
    """The person of a call."""
    return number // 2 % PERSONS


def call_of(number: int) -> bytes:
    """One of a pair: a person is identified with other values than before, and does something."""
    person = person_of(number)
    call: dict[str, Any] = {
        "anonymousId": f"507f191e-810c-4197-9de8-{person:012d}",
        "context": {"library": {"name": "analytics.js", "version": "next-1.70.0"}, "locale": "en-GB"},
        "messageId": f"ajs-next-{number:032d}",
        "timestamp": f"2026-06-01T08:{number // 60_000 % 60:02d}:{number // 1_000 % 60:02d}.{number % 1_000:03d}Z",
        "userId": f"usr_{person}",
    }
    if number % 2:
        properties = {"format": "csv", "rows": number, "is_scheduled": False}
        return orjson.dumps({**call, "type": "track", "event": "Report Exported", "properties": properties})
    traits = {"email": f"person.{person}@example.com", "plan": "Professional", "seats": number, "role": "admin"}
    return orjson.dumps({**call, "type": "identify", "traits": traits})
