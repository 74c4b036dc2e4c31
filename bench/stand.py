"""What all rows of a run share: a broker, the data on it, a directory, and the marks between which they measure."""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.data import Data, fill
from bench.process import Deployment, Process, anonymous_bytes, cpu_seconds, receipts_directory
from bench.receipts import write_receipts
from bench.results import Point, Run
from streamer.devkit.broker import Broker
from streamer.kafka import create_topics
from streamer.settings import KafkaSettings

MAX_COURSE_POINTS: Final = 240

BROKER_CONFIG: Final = {"log.segment.bytes": str(1 << 30)}


class Stand:
    """Everything that stays from row to row.

    Args:
        broker: it runs.
        directory: for everything that is written.
        runs: how often each row is measured.
        tell: says what takes long.
    """

    def __init__(self, broker: Broker, directory: Path, runs: int, tell: Callable[[str], None]) -> None:
        self.runs = runs
        self.tell = tell
        self.servers = broker.bootstrap_servers
        self.broker_usage = psutil.Process(broker.process.pid)
        self._directory = directory
        self._filled: set[Data] = set()
        self._numbers = itertools.count(1)

    async def new_topic(self, partitions: int) -> str:
        """Make an empty topic."""
        topic = self.new_name()
        await create_topics(KafkaSettings(bootstrap_servers=self.servers), [topic], partitions=partitions)
        return topic

    def deployment(self, url: str, *topics: str, form: str = "getuserfeedback") -> Deployment:
        """A configuration with a new group: reads ``topics`` from their beginnings, and delivers to ``url``."""
        dialect = form.removesuffix("_survey")
        return Deployment(servers=self.servers, url=url, dialect=dialect, topics=topics, group=self.new_name())

    def new_name(self) -> str:
        """A name that nothing on the broker has yet: for a topic or a group."""
        return f"bench-{next(self._numbers)}"

    @contextlib.contextmanager
    def directory(self) -> Iterator[Path]:
        """A fresh directory for one run, deleted after it."""
        path = self._directory / f"run-{next(self._numbers)}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    async def fill(self, data: Data) -> None:
        """Have these data on the broker."""
        if data not in self._filled:
            self.tell(f"producing {data.events:,} {data.form} events")
            await fill(self.servers, data)
            self._filled.add(data)

    def copy_receipts(self, number: int, directory: Path) -> None:
        """Give the process that will run in ``directory`` so many receipts of calls that never come again."""
        original = self._directory / f"receipts-{number}"
        if not original.exists():
            self.tell(f"writing {number:,} receipts")
            write_receipts(original, number)
        copy = receipts_directory(directory)
        copy.parent.mkdir(parents=True)
        shutil.copytree(original, copy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was counted and used up to a moment."""

    at: float
    """Monotonic seconds."""
    calls: int
    requests: int
    last_at: float
    """Epoch seconds when the receiver's last request came."""
    cpu_seconds: float
    """Of all processes measured."""
    receiver_cpu_seconds: float
    broker_cpu_seconds: float


class Watch:
    """Looks at the processes of one run from outside."""

    def __init__(self, stand: Stand, receiver: Process, measured: Sequence[Process]) -> None:
        self._receiver = receiver
        self._measured = measured
        self._usages = [process.usage for process in measured]
        self._broker_usage = stand.broker_usage
        self._began = time.monotonic()
        self._course: list[Point] = []
        self.max_anonymous_bytes = 0

    def mark(self) -> Mark:
        """Look now, at memory too.

        Raises:
            BenchError: a process has ended.
        """
        for process in self._measured:
            process.check_runs()
        seen = self._receiver.ask("counts")
        now, held = time.monotonic(), anonymous_bytes(self._usages)
        self.max_anonymous_bytes = max(self.max_anonymous_bytes, held)
        self._course.append({"at": now - self._began, "anonymous_mb": held / 1e6, "calls": seen["calls"]})
        return Mark(
            at=now,
            calls=seen["calls"],
            requests=seen["requests"],
            last_at=seen["last_at"],
            cpu_seconds=cpu_seconds(self._usages),
            receiver_cpu_seconds=seen["cpu_seconds"],
            broker_cpu_seconds=cpu_seconds([self._broker_usage]),
        )

    def course(self) -> list[Point]:
        """How memory and calls went, in a number of points that can be plotted."""
        step = -(-len(self._course) // MAX_COURSE_POINTS) or 1
        return [{key: round(value, 2) for key, value in point.items()} for point in self._course[::step]]


def figures(begin: Mark, end: Mark, *, events_per_call: float = 1.0) -> dict[str, float]:
    """What was measured between two marks; ``events_per_call`` is above 1 where not every record becomes a call."""
    events = (end.calls - begin.calls) * events_per_call
    seconds = end.at - begin.at
    return {
        "events_per_second": round(events / (end.last_at - begin.last_at)),
        "cpu_us_per_event": round((end.cpu_seconds - begin.cpu_seconds) / events * 1e6, 2),
        "calls_per_request": round((end.calls - begin.calls) / (end.requests - begin.requests), 1),
        "receiver_percent": round((end.receiver_cpu_seconds - begin.receiver_cpu_seconds) / seconds * 100, 1),
        "broker_percent": round((end.broker_cpu_seconds - begin.broker_cpu_seconds) / seconds * 100, 1),
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one measurement of a row gave: one run or several, and the course of the last."""

    runs: Sequence[Run]
    course: Sequence[Point] = ()
