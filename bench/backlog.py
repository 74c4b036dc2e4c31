"""A row of the benchmark: as fast as it goes, through records that wait on Kafka.

Measured from the moment when a tenth of the calls has come, which is the warm-up, to the request with the last one:
start-up, joining the group and the first fetch are not in it. Afterwards the account must add up.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.data import Data
from bench.process import BenchError, Deployment, Process, Streamer, receiver, running
from bench.results import Kind
from bench.stand import Mark, Outcome, Stand, Watch, figures

WARM_UP_SHARE: Final = 0.1
POLL_SECONDS: Final = 0.05
ACCOUNT_SECONDS: Final = 15.0
"""Longest time from the last call to an account in which everything is settled."""

START_SECONDS: Final = 60.0
MIN_EVENTS_PER_SECOND: Final = 2_000
"""Slower than this a run is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """One such row."""

    name: str
    title: str
    data: Data
    kind: Kind = Kind.BACKLOG
    """`Kind.CEILING`: read by the bare loop instead of streamer."""
    latency_seconds: float = 0.0
    """How long the receiver takes for an answer."""
    instances: int = 1
    """Streamer processes that share the group."""
    receipts: int = 0
    """Receipts that are there before."""
    tap_rate: int = 0
    """Lines a second of a tap that is open all the time; 0: nobody looks."""

    async def measure(self, stand: Stand) -> Outcome:
        """Run it once."""
        await stand.fill(self.data)
        with (
            stand.directory() as directory,
            receiver(directory, latency_seconds=self.latency_seconds) as (receiving, url),
        ):
            if self.kind is Kind.CEILING:
                return await self._measure_ceiling(stand, receiving, url, directory)
            return await self._measure_streamer(stand, receiving, url, directory)

    async def _measure_ceiling(self, stand: Stand, receiving: Process, url: str, directory: Path) -> Outcome:
        arguments = ["-m", "bench.ceiling", "--servers", stand.servers, "--group", stand.new_name(), "--url", url]
        for topic in self.data.topic_names:
            arguments += ["--topic", topic]
        with running(Process(*arguments, log=directory / "ceiling.log")) as process:
            watch = Watch(stand, receiving, [process])
            begin, end = await self._follow(watch, [])
        return self._outcome(watch, begin, end)

    async def _measure_streamer(self, stand: Stand, receiving: Process, url: str, directory: Path) -> Outcome:
        deployment = stand.deployment(url, *self.data.topic_names, form=self.data.form)
        homes = [directory / f"instance-{number}" for number in range(self.instances)]
        for home in homes if self.receipts else []:
            stand.copy_receipts(self.receipts, home)
        with _streamers(homes, deployment) as streamers:
            if self.tap_rate:
                await streamers[0].open_tap(self.tap_rate)
            watch = Watch(stand, receiving, [streamer.process for streamer in streamers])
            begin, end = await self._follow(watch, streamers)
            outcome = self._outcome(watch, begin, end)
            lag_ms = await self._check_account(streamers)
            exit_codes = [streamer.process.end() for streamer in streamers]
        if any(exit_codes):
            raise BenchError(f"{self.name}: streamer ended with {exit_codes}")
        return Outcome([{**outcome.runs[0], "loop_lag_ms": lag_ms}], outcome.course)

    async def _follow(self, watch: Watch, streamers: Sequence[Streamer]) -> tuple[Mark, Mark]:
        """The marks at the end of the warm-up and at the last call."""
        begin: Mark | None = None
        try:
            async with asyncio.timeout(START_SECONDS + self.data.events / MIN_EVENTS_PER_SECOND):
                while (mark := watch.mark()).calls < self.data.calls:
                    if begin is None and mark.calls >= WARM_UP_SHARE * self.data.calls and await _share(streamers):
                        begin = watch.mark()
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise BenchError(f"{self.name}: {mark.calls:,} of {self.data.calls:,} calls came in time") from None
        if begin is None or begin.calls >= mark.calls:
            raise BenchError(f"{self.name}: over before anything could be measured; more events are needed")
        return begin, mark

    def _outcome(self, watch: Watch, begin: Mark, end: Mark) -> Outcome:
        run = figures(begin, end, events_per_call=self.data.events / self.data.calls)
        return Outcome([{**run, "anonymous_mb": round(watch.max_anonymous_bytes / 1e6, 1)}], watch.course())

    async def _check_account(self, streamers: Sequence[Streamer]) -> float:
        """Wait until every record has its outcome; returns the largest lag of an event loop, in milliseconds."""
        terms = ("delivered", "duplicate", "filtered", "dead_lettered")
        try:
            async with asyncio.timeout(ACCOUNT_SECONDS):
                while True:
                    readings = [await streamer.metrics() for streamer in streamers]
                    settled = sum(
                        reading.total(f"streamer_records_{term}_total") for reading in readings for term in terms
                    )
                    if settled >= self.data.events:
                        break
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise BenchError(f"{self.name}: {settled:,.0f} of {self.data.events:,} records have an outcome") from None
        if any(reading.total("streamer_records_unaccounted") for reading in readings):
            raise BenchError(f"{self.name}: the account does not add up")
        return max(reading.bound_ms("streamer_event_loop_lag_seconds", 1.0) for reading in readings)


@contextlib.contextmanager
def _streamers(homes: Sequence[Path], deployment: Deployment) -> Iterator[list[Streamer]]:
    with contextlib.ExitStack() as stack:
        streamers = []
        for home in homes:
            streamers.append(Streamer(home, deployment))
            stack.enter_context(running(streamers[-1].process))
        yield streamers


async def _share(streamers: Sequence[Streamer]) -> bool:
    """Whether the instances of a group have divided the partitions among them."""
    return len(streamers) <= 1 or all([await streamer.has_partitions() for streamer in streamers])
