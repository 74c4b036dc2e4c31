"""An engine whose pipelines deliver: to a client in memory, unless a test gives it another one."""

import time
from pathlib import Path

from streamer.core.delivery.parked import Parked
from streamer.core.mapping import Mapper
from streamer.core.records.custody import Custody
from streamer.destinations import Destination
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.delivery import Delivery
from streamer.receipts import Receipts
from streamer.receipts.channel import Channel
from tests.doubles.destination import MemoryClient
from tests.pipeline.engine import Engine, eventually


class Delivering(Engine):
    """An engine whose worker delivers to a receiver in memory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.receiver = MemoryClient()
        self.target = self.new_target()
        self.receipts = Receipts.open(
            directory / "receipts", window_seconds=86_400, max_bytes=64 << 20, now=time.time()
        )
        self.channel: Channel | None = None
        """Of the next pipeline; None: its receipts are not shared."""

    def new_target(self) -> Destination:
        """A destination that knows nothing yet."""
        settings = self.settings().destinations["segment"]
        return Destination("segment", settings, client=self.receiver, timings=self.timings)

    def deliver(self, custody: Custody, dead_letters: DeadLetters) -> Delivery:
        """Make the worker, as `streamer.integration` does."""
        settings = self.settings()
        limits = settings.integrations["surveys"].limits
        return Delivery(
            "surveys",
            destination=self.target,
            mapper=Mapper(settings.mapping("surveys")),
            receipts=self.receipts,
            parked=Parked(max_per_partition=limits.max_parked_per_partition, max_bytes=limits.max_open_bytes),
            custody=custody,
            dead_letters=dead_letters,
            observe_latency=lambda _records, _now: None,
            channel=self.channel,
        )

    async def settled(self, *ends: int) -> None:
        """Wait until everything below these positions is committed, partition by partition."""
        await eventually(lambda: [self.committed(number) for number in range(len(ends))] == list(ends))

    def total(self, outcome: str, instance: int = -1) -> int:
        """How many records ended in this way."""
        counts = [getattr(account, outcome) for account in self.accounts[instance].values()]
        return sum(count if isinstance(count, int) else count.total() for count in counts)
