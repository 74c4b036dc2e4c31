"""Receipts that wait for their topic: in their order, bounded, and what is given up is known to be missing."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.records.receipt_record import Gap
from streamer.core.records.unshared import Noted, Unshared

MAX_RECEIPTS: Final = 20


def noted(number: int, receipts: int = 1, integration: str = "surveys") -> Noted:
    """The entry with this number; its time is its number."""
    return Noted(
        integration, "production", "4fa2", "surveys", 0, float(number), 1, 1, 200, 0, range(receipts), [b""] * receipts
    )


class UnsharedMachine(RuleBasedStateMachine):
    """Against a list: nothing is forgotten, doubled or out of order, but for the oldest when there are too many."""

    def __init__(self) -> None:
        super().__init__()
        self.unshared = Unshared(MAX_RECEIPTS)
        self.waiting: list[Noted] = []
        self.in_hand: list[Noted] = []
        self.number = 0
        self.gone = 0
        self.missing = 0

    def receipts(self) -> int:
        return sum(len(one.offsets) for one in (*self.in_hand, *self.waiting))

    @rule(receipts=st.integers(1, MAX_RECEIPTS + 5))
    def a_batch_is_delivered(self, receipts: int) -> None:
        one = noted(self.number, receipts)
        self.number += 1
        self.unshared.note(one)
        self.waiting.append(one)
        while self.receipts() > MAX_RECEIPTS and self.waiting:
            self.missing += len(self.waiting.pop(0).offsets)
            self.gone += 1

    @precondition(lambda self: not self.in_hand)
    @rule(most=st.integers(1, MAX_RECEIPTS))
    def some_are_taken(self, most: int) -> None:
        self.in_hand = list(self.unshared.take(most))
        assert self.in_hand == self.waiting[: len(self.in_hand)]
        assert bool(self.in_hand) is bool(self.waiting)
        assert len(self.in_hand) <= 1 or sum(len(one.offsets) for one in self.in_hand) <= most
        del self.waiting[: len(self.in_hand)]

    @rule()
    def they_are_written(self) -> None:
        self.gone += len(self.in_hand)
        self.unshared.written()
        self.in_hand = []

    @rule()
    def they_are_not_written(self) -> None:
        self.unshared.put_back()
        self.waiting = self.in_hand + self.waiting
        self.in_hand = []

    @invariant()
    def all_is_accounted_for(self) -> None:
        assert (self.unshared.noted, self.unshared.gone) == (self.number, self.gone)
        assert self.unshared.receipts == self.receipts()
        assert self.unshared.given_up.total() == self.missing
        assert sum(gap.receipts for gap in self.unshared.gaps.values()) == self.missing


TestUnshared = UnsharedMachine.TestCase


def test_what_is_missing_is_known_by_partition_and_time_until_the_topic_says_so() -> None:
    unshared = Unshared(2)
    for number in range(4):
        unshared.note(noted(number))
    [gap] = unshared.gaps.values()
    assert gap == Gap(integration="surveys", topic="surveys", partition=0, since=0.0, until=1.0, receipts=2)

    unshared.note(noted(4))
    unshared.said([gap])
    [more] = unshared.gaps.values()
    assert (more.until, more.receipts) == (2.0, 3), "one came to it meanwhile, so the topic does not say all"

    unshared.said([more])
    assert not unshared.gaps


def test_at_the_end_all_that_waits_is_given_up() -> None:
    unshared = Unshared()
    for number in range(3):
        unshared.note(noted(number, receipts=2))
    unshared.take(2)

    assert unshared.give_up_all() == 6
    assert (unshared.receipts, unshared.given_up) == (0, {"surveys": 6})
