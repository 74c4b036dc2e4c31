"""Asks the brokers, every few seconds and whatever the reader does, where the partitions of ours end.

It only looks: an error is logged, an answer changes nothing but what is shown. One partition that nobody can tell of
leaves the others known.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from typing import Final

from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.records.log_ends import LogEnds, PartitionEnds
from streamer.kafka import EndsAnswer, TopicPartition
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.contact import Contact
from streamer.pipeline.ports import Brokers, RecordSource
from streamer.timings import Timings

MAX_RECORDS_LOOKED_AT: Final = 10
"""Most partitions of which a waiting record's time is asked in one round; each answer is one batch of records."""


class Asker:
    """What the brokers last said of the ends of one integration's partitions."""

    def __init__(
        self,
        integration: str,
        *,
        brokers: Brokers,
        source: RecordSource,
        assignment: Assignment,
        contact: Contact,
        timings: Timings,
    ) -> None:
        """Know nothing yet.

        Args:
            integration: for the log.
            brokers: the cluster.
            source: is asked.
            assignment: which partitions, and how far they are read.
            contact: is told whether the brokers answer.
            timings: how often to ask, and how long an answer is true.
        """
        self._integration = integration
        self._brokers = brokers
        self._source = source
        self._assignment = assignment
        self._contact = contact
        self._timings = timings
        self._known: dict[TopicPartition, PartitionEnds] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            with observing("ends of the partitions", integration=self._integration):
                await self._ask()
            await asyncio.sleep(self._timings.ask_every)

    def ends(self, partition: TopicPartition, now: float) -> LogEnds | None:
        """Where a partition ends; None: not known, or not any more. ``now`` is monotonic seconds."""
        known = self._known.get(partition)
        return None if known is None else known.known(now, self._timings.silent_after)

    def known_at(self, partition: TopicPartition) -> float | None:
        """When a broker last said it, in monotonic seconds; None: never."""
        known = self._known.get(partition)
        return None if known is None or known.ends is None else known.known_at

    def open_transaction_since(self, partition: TopicPartition, now: float) -> float | None:
        """Since when an open transaction keeps the partition from being read; None: none does, or not for long.

        ``now`` and the moment are monotonic seconds.
        """
        return self._known[partition].open_transaction_since if self.ends(partition, now) is not None else None

    def waiting_timestamp(self, partition: TopicPartition, next_offset: int) -> int | None:
        """The time of the record that is read next, in ms since the epoch; None: it was not looked at."""
        known = self._known.get(partition)
        return None if known is None else known.waiting_timestamp(next_offset)

    async def _ask(self) -> None:
        partitions = self._assignment.partitions()
        self._known = {place: known for place, known in self._known.items() if place in partitions}
        answer = await self._source.log_ends(partitions, timeout_seconds=self._timings.ask_timeout)
        if answer.heard_at is not None:
            self._contact.heard(answer.heard_at)
        else:
            detail = next(iter(answer.faults.values()), "no broker is known")
            self._contact.missed(await self._why(detail) if self._contact.is_to_be_said() else detail)
            return
        await self._look_at(self._tell(answer, answer.heard_at))

    def _tell(self, answer: EndsAnswer, now: float) -> list[TopicPartition]:
        """Note an answer; returns the partitions that do not move although records wait in them."""
        still, blocked = [], []
        for partition, ends in answer.ends.items():
            ledger = self._assignment.ledgers.get(partition)
            known = self._known.setdefault(partition, PartitionEnds(now))
            was_blocked = known.open_transaction_since is not None
            next_offset = None if ledger is None else ledger.next_offset
            if known.tell(ends, next_offset, now, self._timings.transaction_after):
                still.append(partition)
            if known.open_transaction_since is not None and not was_blocked:
                blocked.append(partition)
        if blocked:
            self._say_open(blocked)
        return still

    async def _why(self, detail: str) -> str:
        """Why no broker answers: a new connection tells more than one that the client has given up."""
        try:
            async with asyncio.timeout(self._timings.preflight):
                await self._brokers.preflight()
        except (UnavailableError, SettingsError) as error:
            return str(error)
        except TimeoutError:
            pass
        return detail

    async def _look_at(self, partitions: Collection[TopicPartition]) -> None:
        """Learn since when the next record waits, where nothing tells that was read before; in turns."""
        next_offsets = {
            place: ledger.next_offset
            for place in partitions
            if (ledger := self._assignment.ledgers.get(place)) is not None and not ledger.open_records
        }
        unknown = [
            place for place, offset in next_offsets.items() if self._known[place].waiting_timestamp(offset) is None
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timings.ask_timeout):
                for place in sorted(unknown, key=lambda place: self._known[place].looked_at)[:MAX_RECORDS_LOOKED_AT]:
                    await self._look_at_one(place, next_offsets[place])

    async def _look_at_one(self, partition: TopicPartition, offset: int) -> None:
        known = self._known[partition]
        known.looked_at = time.monotonic()
        timestamp = await self._source.timestamp_at(partition, offset, timeout_seconds=self._timings.ask_timeout)
        if timestamp is not None:
            known.waiting = (offset, timestamp)

    def _say_open(self, blocked: Sequence[TopicPartition]) -> None:
        """One line for all: a producer that hangs leaves its transaction open in every partition it wrote to."""
        first, ends = blocked[0], self._known[blocked[0]].ends
        assert ends is not None, "just told"
        logger().emit(
            Event.TRANSACTION_OPEN,
            integration=self._integration,
            topic=first.topic,
            partition=first.partition,
            offset=ends.last_stable_offset,
            high_watermark=ends.high_watermark,
            partitions=len(blocked),
        )
