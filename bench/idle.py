"""A row of the benchmark: nothing comes. What does it cost to be a member of the group?"""

import asyncio
import time
from dataclasses import dataclass

from bench.data import PARTITIONS
from bench.process import HOST, Process, Streamer, anonymous_bytes, cpu_seconds, running
from bench.results import Kind, Run
from bench.stand import Outcome, Stand


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One such row; its runs are windows of time, one after the other."""

    name: str
    title: str
    window_seconds: float
    warm_up_seconds: float = 3.0
    kind: Kind = Kind.IDLE

    async def measure(self, stand: Stand) -> Outcome:
        """Run it with all its windows."""
        topic = await stand.new_topic(PARTITIONS)
        with stand.directory() as directory:
            streamer = Streamer(directory, stand.deployment(f"http://{HOST}:9", topic))  # nobody will ask there
            with running(streamer.process) as process:
                await streamer.join()
                await asyncio.sleep(self.warm_up_seconds)
                return Outcome([await self._window(process) for _ in range(stand.runs)])

    async def _window(self, process: Process) -> Run:
        cpu, began = cpu_seconds([process.usage]), time.monotonic()
        await asyncio.sleep(self.window_seconds)
        process.check_runs()
        used, seconds = cpu_seconds([process.usage]) - cpu, time.monotonic() - began
        return {
            "cpu_percent": round(used / seconds * 100, 2),
            "anonymous_mb": round(anonymous_bytes([process.usage]) / 1e6, 1),
        }
