"""A row of the benchmark: an instance without receipts restores them from their topic, in this process.

The loop has its turn meanwhile: a task that sleeps says how much CPU time the loop spent between two of its turns. That
is the time for which others wait on a machine with nothing else to do.
"""

import asyncio
import contextlib
import gc
import time
from dataclasses import dataclass
from typing import Final

from bench.process import BenchError
from bench.receipts import open_receipts, random_digests
from bench.results import Kind, Run
from bench.stand import Outcome, Stand
from streamer.core.records.receipt_record import ReceiptBatch, encode
from streamer.kafka import ReceiptTopic, Sender
from streamer.receipts.shared import SharedReceipts
from streamer.service import GC_THRESHOLD
from streamer.settings import KafkaSettings
from streamer.settings.sections import ReceiptsSettings

PARTITIONS: Final = 6
"""Of the topic of receipts, as streamer creates it; and of the topic that was delivered."""

SAMPLE_SECONDS: Final = 0.002
MAX_SECONDS: Final = 600.0
AT_ONCE: Final = 500
"""Records that are sent before their confirmations are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """One such row."""

    name: str
    title: str
    receipts: int
    receipts_per_record: int
    kind: Kind = Kind.RESTORING

    async def measure(self, stand: Stand) -> Outcome:
        """Run it with all its runs: each begins without receipts."""
        topic = await stand.new_topic(PARTITIONS)
        stand.tell(f"writing {self.receipts:,} receipts to their topic")
        await self._fill(stand, topic)
        threshold = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        try:
            return Outcome([await self._run(stand, topic) for _ in range(stand.runs)])
        finally:
            gc.set_threshold(*threshold)
            gc.unfreeze()

    async def _fill(self, stand: Stand, topic: str) -> None:
        began, size = time.time(), self.receipts_per_record
        async with Sender(KafkaSettings(bootstrap_servers=stand.servers)) as sender:
            waiting = []
            for first in range(0, self.receipts, size):
                batch = ReceiptBatch(
                    integration="surveys",
                    destination_name="segment",
                    destination="",
                    topic="surveys",
                    partition=first // size % PARTITIONS,
                    delivered_at=began,
                    instance="bench",
                    batch_events=size,
                    attempt=1,
                    status=200,
                    replay_id=0,
                    offsets=range(first, first + size),
                    digests=random_digests(size),
                )
                key, value = encode(batch)
                waiting.append(await sender.send(topic, value, key=key, headers=[]))
                if len(waiting) == AT_ONCE:
                    await asyncio.wait(waiting)
                    waiting = []
            if waiting:
                await asyncio.wait(waiting)

    async def _run(self, stand: Stand, topic: str) -> Run:
        window = ReceiptsSettings().window
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                began = time.thread_time()
                await asyncio.sleep(SAMPLE_SECONDS)
                longest = max(longest, time.thread_time() - began)

        kafka = KafkaSettings(bootstrap_servers=stand.servers)
        with stand.directory() as directory:
            receipts = open_receipts(directory / "receipts")
            shared = SharedReceipts(ReceiptTopic(kafka, topic, window_seconds=window), window_seconds=window)
            channel = shared.join("surveys", receipts, destination_name="segment", destination="", assigned=dict)
            cpu, began = time.process_time(), time.monotonic()
            tasks = [asyncio.create_task(watch()), asyncio.create_task(shared.run())]
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    while channel.restored_total < self.receipts:  # noqa: ASYNC110 - nothing announces it
                        await asyncio.sleep(0.05)
                seconds, used = time.monotonic() - began, time.process_time() - cpu
            finally:
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                shared.leave(channel)
                receipts.close()
        if channel.restored_total != self.receipts:
            raise BenchError(f"{channel.restored_total} receipts were restored instead of {self.receipts}")
        return {
            "seconds": round(seconds, 1),
            "cpu_us_per_event": round(used / self.receipts * 1e6, 2),
            "loop_kept_ms": round(longest * 1000),
        }
