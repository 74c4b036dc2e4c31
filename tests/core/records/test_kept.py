"""Records that share no outcome with others: kept, and ended one by one."""

from collections.abc import Callable
from typing import Final

import pytest

from streamer.core.inbound.call import IgnoredReason
from streamer.core.model import DeadLetterReason, Outcome, Stage
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.pending_letter import PendingLetter
from tests.core.records.test_custody import FakeRecord

RECORDS: Final = [FakeRecord(0, offset, value=b"12" if offset else None) for offset in range(4)]


@pytest.fixture
def room() -> list[str]:
    return []


@pytest.fixture
def custody(room: list[str]) -> Custody:
    return Custody(max_records=4, max_bytes=100, on_room=lambda: room.append("room"))


@pytest.fixture
def ledger(custody: Custody) -> PartitionLedger:
    ledger = PartitionLedger("t", 0, 0, Account())
    custody.keep(custody.open(RECORDS, ledger), ledger)
    return ledger


def letter_for(record: FakeRecord, ledger: PartitionLedger) -> PendingLetter:
    return PendingLetter(
        record=record,
        ledger=ledger,
        reason=DeadLetterReason.UNAUTHENTICATED,
        stage=Stage.APPLY,
        detail="",
        error_class="Rejected",
    )


def test_each_outcome_ends_one_record_and_the_account_adds_up(
    custody: Custody, ledger: PartitionLedger, room: list[str]
) -> None:
    assert (custody.load.records, custody.load.bytes, custody.load.is_full) == (4, 6, True)
    assert custody.end(RECORDS[1], ledger, Outcome.DUPLICATE)
    assert custody.end(RECORDS[0], ledger, Outcome.DELIVERED)
    assert custody.end(RECORDS[3], ledger, Outcome.FILTERED, IgnoredReason.STALE)
    assert ledger.position == 2
    assert custody.dead_letter(letter_for(RECORDS[2], ledger)) == []
    account = ledger.account
    assert (account.delivered, account.duplicate, dict(account.filtered)) == (1, 1, {IgnoredReason.STALE: 1})
    assert dict(account.dead_lettered) == {DeadLetterReason.UNAUTHENTICATED: 1}
    assert account.unaccounted(ledger.open_records) == 0
    assert (ledger.position, custody.load.records, custody.load.bytes, room) == (4, 0, 0, ["room"])


@pytest.mark.parametrize(
    "end",
    [
        lambda custody, ledger: custody.end(RECORDS[0], ledger, Outcome.DELIVERED),
        lambda custody, ledger: custody.dead_letter(letter_for(RECORDS[0], ledger)),
    ],
)
def test_what_was_handed_back_does_not_end(
    custody: Custody, ledger: PartitionLedger, end: Callable[[Custody, PartitionLedger], object]
) -> None:
    assert custody.fence(ledger) == 4
    assert not end(custody, ledger)
    assert (ledger.account.handed_back, ledger.account.settled, custody.load.records) == (4, 0, 0)
