"""What consumes: the seam between Kafka's side of an integration and the work that is done with its records."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from streamer.core.delivery.limiting import Limit
from streamer.core.model import Record
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import TopicPartition
from streamer.pipeline.dead_letters import DeadLetters

Prepare = Callable[[Collection[Sequence[Record]]], Awaitable[None]]
"""Gets ready for records that will be taken next, in one go for all partitions. Its waits are bounded, it ends nothing,
and the records may never come: their assignment may end meanwhile."""


class Worker(Protocol):
    """Takes records and brings each to its outcome. `streamer.pipeline.delivery.Delivery` is the first one.

    A worker ends records through the `Custody` it was made with, and sets records aside through `DeadLetters`.
    """

    moved_at: float
    """Monotonic time at which a unit of its work last began or ended."""

    @property
    def prepare(self) -> Prepare | None:
        """What is awaited before records are taken; None: nothing."""

    @property
    def under_way(self) -> int:
        """Units of work that a drain waits for."""

    @property
    def parked_bytes(self) -> int:
        """Bytes kept for records that wait for their next attempt and are no load."""

    def parked_in(self, partition: TopicPartition) -> int:
        """How many records of a partition wait for their next attempt."""

    def records_held(self) -> int:
        """Open records that it has in hand, those that wait for one of them included; dead letters are not."""

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Take records of one partition, in the order of their offsets; never waits."""

    async def run(self) -> None:
        """Work until cancelled; whatever has not ended by then stays open."""

    async def quiesce(self, timeout_seconds: float) -> None:
        """Start nothing more, and wait for what is under way, at most so long."""

    def resume(self) -> None:
        """Start work again after `quiesce`."""

    def drop_fenced(self) -> None:
        """Forget records whose assignment has ended, but for those under way."""

    def letter_written(self, letter: PendingLetter) -> None:
        """The broker has confirmed a dead letter: end its record."""

    def is_due(self, now: float) -> bool:
        """Whether something waits to be started; ``now`` in monotonic seconds."""

    def is_overdue(self, now: float) -> bool:
        """Whether something is due and could be started, but is not."""

    def limited_by(self, now: float) -> Limit | None:
        """Why nothing can be started now; None: something could."""

    def take_warnings(self) -> Counter[str]:
        """What was accepted, since this was last called, although a platform's documents rule it out."""


MakeWorker = Callable[[Custody, DeadLetters], Worker]
"""Makes the worker of one pipeline."""
