"""A row of the benchmark, not of streamer: what our receiver takes at most, to show that it is no bottleneck."""

import asyncio
from dataclasses import dataclass
from typing import Final

from bench.process import Process, receiver, running
from bench.results import Kind, Run
from bench.stand import Outcome, Stand, Watch, figures

START_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """One such row; its runs are windows of time, one after the other."""

    name: str
    title: str
    window_seconds: float = 1.5
    kind: Kind = Kind.RECEIVER

    async def measure(self, stand: Stand) -> Outcome:
        """Run it with all its windows."""
        runs: list[Run] = []
        with (
            stand.directory() as directory,
            receiver(directory, latency_seconds=0.0) as (taking, url),
            running(Process("-m", "bench.blaster", "--url", url, log=directory / "blaster.log")) as blaster,
        ):
            watch = Watch(stand, taking, [blaster])
            async with asyncio.timeout(START_SECONDS):
                while not (begin := watch.mark()).calls:  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(POLL_SECONDS)
            for _ in range(stand.runs):
                await asyncio.sleep(self.window_seconds)
                end = watch.mark()
                measured = figures(begin, end)
                runs.append({name: measured[name] for name in ("events_per_second", "receiver_percent")})
                begin = end
        return Outcome(runs)
