"""When a topic counts as one that has nothing to deliver."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.model import FilterReason
from streamer.core.records.account import Account
from streamer.core.records.filtered_out import MIN_FILTERED, FilteredOut


class Topics:
    """Accounts of one topic and of those beside it."""

    def __init__(self) -> None:
        self.accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.watch = FilteredOut()

    def filter(
        self,
        records: int,
        reason: FilterReason = FilterReason.NOT_IN_STREAM,
        *,
        topic: str = "surveys",
        partition: int = 0,
    ) -> None:
        account = self.accounts[topic, partition]
        account.consumed += records
        account.filtered[reason] += records

    def deliver(self, records: int, *, topic: str = "surveys", partition: int = 0) -> None:
        account = self.accounts[topic, partition]
        account.consumed += records
        account.delivered += records

    def look(self) -> set[str]:
        return self.watch.look(self.accounts)


def test_a_topic_whose_records_are_suddenly_all_filtered_is_told_of_once() -> None:
    topics = Topics()
    topics.deliver(10_000)
    topics.look()
    topics.filter(MIN_FILTERED - 1)
    assert topics.look() == set()
    topics.filter(1, partition=3)
    assert topics.look() == {"surveys"}
    assert topics.watch.topics == {"surveys": MIN_FILTERED}
    topics.filter(5)
    assert topics.look() == set()


def test_one_from_which_nothing_else_ever_came_is_told_of() -> None:
    topics = Topics()
    topics.filter(MIN_FILTERED)
    topics.deliver(1, topic="others")
    assert topics.look() == {"surveys"}


def test_it_ends_with_the_first_record_that_is_not_filtered() -> None:
    """Delivered or not: a destination that is away filters nothing."""
    topics = Topics()
    topics.filter(MIN_FILTERED)
    topics.look()
    topics.accounts["surveys", 1].consumed += 1
    assert topics.look() == {"surveys"}
    assert topics.watch.topics == {}
    topics.filter(MIN_FILTERED - 1)
    assert topics.look() == set()


def test_other_rules_neither_begin_nor_end_it() -> None:
    topics = Topics()
    topics.filter(10 * MIN_FILTERED, FilterReason.TEST_EVENT)
    assert topics.look() == set()
    topics.filter(MIN_FILTERED)
    topics.filter(3, FilterReason.TOMBSTONE)
    assert topics.look() == {"surveys"}


@given(st.lists(st.tuples(st.sampled_from("fdl"), st.integers(1, 150)), max_size=60))
def test_it_never_tells_of_a_topic_of_which_something_else_came_since(steps: list[tuple[str, int]]) -> None:
    topics = Topics()
    in_sequence = 0
    for step, records in steps:
        if step == "f":
            topics.filter(records)
            in_sequence += records
        elif step == "d":
            topics.deliver(records)
            in_sequence = 0
        else:
            topics.look()
            assert not topics.watch.topics or in_sequence >= MIN_FILTERED
