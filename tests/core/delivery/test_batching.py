import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamer.core.delivery.batching import Batch, Batcher

ENVELOPE = 50
MAX_BYTES = 1_000
MAX_CALLS = 10
LINGER = 0.1
_numbers = itertools.count()


@dataclass(eq=False)
class Item:
    """A call of ``size`` bytes."""

    size: int
    number: int = field(default_factory=lambda: next(_numbers))


@pytest.fixture
def batcher() -> Batcher[Item]:
    return Batcher(max_bytes=MAX_BYTES, max_calls=MAX_CALLS, linger_seconds=LINGER, envelope_bytes=ENVELOPE)


ANY: Final[tuple[float, Callable[[Item], bool]]] = (0.0, lambda _: True)
"""Asks for the oldest item, whichever it is."""


def items(count: int, size: int = 9) -> list[Item]:
    return [Item(size) for _ in range(count)]


def take_all(batcher: Batcher[Item], now: float = 0.0, max_bytes: int = MAX_BYTES) -> list[list[Item]]:
    taken = iter(lambda: batcher.take(now, max_bytes=max_bytes, force=True), None)
    return [batch.items for batch in taken]


def test_nothing_waits_in_a_new_batcher(batcher: Batcher[Item]) -> None:
    assert batcher.take(0.0, max_bytes=MAX_BYTES, force=True) is None
    assert batcher.take_one(*ANY) is None
    assert batcher.due_at() is None
    assert len(batcher) == batcher.bytes == 0


def test_a_batch_is_due_when_its_oldest_call_has_waited(batcher: Batcher[Item]) -> None:
    first, second = items(2)
    batcher.add(first, 5.0)
    batcher.add(second, 5.09)
    assert batcher.due_at() == 5.0 + LINGER
    assert batcher.take(5.0999, max_bytes=MAX_BYTES) is None
    assert batcher.take(5.0 + LINGER, max_bytes=MAX_BYTES) == Batch([first, second], ENVELOPE + 2 * 10)
    assert batcher.due_at() is None


def test_without_linger_a_call_is_due_at_once() -> None:
    batcher = Batcher[Item](max_bytes=MAX_BYTES, max_calls=MAX_CALLS, linger_seconds=0, envelope_bytes=ENVELOPE)
    batcher.add(Item(9), 5.0)
    assert batcher.take(5.0, max_bytes=MAX_BYTES) is not None


def test_a_batch_full_by_count_is_due_at_once(batcher: Batcher[Item]) -> None:
    waiting = items(MAX_CALLS + 1)
    batcher.extend(waiting, 5.0)
    assert batcher.due_at() == 5.0
    batch = batcher.take(5.0, max_bytes=MAX_BYTES)
    assert batch is not None
    assert batch.items == waiting[:-1]
    assert batcher.take(5.0, max_bytes=MAX_BYTES) is None, "the eleventh waits for company"
    assert batcher.due_at() == 5.0 + LINGER


def test_a_batch_full_by_bytes_is_due_at_once(batcher: Batcher[Item]) -> None:
    """With the envelope and a comma each, 4 calls of 199 bytes are 850 bytes, and a fifth would be over 1,000."""
    batcher.extend(items(4, 199), 5.0)
    assert batcher.take(5.0, max_bytes=MAX_BYTES) is None
    batcher.add(Item(199), 5.0)
    batch = batcher.take(5.0, max_bytes=MAX_BYTES)
    assert batch is not None
    assert (len(batch.items), batch.bytes) == (4, 850)


def test_a_call_above_the_limit_travels_alone(batcher: Batcher[Item]) -> None:
    """The limit may have been learned from a 413; the destination has the last word on a single call."""
    small, large, next_small = Item(9), Item(5_000), Item(9)
    batcher.extend([small, large, next_small], 0.0)
    assert take_all(batcher) == [[small], [large], [next_small]]


def test_the_rest_of_a_taken_batch_waits_from_the_last_arrival(batcher: Batcher[Item]) -> None:
    batcher.extend(items(8), 5.0)
    batcher.extend(items(4), 5.05)
    assert batcher.take(5.06, max_bytes=MAX_BYTES) is not None
    assert batcher.due_at() == 5.05 + LINGER


def test_a_learned_limit_makes_smaller_batches(batcher: Batcher[Item]) -> None:
    batcher.extend(items(9, 99), 0.0)
    assert [len(batch) for batch in take_all(batcher, max_bytes=500)] == [4, 4, 1]


def test_the_configured_limit_holds_when_the_learned_one_is_larger(batcher: Batcher[Item]) -> None:
    batcher.extend(items(10, 99), 0.0)
    assert [len(batch) for batch in take_all(batcher, max_bytes=100_000)] == [9, 1]


def test_what_was_put_back_goes_first_and_at_once_and_together(batcher: Batcher[Item]) -> None:
    """A retry never travels in a larger batch than it failed in."""
    fresh, failed, failed_before = items(2), items(3), items(2)
    batcher.extend(fresh, 5.0)
    batcher.put_back(failed_before)
    batcher.put_back(failed)
    due_at = batcher.due_at()
    assert due_at is not None
    assert due_at <= 5.0
    assert [batch.items if (batch := batcher.take(5.0, max_bytes=MAX_BYTES)) else None for _ in range(3)] == [
        failed,
        failed_before,
        None,
    ]
    assert batcher.drain() == fresh


