"""A row of the benchmark: records that come at a steady pace.

Latency is measured without streamer's help: the producer writes its time into the messageId and into the record's own
timestamp, and the receiver compares it with the moment before its answer; both read one clock.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.data import PARTITIONS, new_producer, send_batch
from bench.events import EventMaker, stamped
from bench.process import BenchError, Streamer, receiver, running
from bench.results import Kind, Point, Run, percentile
from bench.stand import Mark, Outcome, Stand, Watch, figures

TICK_SECONDS: Final = 0.01
"""What is due since the last tick goes to one partition, the next time to the next."""

SAMPLE_SECONDS: Final = 0.25
LAST_CALLS_SECONDS: Final = 10.0
MAX_AT_ONCE: Final = 900
"""Most events of one tick: a batch has no room for more."""

Latency = tuple[float, float]
"""Epoch seconds of an answer, and milliseconds since the event was produced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """One row of events that come at a steady pace; its runs are windows of time, one after the other."""

    name: str
    title: str
    events_per_second: int
    window_seconds: float
    latency_seconds: float = 0.0
    warm_up_seconds: float = 3.0
    stamp_every: int = 1
    """Of so many calls one has its latency measured."""
    kind: Kind = Kind.PACED

    async def measure(self, stand: Stand) -> Outcome:
        """Run it with all its windows."""
        topic = await stand.new_topic(PARTITIONS)
        with (
            stand.directory() as directory,
            receiver(directory, latency_seconds=self.latency_seconds, stamp_every=self.stamp_every) as (taking, url),
            running((streamer := Streamer(directory, stand.deployment(url, topic))).process),
        ):
            await streamer.join()
            watch = Watch(stand, taking, [streamer.process])
            async with new_producer(stand.servers) as producer:
                pace = Pace(producer, topic, self.events_per_second)
                async with pace.kept():
                    marks = await self._windows(watch, stand.runs)
            await self._wait_for_last(watch, pace)
            metrics = await streamer.metrics()
            latencies: list[Latency] = taking.ask("latencies")
        own = {
            "loop_lag_ms": metrics.bound_ms("streamer_event_loop_lag_seconds", 1.0),
            "own_p99_ms": metrics.bound_ms("streamer_event_latency_seconds", 0.99),
            "anonymous_mb": round(watch.max_anonymous_bytes / 1e6, 1),
        }
        began = time.time() - time.monotonic() + marks[0].at
        offsets = [mark.at - marks[0].at for mark in marks]
        runs: list[Run] = [
            {**figures(begin, end), **_percentiles(latencies, began + start, began + stop), **own}
            for begin, end, start, stop in zip(marks, marks[1:], offsets, offsets[1:], strict=False)
        ]
        return Outcome(runs, [*watch.course(), *_by_second(latencies, began)])

    async def _windows(self, watch: Watch, runs: int) -> list[Mark]:
        """The marks between the windows; memory is looked at all the time."""
        await _sample(watch, self.warm_up_seconds)
        marks = [watch.mark()]
        for _ in range(runs):
            await _sample(watch, self.window_seconds)
            marks.append(watch.mark())
        return marks

    async def _wait_for_last(self, watch: Watch, pace: "Pace") -> None:
        try:
            async with asyncio.timeout(LAST_CALLS_SECONDS):
                while watch.mark().calls < pace.produced:  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(SAMPLE_SECONDS)
        except TimeoutError:
            raise BenchError(f"{self.name}: not all of {pace.produced:,} events came") from None


class Pace:
    """Produces at a steady pace."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, events_per_second: int) -> None:
        self.produced = 0
        self._producer = producer
        self._topic = topic
        self._events_per_second = events_per_second
        self._make = EventMaker("getuserfeedback")

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Produce while the block lasts."""
        producing = asyncio.create_task(self._run())
        try:
            yield
        finally:
            producing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await producing

    async def _run(self) -> None:
        """Produce for ever; a tick that comes late makes up for what it has missed."""
        began = time.monotonic()
        tick = 0
        while True:
            tick += 1
            await asyncio.sleep(max(began + tick * TICK_SECONDS - time.monotonic(), 0))
            due = int((time.monotonic() - began) * self._events_per_second) - self.produced
            now_ms = int(time.time() * 1_000)
            values = [stamped(self._make(self.produced + number), now_ms) for number in range(min(due, MAX_AT_ONCE))]
            if values:
                await send_batch(self._producer, self._topic, tick % PARTITIONS, values)
                self.produced += len(values)


async def _sample(watch: Watch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left, SAMPLE_SECONDS))
        watch.mark()


def _percentiles(latencies: Sequence[Latency], start: float, stop: float) -> Run:
    """Of the calls answered between two times, epoch seconds."""
    values = sorted(latency for answered_at, latency in latencies if start <= answered_at < stop)
    return {"p50_ms": percentile(values, 0.5), "p99_ms": percentile(values, 0.99), "max_ms": values[-1]}


def _by_second(latencies: Sequence[Latency], began: float) -> list[Point]:
    """Percentiles of each second from ``began`` on."""
    seconds: dict[int, list[float]] = {}
    for answered_at, latency in latencies:
        seconds.setdefault(int(answered_at - began), []).append(latency)
    seconds.pop(max(seconds), None)  # only begun
    return [
        {"at": second, "p50_ms": percentile(values, 0.5), "p99_ms": percentile(values, 0.99)}
        for second in sorted(seconds)
        if second >= 0 and (values := sorted(seconds[second]))
    ]
