"""Events that wait for their next attempt.

One heap for all of them: no task and no permit each. Events that failed together wait together, in groups small enough
to travel as one request.

An event that failed alone does not count as load, so that failing events never stop good ones. Caps bound the number
of such events; above a cap, the event with the most attempts is given up early. An event that failed in company may be
innocent: it stays load and is never given up for lack of room, and after the quick attempts it is alone.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from streamer.core.delivery.attempt import Attempt
from streamer.core.records.open_record import OpenRecord


class Released(NamedTuple):
    """Events that go again now, in one request."""

    records: list[OpenRecord]
    were_alone: bool
    """Whether they failed alone, and were no load while they waited."""


class ParkedGroup:
    """Events that go again in one request once it is time."""

    __slots__ = ("charged_by", "due", "records")

    def __init__(self, records: list[OpenRecord], due: float, charged_by: Attempt) -> None:
        self.records = records
        self.due = due
        self.charged_by = charged_by

    @property
    def is_alone(self) -> bool:
        """Whether the attempt that failed carried one event."""
        return self.charged_by.calls == 1


class Parked:
    """The parked events of one integration."""

    def __init__(self, *, max_per_partition: int, max_bytes: int) -> None:
        """Begin empty.

        Args:
            max_per_partition: most events of one partition that failed alone.
            max_bytes: most bytes kept for all events that failed alone.
        """
        self._max_per_partition = max_per_partition
        self._max_bytes = max_bytes
        self._heap: list[tuple[float, int, ParkedGroup]] = []
        self._sequence = count()
        self._by_partition: Counter[tuple[str, int]] = Counter()
        self._alone: Counter[tuple[str, int]] = Counter()
        self.bytes = 0
        """Bytes kept for events that failed alone."""

    def __len__(self) -> int:
        """How many of the parked events are no load: those that failed alone."""
        return self._alone.total()

    def __iter__(self) -> Iterator[OpenRecord]:
        """All parked events, alone or in company."""
        for _, _, group in self._heap:
            yield from group.records

    def in_partition(self, topic: str, partition: int) -> int:
        """How many events of a partition are parked, alone or in company."""
        return self._by_partition[topic, partition]

    @property
    def due_at(self) -> float | None:
        """When the next group is due, on the monotonic clock; None: nothing is parked."""
        while self._heap and not self._heap[0][2].records:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def park(self, records: Sequence[OpenRecord], due: float, charged_by: Attempt) -> None:
        """Let events wait until ``due``; ``charged_by`` is the attempt that charged them."""
        group = ParkedGroup(list(records), due, charged_by)
        heapq.heappush(self._heap, (due, next(self._sequence), group))
        for record in records:
            self._count(group, record, 1)

    def take_due(self, now: float) -> list[Released]:
        """Remove and return the groups whose time has come."""
        groups: list[Released] = []
        while (due := self.due_at) is not None and due <= now:
            groups.append(self._empty(heapq.heappop(self._heap)[2]))
        return groups

    def take_refunded(self, attempts: Collection[Attempt]) -> list[Released]:
        """Remove and return the groups charged by one of these attempts."""
        refunded = {id(attempt) for attempt in attempts}
        return [self._empty(group) for _, _, group in self._heap if id(group.charged_by) in refunded and group.records]

    def take_overflow(self) -> list[OpenRecord]:
        """Remove and return the events over a cap, those with the most attempts first."""
        given_up: list[OpenRecord] = []
        for partition, parked in list(self._alone.items()):
            if parked > self._max_per_partition:
                given_up += self._take_most_tried(parked - self._max_per_partition, partition)
        if self.bytes > self._max_bytes:
            given_up += self._take_most_tried(len(self), None)
        return given_up

    def drop_fenced(self) -> None:
        """Forget events whose assignment has ended."""
        for _, _, group in self._heap:
            for record in [record for record in group.records if record.ledger.is_fenced]:
                self._remove(group, record)

    def _take_most_tried(self, number: int, partition: tuple[str, int] | None) -> list[OpenRecord]:
        candidates = [
            (record.attempts, -index, group, record)
            for index, (_, _, group) in enumerate(self._heap)
            if group.is_alone
            for record in group.records
            if partition is None or (record.ledger.topic, record.ledger.partition) == partition
        ]
        given_up: list[OpenRecord] = []
        for _, _, group, record in heapq.nlargest(number, candidates, key=lambda candidate: candidate[:2]):
            if partition is None and self.bytes <= self._max_bytes:
                break
            self._remove(group, record)
            given_up.append(record)
        return given_up

    def _empty(self, group: ParkedGroup) -> Released:
        records, group.records = group.records, []
        for record in records:
            self._count(group, record, -1)
        return Released(records, group.is_alone)

    def _remove(self, group: ParkedGroup, record: OpenRecord) -> None:
        group.records.remove(record)
        self._count(group, record, -1)

    def _count(self, group: ParkedGroup, record: OpenRecord, sign: int) -> None:
        partition = record.ledger.topic, record.ledger.partition
        self._by_partition[partition] += sign
        if group.is_alone:
            self._alone[partition] += sign
            self.bytes += sign * record.kept_bytes