def test_what_was_put_back_is_divided_by_a_limit_that_has_fallen(batcher: Batcher[Item]) -> None:
    failed = items(9, 99)
    batcher.put_back(failed)
    assert take_all(batcher, max_bytes=600) == [failed[:5], failed[5:]]


def test_a_probe_that_failed_lets_all_others_go_before_it(batcher: Batcher[Item]) -> None:
    """Each probe carries a different event, so that no single event keeps a destination closed."""
    returned, fresh = items(2), items(2)
    batcher.extend(fresh, 0.0)
    batcher.put_back(returned)
    probed = []
    for _ in range(5):
        item = batcher.take_one(*ANY)
        assert item is not None
        probed.append(item)
        batcher.put_back([item], was_probe=True)
    assert probed == [*fresh, *returned, fresh[0]]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 5), (0.99, 9), (1.0, 9)])
def test_a_probe_is_taken_from_any_place_of_the_queue(batcher: Batcher[Item], share: float, expected: int) -> None:
    batcher.extend(fresh := items(10), 0.0)
    assert batcher.take_one(share, lambda _: True) is fresh[expected]
    assert list(batcher) == [item for item in fresh if item is not fresh[expected]]


def test_a_probe_is_the_nearest_call_that_suits(batcher: Batcher[Item]) -> None:
    batcher.put_back(returned := items(3))
    batcher.extend(fresh := items(10), 0.0)
    wanted = {fresh[2], fresh[9], returned[1]}
    probes = [batcher.take_one(0.5, wanted.__contains__) for _ in range(4)]
    assert probes == [fresh[2], fresh[9], returned[1], None]


def test_after_the_probes_batches_have_every_call_again(batcher: Batcher[Item]) -> None:
    batcher.extend(fresh := items(3), 0.0)
    probe = batcher.take_one(1.0, lambda _: True)
    assert probe is not None
    batcher.put_back([probe], was_probe=True)
    assert take_all(batcher) == [fresh]


def test_a_probe_that_was_put_back_does_not_linger_again(batcher: Batcher[Item]) -> None:
    item = Item(9)
    batcher.add(item, 5.0)
    assert batcher.take_one(*ANY) is item
    batcher.put_back([item], was_probe=True)
    assert batcher.due_at() == 5.0 + LINGER


def test_items_of_partitions_that_left_are_taken_out(batcher: Batcher[Item]) -> None:
    batcher.extend(fresh := items(6), 0.0)
    groups = [items(2) for _ in range(3)]
    for group in groups:
        batcher.put_back(group)
    gone = set(groups[1] + groups[0][:1] + fresh[::2])
    assert set(batcher.discard(gone.__contains__)) == gone
    assert take_all(batcher) == [groups[2], groups[0][1:], fresh[1::2]]
    assert batcher.bytes == 0


class BatcherMachine(RuleBasedStateMachine):
    """Against a plain set of what is inside: nothing is lost, doubled or miscounted, and no batch is over a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher[Item](max_bytes=400, max_calls=5, linger_seconds=LINGER, envelope_bytes=ENVELOPE)
        self.inside: set[Item] = set()
        self.taken: list[list[Item]] = []
        self.now = 0.0

    @rule(sizes=st.lists(st.integers(1, 500), max_size=8), one_by_one=st.booleans())
    def arrive(self, sizes: list[int], one_by_one: bool) -> None:
        arriving = [Item(size) for size in sizes]
        self.inside |= set(arriving)
        if one_by_one:
            for item in arriving:
                self.batcher.add(item, self.now)
        else:
            self.batcher.extend(arriving, self.now)

    @rule(seconds=st.floats(0, 0.2))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(learned=st.integers(60, 600), force=st.booleans())
    def take(self, learned: int, force: bool) -> None:
        due_at = self.batcher.due_at()
        batch = self.batcher.take(self.now, max_bytes=learned, force=force)
        if batch is None:
            assert due_at is None or (due_at > self.now and not force)
            return
        assert 1 <= len(batch.items) <= 5
        assert batch.bytes == ENVELOPE + sum(item.size + 1 for item in batch.items)
        assert batch.bytes <= min(learned, 400) or len(batch.items) == 1
        self.remove(batch.items)
        self.taken.append(batch.items)

    @rule(share=st.floats(0, 1))
    def take_one(self, share: float) -> None:
        item = self.batcher.take_one(share, lambda _: True)
        assert (item is None) == (not self.inside)
        if item is not None:
            self.remove([item])
            self.taken.append([item])

    @rule(was_probe=st.booleans())
    def put_back(self, was_probe: bool) -> None:
        returning = self.taken.pop(0) if self.taken else []
        self.batcher.put_back(returning, was_probe=was_probe)
        self.inside |= set(returning)

    @rule(divisor=st.integers(2, 4))
    def discard(self, divisor: int) -> None:
        self.remove(self.batcher.discard(lambda item: item.number % divisor == 0))
        assert not any(item.number % divisor == 0 for item in self.inside)

    @rule()
    def drain(self) -> None:
        self.remove(self.batcher.drain())
        assert not self.inside

    def remove(self, leaving: list[Item]) -> None:
        assert len(set(leaving)) == len(leaving)
        assert set(leaving) <= self.inside
        self.inside -= set(leaving)

    @invariant()
    def counts_are_right(self) -> None:
        assert len(self.batcher) == len(self.inside)
        assert self.batcher.bytes == sum(item.size + 1 for item in self.inside)
        assert (self.batcher.due_at() is None) == (not self.inside)


TestBatcher = BatcherMachine.TestCase
