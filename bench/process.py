"""The processes of a run: streamer, the ceiling, the receiver; and what they use."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

import psutil
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from streamer.devkit.broker import free_port
from streamer.devkit.child_process import DIE_WITH_PARENT

HOST: Final = "127.0.0.1"
END_SECONDS: Final = 30.0
"""Longest orderly end of a process."""

JOIN_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
MAX_LOG_CHARACTERS_SHOWN: Final = 3_000


_DYING_WITH_US: Final = (
    [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid())] if sys.platform == "linux" else []
)
"""What a command begins with whose process must not outlive this one, however it ends."""


class BenchError(Exception):
    """A row could not be measured, or its outcome is not what it must be: its figures would mean nothing."""


class Process:
    """A child process of Python; what it says goes to a log file, unless it is asked.

    Settings in our environment are kept from it: a run is configured by its file alone.
    """

    def __init__(self, *arguments: str, log: Path, talks: bool = False) -> None:
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*_DYING_WITH_US, sys.executable, *arguments],
                stdin=pipe,
                stdout=pipe if talks else file,
                stderr=file,
                text=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
                start_new_session=True,  # Ctrl-C is for us, who end it in good order
            )
        self.usage = psutil.Process(self._process.pid)

    def read_line(self) -> str:
        """The next line it prints."""
        line = _stream(self._process.stdout).readline()
        if not line:
            raise BenchError(f"a process of the bench has ended: {self.log_end()}")
        return line

    def ask(self, question: str) -> Any:
        """Send it a line and decode its answer, a line of JSON."""
        stdin = _stream(self._process.stdin)
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the line that is missing tells
            stdin.write(f"{question}\n")
            stdin.flush()
        return json.loads(self.read_line())

    def check_runs(self) -> None:
        """Raise `BenchError` if it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"a process ended with {self._process.returncode} during its run: {self.log_end()}")

    def log_end(self) -> str:
        """What it said last."""
        return self._log.read_text("utf-8", errors="replace")[-MAX_LOG_CHARACTERS_SHOWN:]

    def end(self) -> int:
        """End it in good order, or by force; returns its exit code."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            self._process.terminate()
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    """End the process with the block."""
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def receiver(directory: Path, *, latency_seconds: float, stamp_every: int = 0) -> Iterator[tuple[Process, str]]:
    """A receiver, and its URL."""
    arguments = ["-m", "bench.receiver", "--latency", str(latency_seconds), "--stamp-every", str(stamp_every)]
    with running(Process(*arguments, log=directory / "receiver.log", talks=True)) as process:
        yield process, f"http://{HOST}:{process.read_line().strip()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a streamer process of a run is configured with: the defaults, all that costs included."""

    servers: str
    url: str
    dialect: str
    topics: Sequence[str]
    """Each is an integration of its own."""
    group: str

    def write(self, directory: Path, port: int) -> Path:
        """Write the configuration into a directory, which keeps the process's state too."""
        integrations = {
            f"bench-{number}": {
                "dialect": self.dialect,
                "topics": [topic],
                "destination": "receiver",
                "group_id": f"{self.group}.{number}",
            }
            for number, topic in enumerate(self.topics)
        }
        document = {
            "kafka": {"bootstrap_servers": self.servers, "create_topics": True},
            "state_dir": str(directory / "state"),
            "server": {"port": port},
            "log": {"level": "warning", "format": "json"},
            "destinations": {"receiver": {"write_key": "bench_write_key", "endpoint": self.url}},
            "integrations": integrations,
        }
        path = directory / "streamer.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


def receipts_directory(directory: Path) -> Path:
    """Where the first integration of a process in ``directory`` keeps its receipts."""
    return directory / "state" / "bench-0" / "receipts"


class Metrics:
    """One reading of a process's metrics."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._samples = [sample for family in families for sample in family.samples]

    def total(self, name: str) -> float:
        """The sum over all labels."""
        return sum(sample.value for sample in self._samples if sample.name == name)

    def bound_ms(self, name: str, share: float) -> float:
        """The upper bound, in milliseconds, of the bucket in which the given share of all values is reached."""
        buckets: dict[float, float] = {}
        for sample in self._samples:
            if sample.name == f"{name}_bucket":
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
        count = buckets[float("inf")]
        return min(bound for bound, below in buckets.items() if below >= share * count) * 1_000


class Configuration(Protocol):
    """What a process is configured with."""

    def write(self, directory: Path, port: int) -> Path:
        """Write the configuration into a directory, which keeps the process's state too; returns the file."""


class Streamer:
    """A streamer process."""

    def __init__(self, directory: Path, deployment: Configuration) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        config = deployment.write(directory, self._port)
        self._tap_log = directory / "tap.log"
        self.process = Process("-m", "streamer", "run", "--config", str(config), log=directory / "streamer.log")

    async def metrics(self) -> Metrics:
        """Ask it for its metrics."""
        self.process.check_runs()
        return Metrics(text_string_to_metric_families(await asyncio.to_thread(self._get, "metrics")))

    async def join(self) -> None:
        """Wait until it has partitions to read.

        Raises:
            BenchError: it takes too long.
        """
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                while not await self.has_partitions():  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise BenchError(f"streamer has not joined its group: {self.process.log_end()}") from None

    async def is_ready(self) -> bool:
        """Whether it has joined its groups."""
        self.process.check_runs()
        try:
            await asyncio.to_thread(self._get, "readyz")
        except OSError:  # what urllib raises is one, an answer of 503 included
            return False
        return True

    async def has_partitions(self) -> bool:
        """Whether it has partitions to read."""
        return await self.is_ready() and (await self.metrics()).total("streamer_assigned_partitions") > 0

    async def open_tap(self, rate: int) -> None:
        """Let a process read a tap of so many lines a second, until this one ends; waits until it is ready to."""
        while not await self._listens():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(POLL_SECONDS)
        url = f"http://{HOST}:{self._port}/tap?rate={rate}"
        Process("-c", f"import urllib.request as r\nfor _ in r.urlopen({url!r}): pass", log=self._tap_log)

    async def _listens(self) -> bool:
        self.process.check_runs()
        try:
            await asyncio.to_thread(self._get, "livez")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self._port}/{path}", timeout=5) as answer:
            text: bytes = answer.read()
        return text.decode()


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of processes."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def anonymous_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory that processes have for themselves: all but mapped files, which are the receipts' page cache."""
    return sum(map(_anonymous_bytes, processes))


def _anonymous_bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # not Linux
        return int(process.memory_info().rss)
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in lines)
    return int(fields["RssAnon"].split()[0]) * 1_024


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "opened with a pipe"
    return stream
