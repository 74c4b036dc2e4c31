"""What is decided about a replay: its name, which offsets it takes, and whether its account adds up."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records import statement as statements
from streamer.core.records.account import Totals
from streamer.core.records.replay import group_of, name_of, passed, shortfall, size_of
from streamer.core.records.statement import Run
from tests.core.records.test_ledger import ledger_until, records

TEN, ELEVEN = 1_764_237_600.0, 1_764_241_200.0
DONE = Totals(consumed=10, delivered=5, duplicate=2, filtered=1, dead_lettered=2, handed_back=0, in_flight=0)


def test_the_same_command_has_the_same_name() -> None:
    assert name_of("sprig", TEN, ELEVEN) == "sprig.20251127T100000Z-20251127T110000Z"
    assert name_of("sprig", TEN + 0.25, ELEVEN, "staging") == "sprig.20251127T100000.250Z-20251127T110000Z.staging"
    assert group_of("sprig.1-2") == "streamer.replay.sprig.1-2"


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_other_milliseconds_have_other_names(one: float, other: float) -> None:
    is_same = round(one * 1000) == round(other * 1000)
    assert (name_of("a", one, ELEVEN) == name_of("a", other, ELEVEN)) == is_same


def test_what_the_integration_has_not_read_is_left_to_it() -> None:
    bounds = {("t", 0): (10, 20), ("t", 1): (10, 20), ("t", 2): (10, 20), ("t", 3): (10, 20)}
    stored = {("t", 0): (15, ""), ("t", 1): (99, ""), ("t", 2): (3, ""), ("t", 3): (None, "")}
    assert passed(bounds, stored) == {("t", 0): (10, 15), ("t", 1): (10, 20), ("t", 2): (10, 10), ("t", 3): (10, 10)}
    assert size_of(passed(bounds, stored)) == 15


def test_one_event_that_waits_keeps_the_position_but_not_what_comes_after_it() -> None:
    metadata = statements.encode(12, 18, [Run(12, 13, 3)], fingerprint=1_000)
    assert passed({("t", 0): (10, 20)}, {("t", 0): (12, metadata)}) == {("t", 0): (10, 18)}


def test_all_of_a_topic_is_taken_that_the_group_has_never_read() -> None:
    """Then nobody else delivers it; other topics of the integration are judged by their own positions."""
    bounds = {("old", 0): (10, 20), ("new", 0): (0, 5)}
    assert passed(bounds, {("old", 0): (12, ""), ("new", 0): (None, "")}) == {("old", 0): (10, 12), ("new", 0): (0, 5)}


def test_an_account_that_adds_up() -> None:
    assert shortfall(DONE, records=10, settled_before=0, lost=0) == ""
    assert shortfall(DONE, records=14, settled_before=4, lost=0) == ""
    assert shortfall(DONE, records=14, settled_before=None, lost=0) == "", "a killed run has settled some"
    assert shortfall(DONE, records=8, settled_before=0, lost=0) == "", "read again after a fault"


@pytest.mark.parametrize(
    ("account", "lost", "before", "word"),
    [
        (dataclasses.replace(DONE, delivered=4), 0, 0, "report this as a bug"),
        (dataclasses.replace(DONE, delivered=4, in_flight=1), 0, 0, "report this as a bug"),
        (DONE, 3, 0, "3 records were deleted"),
        (dataclasses.replace(DONE, consumed=9, delivered=4), 0, 0, "only 9 of 10 records"),
        (dataclasses.replace(DONE, consumed=7, delivered=2), 0, 2, "only 9 of 10 records"),
    ],
)
def test_what_does_not_add_up_is_said(account: Totals, lost: int, before: int, word: str) -> None:
    assert word in shortfall(account, records=10, settled_before=before, lost=lost)


@given(st.lists(st.integers(0, 60), min_size=1, unique=True).map(sorted), st.integers(0, 60))
def test_a_ledger_opens_nothing_from_its_end_on(offsets: list[int], until: int) -> None:
    ledger = ledger_until(until)
    wanted = ledger.within(records(*offsets))
    assert [record.offset for record in wanted] == [offset for offset in offsets if offset < until]
    if wanted:
        ledger.open(wanted, value_bytes=0)
    ledger.advance(100)
    assert ledger.next_offset == max(until, 0)
    assert ledger.is_read
    assert not ledger.is_over, "nothing is stored yet"
    ledger.committed = ledger.position
    assert ledger.is_over == (not wanted)
