"""Parked events against a plain list of them, which is too simple to be wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamer.core.delivery.attempt import Attempt
from streamer.core.delivery.parked import Parked, Released
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord

TOPIC = "surveys"
MAX_PER_PARTITION = 3
MAX_BYTES = 100
PARTITIONS = 3


def new_ledger(partition: int) -> PartitionLedger:
    return PartitionLedger(TOPIC, partition, 0, Account(), replay_until=0)


def new_attempt(calls: int = 1) -> Attempt:
    return Attempt(started_at=0.0, is_probe=False, calls=calls, term=0)


def new_event(ledger: PartitionLedger, offset: int = 0, *, size: int = 10, attempts: int = 1) -> OpenRecord:
    """An event of ``size`` bytes that was charged so many attempts."""
    record: Any = SimpleNamespace(topic=TOPIC, partition=ledger.partition, offset=offset, value=None)
    event = OpenRecord(record, ledger, f"evt_{offset}", b"x" * size)
    event.charges = [new_attempt() for _ in range(attempts)]
    return event


def parked_events(*events: OpenRecord, max_bytes: int = MAX_BYTES) -> Parked:
    """Each event parked in a group of its own, due at the same time."""
    parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=max_bytes)
    for event in events:
        parked.park([event], 1.0, new_attempt())
    return parked


def test_a_group_comes_back_together_when_it_is_due() -> None:
    ledger = new_ledger(0)
    parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=MAX_BYTES)
    late, soon = [new_event(ledger, 0)], [new_event(ledger, 1), new_event(ledger, 2)]
    parked.park(late, 2.0, new_attempt())
    parked.park(soon, 1.0, new_attempt())

    assert parked.due_at == 1.0
    assert parked.take_due(0.9) == []
    assert [group.records for group in parked.take_due(1.0)] == [soon]
    assert [group.records for group in parked.take_due(9.0)] == [late]
    assert parked.due_at is None


def test_groups_that_were_due_at_the_same_time_come_in_the_order_of_parking() -> None:
    ledger = new_ledger(0)
    events = [new_event(ledger, offset) for offset in range(3)]

    assert parked_events(*events).take_due(1.0) == [Released([event], were_alone=True) for event in events]


def test_a_refund_brings_back_what_its_attempt_has_charged() -> None:
    ledger = new_ledger(0)
    parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=MAX_BYTES)
    refunded, other = new_attempt(), new_attempt()
    wronged, guilty = [new_event(ledger, 0)], [new_event(ledger, 1)]
    parked.park(wronged, 5.0, refunded)
    parked.park(guilty, 6.0, other)

    assert [group.records for group in parked.take_refunded([refunded])] == [wronged]
    assert parked.take_refunded([refunded]) == [], "only once"
    assert parked.due_at == 6.0


def test_over_the_cap_of_a_partition_the_most_tried_are_given_up() -> None:
    """They are the least likely to succeed, and have waited in vain the longest."""
    ledger = new_ledger(0)
    tried = [new_event(ledger, offset, attempts=attempts) for offset, attempts in enumerate((2, 5, 1, 4, 3))]
    parked = parked_events(*tried)

    assert parked.take_overflow() == [tried[1], tried[3]]
    assert parked.take_overflow() == []
    assert len(parked) == MAX_PER_PARTITION


def test_an_event_that_failed_in_company_is_not_given_up_for_want_of_room() -> None:
    """It may be innocent. It stays load, so that no more of its kind are read than there is room for."""
    ledger = new_ledger(0)
    company = [new_event(ledger, offset, size=60, attempts=3) for offset in range(9)]
    parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=MAX_BYTES)
    parked.park(company, 1.0, new_attempt(calls=9))

    assert parked.take_overflow() == []
    assert (len(parked), parked.bytes, parked.in_partition(TOPIC, 0)) == (0, 0, 9)
    assert parked.take_due(1.0) == [Released(company, were_alone=False)]


def test_a_full_partition_costs_another_one_nothing() -> None:
    full, other = new_ledger(0), new_ledger(1)
    many_times_tried = new_event(other, 9, attempts=9)
    parked = parked_events(*(new_event(full, offset) for offset in range(4)), many_times_tried)

    [given_up] = parked.take_overflow()

    assert given_up.ledger is full


def test_over_the_cap_of_bytes_as_many_are_given_up_as_it_takes() -> None:
    """Of any partition, again the most tried first."""
    events = [new_event(new_ledger(partition), partition, size=60, attempts=partition + 1) for partition in range(3)]
    parked = parked_events(*events)

    assert parked.take_overflow() == [events[2], events[1]]
    assert parked.bytes == 60


def test_an_attempt_that_was_refunded_does_not_count() -> None:
    ledger = new_ledger(0)
    events = [new_event(ledger, offset, attempts=2) for offset in range(4)]
    innocent = new_event(ledger, 9)
    refunded = [new_attempt() for _ in range(5)]
    innocent.charges = [*refunded]
    for attempt in refunded:
        attempt.is_refunded = True
    parked = parked_events(innocent, *events)

    assert innocent not in parked.take_overflow()


def test_events_of_an_ended_assignment_are_forgotten() -> None:
    leaving, staying = new_ledger(0), new_ledger(1)
    gone, ours = new_event(leaving, 0), new_event(staying, 1)
    parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=MAX_BYTES)
    parked.park([gone, ours], 1.0, new_attempt())
    parked.park([new_event(leaving, 2)], 0.5, new_attempt())

    leaving.fence()
    parked.drop_fenced()

    assert (len(parked), parked.bytes, parked.in_partition(TOPIC, 0)) == (1, ours.kept_bytes, 0)
    assert parked.due_at == 1.0, "nobody is woken for a group that is empty"
    assert [group.records for group in parked.take_due(1.0)] == [[ours]]


class CountedEvent(OpenRecord):
    """An event that counts how often somebody asks for its attempts or its ledger."""

    looks = 0

    @property
    def attempts(self) -> int:
        CountedEvent.looks += 1
        return super().attempts

    @property
    def ledger(self) -> PartitionLedger:
        CountedEvent.looks += 1
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: PartitionLedger) -> None:
        self._ledger = ledger


class CountedHeap(list[Any]):
    """A heap that counts the entries that somebody goes through."""

    visited = 0

    def __iter__(self) -> Iterator[Any]:
        for entry in super().__iter__():
            self.visited += 1
            yield entry


MANY = 2_000


def counted_event(ledger: PartitionLedger, offset: int, attempts: int = 1) -> CountedEvent:
    record: Any = SimpleNamespace(topic=TOPIC, partition=ledger.partition, offset=offset, value=None)
    event = CountedEvent(record, ledger, f"evt_{offset}", b"x" * 10)
    event.charges = [new_attempt() for _ in range(attempts)]
    return event


def many_parked(ledger: PartitionLedger) -> tuple[Parked, CountedHeap]:
    """As many as there is room for, due in hours, most of them tried equally often."""
    parked = Parked(max_per_partition=10 * MANY, max_bytes=10 * MANY)
    heap = parked._heap = CountedHeap()
    for offset in range(MANY):
        parked.park([counted_event(ledger, offset, 1 + offset % 5)], 7_200.0, new_attempt())
    CountedEvent.looks = heap.visited = 0
    return parked, heap


def test_giving_up_at_a_cap_does_not_look_at_all_that_is_parked() -> None:
    """At the cap each further event costs one; sorting all of them cost 27 ms of the event loop for each."""
    ledger = new_ledger(0)
    parked, heap = many_parked(ledger)
    for offset in range(MANY, 2 * MANY):
        parked.park([counted_event(ledger, offset)], 7_200.0, new_attempt())
        [given_up] = parked.take_overflow()
        assert given_up.attempts >= 1
    assert CountedEvent.looks <= 20 * MANY
    assert heap.visited <= 4 * MANY, "the heap is gone through only to remove shells"


def test_refunds_that_make_the_most_tried_innocent_cost_no_more_than_one_look_each() -> None:
    ledger = new_ledger(0)
    refunded = new_attempt()
    parked = Parked(max_per_partition=MANY, max_bytes=10 * MANY)
    for offset in range(MANY):
        event = counted_event(ledger, offset)
        event.charges = [*(event.charges or ()), refunded, refunded]
        parked.park([event], 7_200.0, new_attempt())
    refunded.is_refunded = True
    CountedEvent.looks = 0
    tried = counted_event(ledger, MANY, attempts=2)
    parked.park([tried], 7_200.0, new_attempt())

    assert parked.take_overflow() == [tried]
    assert CountedEvent.looks <= 10 * MANY


def test_a_refund_does_not_look_at_what_others_have_charged() -> None:
    parked, heap = many_parked(new_ledger(0))
    charged = [new_attempt() for _ in range(MANY // 4)]
    for number, attempt in enumerate(charged):
        parked.park([new_event(new_ledger(1), number)], 7_200.0, attempt)
    heap.visited = 0

    for attempt in charged:
        [released] = parked.take_refunded([attempt])
        assert released.were_alone
    assert (heap.visited, CountedEvent.looks) == (0, 0)


def test_the_end_of_an_assignment_does_not_look_at_events_of_the_others() -> None:
    parked, heap = many_parked(new_ledger(0))
    leaving = new_ledger(1)
    parked.park([new_event(leaving, 0)], 7_200.0, new_attempt())

    leaving.fence()
    parked.drop_fenced()

    assert parked.in_partition(TOPIC, 1) == 0
    assert (heap.visited, CountedEvent.looks) == (0, 0)


def test_groups_that_were_emptied_early_do_not_fill_the_heap() -> None:
    """Their time may be hours away, and a destination that fails now and then refunds many."""
    parked, heap = many_parked(new_ledger(0))
    for number in range(10 * MANY):
        attempt = new_attempt()
        parked.park([new_event(new_ledger(1), number)], 7_200.0, attempt)
        parked.take_refunded([attempt])
    assert len(heap) <= 2 * MANY + 1
    assert heap.visited <= 30 * MANY


@dataclass(slots=True, eq=False)
class ModelGroup:
    events: list[OpenRecord]
    due: float
    charged_by: Attempt


class ParkedMachine(RuleBasedStateMachine):
    """Any order of parking, refunds, overflow, ends of assignments and time."""

    def __init__(self) -> None:
        super().__init__()
        self.parked = Parked(max_per_partition=MAX_PER_PARTITION, max_bytes=MAX_BYTES)
        self.groups: list[ModelGroup] = []
        self.ledgers = [new_ledger(partition) for partition in range(PARTITIONS)]
        self.attempts = [new_attempt(), new_attempt(), new_attempt(calls=4)]
        self.now = 0.0
        self.offset = 0

    @property
    def alone(self) -> list[OpenRecord]:
        """The events that failed alone."""
        return [event for group in self.groups if group.charged_by.calls == 1 for event in group.events]

    @rule(
        kinds=st.lists(
            st.tuples(st.integers(0, PARTITIONS - 1), st.integers(1, 60), st.integers(1, 5)), min_size=1, max_size=4
        ),
        wait=st.integers(0, 5),
        charged_by=st.integers(0, 2),
    )
    def park(self, kinds: list[tuple[int, int, int]], wait: int, charged_by: int) -> None:
        events = []
        for partition, size, attempts in kinds:
            self.offset += 1
            events.append(new_event(self.ledgers[partition], self.offset, size=size, attempts=attempts))
        group = ModelGroup(events, self.now + wait, self.attempts[charged_by])
        self.groups.append(group)
        self.parked.park(events, group.due, group.charged_by)

    @rule(seconds=st.integers(0, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        due = sorted(
            (group for group in self.groups if group.events and group.due <= self.now), key=lambda one: one.due
        )
        assert [group.records for group in self.parked.take_due(self.now)] == [group.events for group in due]
        self.groups = [group for group in self.groups if group not in due]

    @rule(index=st.integers(0, 2))
    def refund(self, index: int) -> None:
        attempt = self.attempts[index]
        refunded = [group for group in self.groups if group.charged_by is attempt]
        taken = self.parked.take_refunded([attempt])
        assert {id(event) for group in taken for event in group.records} == {
            id(e) for group in refunded for e in group.events
        }
        self.groups = [group for group in self.groups if group not in refunded]

    @rule(index=st.integers(0, 2))
    def an_earlier_charge_is_taken_back(self, index: int) -> None:
        """Of an event that was charged again since, and is parked for that."""
        for event in self.alone[index::3]:
            for attempt in (event.charges or ())[:1]:
                assert isinstance(attempt, Attempt)
                attempt.is_refunded = True

    @rule()
    def give_up_overflow(self) -> None:
        before = self.alone
        given_up = self.parked.take_overflow()
        for event in given_up:
            kept = [
                other for other in before if other not in given_up and other.record.partition == event.record.partition
            ]
            assert event.attempts >= max((other.attempts for other in kept), default=0), "one tried more often is kept"
        for group in self.groups:
            group.events = [event for event in group.events if event not in given_up]
        for partition in range(PARTITIONS):
            held = [event for event in before if event.record.partition == partition]
            assert sum(event.record.partition == partition for event in self.alone) <= MAX_PER_PARTITION
            if len(held) <= MAX_PER_PARTITION and sum(event.kept_bytes for event in before) <= MAX_BYTES:
                assert not set(given_up).intersection(held), "given up without need"
        assert self.parked.bytes <= MAX_BYTES

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def assignment_ends(self, partition: int) -> None:
        self.ledgers[partition].fence()
        self.ledgers[partition] = new_ledger(partition)
        self.parked.drop_fenced()
        for group in self.groups:
            group.events = [event for event in group.events if not event.ledger.is_fenced]

    @invariant()
    def its_counts_are_those_of_the_list(self) -> None:
        events = [event for group in self.groups for event in group.events]
        assert len(self.parked) == len(self.alone)
        assert self.parked.bytes == sum(event.kept_bytes for event in self.alone)
        for partition in range(PARTITIONS):
            there = [event for event in events if event.record.partition == partition]
            assert self.parked.in_partition(TOPIC, partition) == len(there)
        assert self.parked.due_at == min((group.due for group in self.groups if group.events), default=None)


TestParked = ParkedMachine.TestCase
