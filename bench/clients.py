"""Rows of the benchmark: the two stages that need somebody to talk to: the clients of Kafka and Segment, alone."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from bench.ceiling import call_of
from bench.data import Data
from bench.events import EventMaker
from bench.process import receiver
from bench.results import Kind, Run
from bench.stand import Outcome, Stand
from streamer.destinations.segment import SegmentClient
from streamer.kafka.options import client_options
from streamer.pipeline.reader import MAX_POLL_RECORDS
from streamer.settings import DestinationSettings, KafkaSettings

CALLS: Final = 470
"""Calls of one request: about 480,000 bytes."""

REQUESTS: Final = 100

FETCH_SECONDS: Final = 120.0
"""Longest time for all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Kafka's client alone: records fetched and parsed, and nothing done with them."""

    name: str
    title: str
    events: int
    kind: Kind = Kind.STAGE

    async def measure(self, stand: Stand) -> Outcome:
        """Run it once."""
        data = Data(events=self.events)
        await stand.fill(data)
        kafka = KafkaSettings(bootstrap_servers=stand.servers)
        consumer = AIOKafkaConsumer(
            *data.topic_names,
            **client_options(kafka),
            auto_offset_reset="earliest",
            isolation_level=kafka.isolation_level,
            fetch_max_bytes=kafka.fetch_max_bytes,
            max_partition_fetch_bytes=kafka.max_partition_fetch_bytes,
        )
        async with consumer:
            began, fetched = time.thread_time(), 0
            async with asyncio.timeout(FETCH_SECONDS):
                while fetched < self.events:
                    polled = await consumer.getmany(timeout_ms=500, max_records=MAX_POLL_RECORDS)
                    fetched += sum(map(len, polled.values()))
            return Outcome([_run(began, fetched)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Our client of Segment alone: batches joined, compressed and sent, one after the other."""

    name: str
    title: str
    kind: Kind = Kind.STAGE

    async def measure(self, stand: Stand) -> Outcome:
        """Run it once."""
        make = EventMaker("getuserfeedback")
        bodies = [call_of(make(number)) for number in range(CALLS)]
        with stand.directory() as directory, receiver(directory, latency_seconds=0.0) as (_, url):
            client = SegmentClient(DestinationSettings(write_key=SecretStr("bench_write_key"), endpoint=url))
            await client.send(bodies, resend_count=0)
            began = time.thread_time()
            for _ in range(REQUESTS):
                await client.send(bodies, resend_count=0)
            run = _run(began, REQUESTS * CALLS)
            await client.close()
        return Outcome([run])


def _run(began: float, events: int) -> Run:
    return {"us_per_event": round((time.thread_time() - began) / events * 1e6, 3)}
