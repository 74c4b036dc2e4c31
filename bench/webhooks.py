"""A row of the benchmark: webhook requests that come at a steady pace, from a client in another process.

The latency of a request counts from the moment when it was due, so a listener that is late is late for all that wait.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import aiohttp
import orjson

from bench.data import PARTITIONS
from bench.listening import SECRET, WEBHOOK
from bench.process import HOST, BenchError, Process, anonymous_bytes, cpu_seconds, running
from bench.results import Kind, Run, percentile
from bench.stand import Outcome, Stand
from streamer.core.inbound import signature

BODIES: Final = 50
"""Different ones; the client makes them before it begins."""

Request = tuple[bytes, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """One such row; its runs are windows of time, one after the other."""

    name: str
    title: str
    requests_per_second: int
    calls: int
    """Of each request; 1: it is no list."""
    window_seconds: float = 5.0
    warm_up_seconds: float = 2.0
    kind: Kind = Kind.WEBHOOKS

    async def measure(self, stand: Stand) -> Outcome:
        """Run it with all its windows."""
        topic = await stand.new_topic(PARTITIONS)
        with stand.directory() as directory:
            command = ("-m", "bench.listening", stand.servers, topic)
            with running(Process(*command, log=directory / "listening.log", talks=True)) as listener:
                url = f"http://{HOST}:{listener.read_line().strip()}/webhooks/segment/{WEBHOOK}"
                requests = cycle(self._requests())
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                    await self._window(session, url, requests, self.warm_up_seconds)
                    return Outcome([await self._run(session, url, requests, listener) for _ in range(stand.runs)])

    async def _run(
        self, session: aiohttp.ClientSession, url: str, requests: Iterator[Request], listener: Process
    ) -> Run:
        cpu = cpu_seconds([listener.usage])
        latencies = await self._window(session, url, requests, self.window_seconds)
        used = cpu_seconds([listener.usage]) - cpu
        calls = len(latencies) * self.calls
        return {
            "events_per_second": round(calls / self.window_seconds),
            "cpu_us_per_event": round(used / calls * 1e6, 2),
            "p50_ms": percentile(latencies, 0.5),
            "p99_ms": percentile(latencies, 0.99),
            "max_ms": latencies[-1],
            "anonymous_mb": round(anonymous_bytes([listener.usage]) / 1e6, 1),
        }

    async def _window(
        self, session: aiohttp.ClientSession, url: str, requests: Iterator[Request], seconds: float
    ) -> Sequence[float]:
        """Send for so long; the latencies in milliseconds, sorted."""
        began = time.monotonic()
        latencies: list[float] = []

        async def send(due_at: float, request: Request) -> None:
            body, headers = request
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status != 200:  # noqa: PLR2004
                    raise BenchError(f"{self.name}: a request was answered with {answer.status}")
                await answer.read()
            latencies.append((time.monotonic() - due_at) * 1e3)

        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds * self.requests_per_second)):
                due_at = began + number / self.requests_per_second
                await asyncio.sleep(max(due_at - time.monotonic(), 0))
                tasks.create_task(send(due_at, next(requests)))
        return sorted(latencies)

    def _requests(self) -> list[Request]:
        made = []
        for number in range(BODIES):
            calls = [_call(number * self.calls + index) for index in range(self.calls)]
            body = calls[0] if self.calls == 1 else b"[%b]" % b",".join(calls)
            headers = {"Content-Type": "application/json", signature.HEADER: signature.sign(SECRET, body)}
            made.append((body, headers))
        return made


def _call(number: int) -> bytes:
    """A tracked event of usual size, as Segment forwards it."""
    return orjson.dumps(
        {
            "anonymousId": f"507f191e-810c-4197-9de8-{number:012d}",
            "channel": "client",
            "context": {
                "ip": "203.0.113.7",
                "library": {"name": "analytics.js", "version": "next-1.70.0"},
                "locale": "en-GB",
                "page": {
                    "path": "/reports/quarterly",
                    "referrer": "https://app.example.com/",
                    "title": "Quarterly report",
                    "url": "https://app.example.com/reports/quarterly",
                },
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
            },
            "event": "Report Exported",
            "integrations": {},
            "messageId": f"ajs-next-{number:032d}",
            "originalTimestamp": "2026-06-01T08:07:00.000Z",
            "properties": {"format": "csv", "rows": number, "is_scheduled": False},
            "receivedAt": "2026-06-01T08:07:01.234Z",
            "sentAt": "2026-06-01T08:07:00.900Z",
            "timestamp": "2026-06-01T08:07:00.334Z",
            "type": "track",
            "userId": f"usr_{number}",
            "version": 2,
        }
    )
