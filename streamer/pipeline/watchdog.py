"""Watches one integration from outside its parts, because some of them can stop without a word.

The Kafka client's own liveness check is switched off by one cancelled read, its fetcher can die unnoticed, and it
never asks the bootstrap servers again when all brokers have moved. So progress is measured where it must show: the
reader turns, each partition is fetched, and what is due is sent. A stall is logged with its cause and ends the
pipeline; its successor starts with new clients. Only if that does not help does the service ask to be restarted
(`/livez`).
"""

import asyncio
import time
from typing import Final

from streamer.core.errors import StreamerError, UnavailableError
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.ports import RecordSource
from streamer.pipeline.reader import Reader
from streamer.pipeline.worker import Worker
from streamer.timings import Timings

ORPHANS: Final = "records without a holder"
"""Cause of a stall: a bug of ours has lost sight of open records."""

UNFETCHED: Final = PartitionFault(
    Obstacle.READ_FAILED, "its leader has sent nothing for two minutes, although other partitions are fetched"
)
_REBALANCE: Final = "rebalance"
_FETCH: Final = "fetch of "
_OF_THE_BROKERS: Final = (_REBALANCE, _FETCH)
"""How causes begin that are no stall of ours while no broker answers."""


class StalledError(StreamerError):
    """A part of the pipeline has stopped moving."""


class Watchdog:
    """Looks after one pipeline."""

    def __init__(
        self,
        integration: str,
        *,
        source: RecordSource,
        assignment: Assignment,
        reader: Reader,
        worker: Worker,
        dead_letters: DeadLetters,
        contact: Contact,
        timings: Timings,
    ) -> None:
        self._integration = integration
        self._source = source
        self._assignment = assignment
        self._reader = reader
        self._worker = worker
        self._dead_letters = dead_letters
        self._contact = contact
        self._timings = timings

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            StalledError: something has stopped moving.
            UnavailableError: nothing moves because no broker answers; new clients may find them at other addresses.
        """
        cause: str | None = None
        counted_at = time.monotonic()
        while True:
            await asyncio.sleep(self._timings.watch_every)
            now = time.monotonic()
            before, cause = cause, self.stall(now, time.time())
            if cause is None and (now - counted_at >= self._timings.count_every or before == ORPHANS):
                counted_at, cause = now, self.orphans()
            # Twice: the client dates its fetches by the wall clock, which may have jumped since the last one.
            if cause is not None and cause == before:
                if self._contact.is_silent(now) and cause.startswith(_OF_THE_BROKERS):
                    raise UnavailableError("no broker answers; the integration restarts, because they may have moved")
                logger().emit(Event.TASK_STALLED, integration=self._integration, reason=cause)
                raise StalledError(cause)

    def orphans(self) -> str | None:
        """Whether records are open that no part has in hand: they would keep their partition from moving.

        Looks at every open record, some 20 ms for 200,000; therefore it is asked less often than `stall`.
        """
        open_records = sum(ledger.open_records for ledger in self._assignment.ledgers.values())
        letters = sum(not letter.ledger.is_fenced for letter in self._dead_letters)
        return ORPHANS if self._worker.records_held() + letters != open_records else None

    def stall(self, now: float, epoch_seconds: float) -> str | None:
        """What has stopped moving; None: nothing.

        Args:
            now: monotonic seconds.
            epoch_seconds: the wall clock, by which the client dates its fetches.
        """
        patience = self._timings.stalled_after if self._assignment.is_restored else self._timings.rebalance
        if now - self._reader.turned_at > patience:
            return "reader" if self._assignment.is_restored else _REBALANCE
        if now - self._worker.moved_at > self._timings.stalled_after and self._worker.is_overdue(now):
            return "work"
        if self._reader.reads_since is None or now - self._reader.reads_since < self._timings.stalled_after:
            return None
        return self._unfetched(epoch_seconds)

    def _unfetched(self, epoch_seconds: float) -> str | None:
        """Whether the client has stopped fetching. One partition that is not fetched beside others is left out."""
        flowing = self._assignment.flowing()
        unfetched = [partition for partition in sorted(flowing) if self._is_unfetched(partition, epoch_seconds)]
        if len(unfetched) < len(flowing):
            for partition in unfetched:
                self._assignment.left_out.meet(self._source, partition, UNFETCHED)
            return None
        return f"{_FETCH}{unfetched[0].topic}-{unfetched[0].partition}" if unfetched else None

    def _is_unfetched(self, partition: TopicPartition, epoch_seconds: float) -> bool:
        # Slow work, such as a low rate limit, may take minutes to use up what one fetch of compressed records brought.
        if self._source.has_fetched(partition):
            return False
        fetched_at = self._source.fetched_at(partition)
        return fetched_at is not None and epoch_seconds - fetched_at > self._timings.stalled_after
