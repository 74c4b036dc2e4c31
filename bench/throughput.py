"""Events a second, CPU per event and memory of one streamer process.

A real broker holds the events before streamer starts; the receiver is a process of its own. Measured from the first
request that the receiver sees to the last: start-up, joining the group and the first fetch are not in it.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson
import psutil
import yaml
from aiokafka import AIOKafkaProducer

from streamer.broker import Broker
from streamer.kafka import create_topics
from streamer.settings import load

EVENT_BYTES: Final = 1_000
PARTITIONS: Final = 6
POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run measured."""

    events: int
    latency_seconds: float
    seconds: float
    events_per_second: float
    cpu_us_per_event: float
    max_rss_bytes: int
    requests: int
    receiver_cpu_share: float
    """CPU seconds of the receiver per second: near 1 it was the bottleneck."""
    machine: str


class Process:
    """A child process that answers lines with JSON."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read_line(self) -> str:
        """The next line it prints."""
        return _stream(self._process.stdout).readline()

    def ask(self) -> dict[str, Any]:
        """Send a line, and decode the answer."""
        stdin = _stream(self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(self.read_line())
        return answer

    def end(self) -> None:
        """Close its input, and wait."""
        _stream(self._process.stdin).close()
        self._process.wait(10)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "opened with a pipe"
    return stream


def event(number: int) -> bytes:
    """One getuserfeedback event of `EVENT_BYTES` bytes."""
    document = {
        "event": "Response Submitted",
        "userId": f"user_{number % 100_000}",
        "anonymousId": f"anon_{number % 100_000}",
        "messageId": f"evt_{number:012}",
        "timestamp": "2026-05-13T10:14:00.000Z",
        "context": {"page": {"path": "/checkout", "referrer": "https://www.example.com/"}, "locale": "en-US"},
        "properties": {
            "app_id": "app_01HZX4T7Q2",
            "organization_id": "org_01HZX4SV9M",
            "response_id": f"resp_{number}",
            "survey_id": "srv_nps01",
            "traits": {"email": f"user{number}@example.com", "plan": "pro", "note": ""},
            "identities": [{"type": "userId", "value": f"user_{number}"}],
            "references": {"flow_version_id": "flv_31"},
        },
    }
    padding = EVENT_BYTES - len(orjson.dumps(document))
    # Words, so that it compresses like text and not like a row of one letter.
    words = " ".join(f"w{number * 31 + index * 7919 & 0xFFFFF:x}" for index in range(padding // 6 + 1))
    document["properties"]["traits"]["note"] = words[:padding]  # type: ignore[index]
    return orjson.dumps(document)


async def produce(servers: str, topic: str, events: int) -> None:
    """Fill the topic."""
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20, max_batch_size=200_000) as producer:
        for number in range(events):
            await producer.send(topic, event(number), partition=number % PARTITIONS)


def configure(directory: Path, servers: str, port: int) -> Path:
    """Write the configuration: the defaults, with validation, receipts, gzip and commits on."""
    path = directory / "streamer.yaml"
    document = {
        "kafka": {"bootstrap_servers": servers, "create_topics": True},
        "state_dir": str(directory / "state"),
        "server": {"port": 0},
        "log": {"level": "warning", "format": "json"},
        "destinations": {
            "receiver": {"write_key": "bench_write_key_00000000000000000", "endpoint": f"http://127.0.0.1:{port}"}
        },
        "integrations": {"bench": {"dialect": "getuserfeedback", "topics": ["bench"], "destination": "receiver"}},
    }
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def streamer(config: Path) -> Iterator[psutil.Process]:
    """A streamer process."""
    process = subprocess.Popen([sys.executable, "-m", "streamer", "run", "--config", str(config)])
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def measure(events: int, latency_seconds: float) -> Result:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as name:
        directory = Path(name)
        receiver = Process(
            sys.executable, str(Path(__file__).with_name("receiver.py")), "--latency", str(latency_seconds)
        )
        config = configure(directory, "127.0.0.1:1", int(receiver.read_line()))
        async with Broker(directory / "kafka", config={"log.segment.bytes": "1073741824"}) as broker:
            config.write_text(config.read_text().replace("127.0.0.1:1\n", f"{broker.bootstrap_servers}\n"))
            await create_topics(load(config, environ={}).kafka, ["bench"], partitions=PARTITIONS)
            print(f"bench: producing {events:,} events of {EVENT_BYTES:,} bytes", file=sys.stderr)
            await produce(broker.bootstrap_servers, "bench", events)
            print("bench: delivering", file=sys.stderr)
            with streamer(config) as process:
                result = await watch(process, receiver, events, latency_seconds)
        receiver.end()
    return result


async def watch(process: psutil.Process, receiver: Process, events: int, latency_seconds: float) -> Result:
    """Follow the run to its end."""
    cpu_at_first = receiver_cpu_at_first = 0.0
    calls_at_first = max_rss = 0
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (seen := receiver.ask())["calls"] < events:
            if not seen["calls"] or not calls_at_first:
                cpu_at_first, receiver_cpu_at_first = sum(process.cpu_times()[:2]), seen["cpu_seconds"]
                calls_at_first = seen["calls"]
                first_at = seen["last_at"]
            max_rss = max(max_rss, process.memory_info().rss)
            await asyncio.sleep(POLL_SECONDS)
    cpu = sum(process.cpu_times()[:2]) - cpu_at_first
    seconds = seen["last_at"] - first_at
    counted = seen["calls"] - calls_at_first
    return Result(
        events=events,
        latency_seconds=latency_seconds,
        seconds=round(seconds, 2),
        events_per_second=round(counted / seconds),
        cpu_us_per_event=round(cpu / counted * 1e6, 1),
        max_rss_bytes=max_rss,
        requests=seen["requests"],
        receiver_cpu_share=round((seen["cpu_seconds"] - receiver_cpu_at_first) / seconds, 2),
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}",
    )


def main() -> int:
    """Measure, and print a line for people and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="of the receiver (default: 0)")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.events, arguments.latency))
    print(
        f"{result.events_per_second:,} events/s, {result.cpu_us_per_event} us of CPU per event,"
        f" {result.max_rss_bytes / 1e6:.0f} MB at most, {result.requests:,} requests"
        f" ({result.machine}; receiver latency {result.latency_seconds * 1000:g} ms)"
    )
    print(json.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
