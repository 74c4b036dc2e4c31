"""Events that wait for their next attempt.

One heap for all of them: no task and no permit each. Events that failed together wait together, in groups small enough
to travel as one request.

An event that failed alone does not count as load, so that failing events never stop good ones. Caps bound the number
of such events; above a cap, the event with the most attempts is given up early. An event that failed in company may be
innocent: it stays load and is never given up for lack of room, and after the quick attempts it is alone.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import count
from typing import NamedTuple, TypeVar

from streamer.core.delivery.attempt import Attempt
from streamer.core.delivery.most_tried import MostTried
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord

Partition = tuple[str, int]
"""Topic and number."""


class Released(NamedTuple):
    """Events that go again now, in one request."""

    records: list[OpenRecord]
    were_alone: bool
    """Whether they failed alone, and were no load while they waited."""


class ParkedGroup:
    """Events that go again in one request once it is time."""

    __slots__ = ("charged_by", "due", "ledgers", "records")

    def __init__(self, records: list[OpenRecord], due: float, charged_by: Attempt) -> None:
        self.records = records
        self.due = due
        self.charged_by = charged_by
        self.ledgers = {record.ledger for record in records}
        """Those under which it is found."""

    @property
    def is_alone(self) -> bool:
        """Whether the attempt that failed carried one event."""
        return self.charged_by.calls == 1


class Parked:
    """The parked events of one integration.

    A method that removes events looks at these events only, and at the groups that they are in. A group that is emptied
    before its time stays in the heap as a shell. When more than half of the heap are shells, they are removed.
    """

    def __init__(self, *, max_per_partition: int, max_bytes: int) -> None:
        """Begin empty.

        Args:
            max_per_partition: most events of one partition that failed alone.
            max_bytes: most bytes kept for all events that failed alone.
        """
        self._max_per_partition = max_per_partition
        self._max_bytes = max_bytes
        self._heap: list[tuple[float, int, ParkedGroup]] = []
        self._shells = 0
        self._sequence = count()
        self._charged_by: dict[Attempt, dict[ParkedGroup, None]] = {}
        """The groups that an attempt has charged, in the order of parking."""
        self._with_ledger: dict[PartitionLedger, dict[ParkedGroup, None]] = {}
        """The groups that hold, or held, an event of a ledger."""
        self._by_partition: Counter[Partition] = Counter()
        self._alone: dict[OpenRecord, ParkedGroup] = {}
        """The events that failed alone."""
        self._most_tried = MostTried()
        self._most_tried_in: dict[Partition, MostTried] = {}
        self._full: set[Partition] = set()
        """Partitions that may be over their cap."""
        self.bytes = 0
        """Bytes kept for events that failed alone."""

    def __len__(self) -> int:
        """How many of the parked events are no load: those that failed alone."""
        return len(self._alone)

    def __iter__(self) -> Iterator[OpenRecord]:
        """All parked events, alone or in company."""
        for _, _, group in self._heap:
            yield from group.records

    def in_partition(self, topic: str, partition: int) -> int:
        """How many events of a partition are parked, alone or in company."""
        return self._by_partition[topic, partition]

    def parked_until(self, record: OpenRecord) -> float | None:
        """When an event is due, on the monotonic clock; None: it is not parked. Looks through all that is parked."""
        return next((due for due, _, group in self._heap if any(record is other for other in group.records)), None)

    @property
    def due_at(self) -> float | None:
        """When the next group is due, on the monotonic clock; None: nothing is parked."""
        while self._heap and not self._heap[0][2].records:
            heapq.heappop(self._heap)
            self._shells -= 1
        return self._heap[0][0] if self._heap else None

    def park(self, records: Sequence[OpenRecord], due: float, charged_by: Attempt) -> None:
        """Let events wait until ``due``; ``charged_by`` is the attempt that charged them."""
        group = ParkedGroup(list(records), due, charged_by)
        heapq.heappush(self._heap, (due, next(self._sequence), group))
        self._charged_by.setdefault(charged_by, {})[group] = None
        for ledger in group.ledgers:
            self._with_ledger.setdefault(ledger, {})[group] = None
        for record in records:
            partition = _partition_of(record)
            self._by_partition[partition] += 1
            if group.is_alone:
                self._add_alone(record, partition, group)

    def take_due(self, now: float) -> list[Released]:
        """Remove and return the groups whose time has come."""
        groups: list[Released] = []
        while (due := self.due_at) is not None and due <= now:
            groups.append(self._release(heapq.heappop(self._heap)[2]))
        return groups

    def take(self, records: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Remove and return those of ``records`` that are parked because they failed alone."""
        parked = [record for record in dict.fromkeys(records) if record in self._alone]
        for record in parked:
            self._remove(self._alone[record], {record})
        return parked

    def take_refunded(self, attempts: Collection[Attempt]) -> list[Released]:
        """Remove and return the groups charged by one of these attempts."""
        refunded = [group for attempt in attempts for group in self._charged_by.get(attempt, ())]
        released = [self._release(group) for group in refunded]
        self._note_shells(len(released))
        return released

    def take_overflow(self) -> list[OpenRecord]:
        """Remove and return the events over a cap, those with the most attempts first."""
        given_up: list[OpenRecord] = []
        while self._full:
            most_tried = self._most_tried_in[self._full.pop()]
            while len(most_tried) > self._max_per_partition:
                given_up.append(self._give_up(most_tried.find()))
        while self.bytes > self._max_bytes:
            given_up.append(self._give_up(self._most_tried.find()))
        return given_up

    def drop_fenced(self) -> None:
        """Forget events whose assignment has ended."""
        for ledger in [ledger for ledger in self._with_ledger if ledger.is_fenced]:
            for group in self._with_ledger.pop(ledger):
                group.ledgers.remove(ledger)
                self._remove(group, {record for record in group.records if record.ledger is ledger})

    def _give_up(self, record: OpenRecord) -> OpenRecord:
        self._remove(self._alone[record], {record})
        return record

    def _remove(self, group: ParkedGroup, removed: AbstractSet[OpenRecord]) -> None:
        """Remove events of a group before its time."""
        if len(removed) == len(group.records):
            self._release(group)
            self._note_shells(1)
            return
        group.records = [record for record in group.records if record not in removed]
        self._uncount(removed)

    def _release(self, group: ParkedGroup) -> Released:
        """Empty a group, and forget it everywhere but in the heap."""
        _forget(self._charged_by, group.charged_by, group)
        for ledger in group.ledgers:
            _forget(self._with_ledger, ledger, group)
        records, group.records = group.records, []
        self._uncount(records)
        return Released(records, group.is_alone)

    def _note_shells(self, number: int) -> None:
        self._shells += number
        if self._shells * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].records]
            heapq.heapify(self._heap)
            self._shells = 0

    def _add_alone(self, record: OpenRecord, partition: Partition, group: ParkedGroup) -> None:
        self._alone[record] = group
        self._most_tried.add(record)
        most_tried = self._most_tried_in.setdefault(partition, MostTried())
        most_tried.add(record)
        if len(most_tried) > self._max_per_partition:
            self._full.add(partition)
        self.bytes += record.kept_bytes

    def _uncount(self, records: Iterable[OpenRecord]) -> None:
        for record in records:
            partition = _partition_of(record)
            self._by_partition[partition] -= 1
            if self._alone.pop(record, None) is not None:
                self._most_tried.remove(record)
                self._most_tried_in[partition].remove(record)
                self.bytes -= record.kept_bytes


def _partition_of(record: OpenRecord) -> Partition:
    return record.ledger.topic, record.ledger.partition


Owner = TypeVar("Owner", Attempt, PartitionLedger)


def _forget(groups: dict[Owner, dict[ParkedGroup, None]], owner: Owner, group: ParkedGroup) -> None:
    """Take a group from those of an owner, and the owner with its last one."""
    owned = groups[owner]
    del owned[group]
    if not owned:
        del groups[owner]
