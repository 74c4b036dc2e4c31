"""How much memory of its own a process holds, looked at all the time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

SAMPLE_SECONDS: Final = 0.02

MAX_BYTES: Final = 400_000_000
"""What one service with one integration may hold, whatever it is fed."""


class Sample(NamedTuple):
    """Memory at one moment."""

    at: float
    """Monotonic seconds."""
    size: int
    """Bytes."""


class Memory:
    """The samples of one process."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    @property
    def largest(self) -> int:
        """Bytes at most."""
        return max(sample.size for sample in self.samples)

    def growth(self, since: float) -> int:
        """Bytes at most from a moment on, in monotonic seconds, above those at that moment."""
        sizes = [sample.size for sample in self.samples if sample.at >= since]
        return max(sizes) - sizes[0]


@contextlib.asynccontextmanager
async def memory_of(pid: int) -> AsyncIterator[Memory]:
    """Take samples while the block lasts.

    Anonymous pages only (``RssAnon``): the receipts are a mapped file, whose pages the kernel takes back as it likes.
    """

    async def look() -> None:
        while True:
            memory.samples.append(Sample(time.monotonic(), _anonymous_bytes(pid)))
            await asyncio.sleep(SAMPLE_SECONDS)

    memory = Memory()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(), name="look at memory")
        try:
            yield memory
        finally:
            looking.cancel()


def _anonymous_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))
