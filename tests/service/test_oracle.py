"""The oracle must catch what it is there for: each planted fault is found, and a flawless run is not blamed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.core.model import DeadLetterReason, Filtered, FilterReason, Record
from streamer.core.records.account import Account
from tests.service.oracle import Evidence, Fate, faults

TOPIC = "surveys"

FATES: Sequence[Fate] = (
    "evt_0",
    "evt_1",
    "evt_1",
    Filtered(FilterReason.EVENT_DISABLED),
    DeadLetterReason.SCHEMA_INVALID,
    "evt_5",
)
"""Two calls, a duplicate, one record for nobody, one that is wrong, and a call that the destination refuses."""


def record(
    offset: int, *, value: bytes = b"{}", topic: str = TOPIC, headers: Sequence[tuple[str, bytes | None]] = ()
) -> Record:
    plain = SimpleNamespace(
        topic=topic, partition=0, offset=offset, timestamp=1_000 + offset, key=b"k", value=value, headers=headers
    )
    return cast("Record", plain)


def dead_letter(offset: int, reason: str, **changes: Any) -> Record:
    letter: Any = record(offset, topic=f"{TOPIC}.dlq")
    letter.headers = [
        ("streamer.reason", reason.encode()),
        ("__connect.errors.topic", TOPIC.encode()),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", str(offset).encode()),
        ("streamer.original_timestamp", str(changes.pop("original", letter.timestamp)).encode()),
    ]
    letter.__dict__.update(changes)
    return cast("Record", letter)


def account(**terms: Any) -> Account:
    account = Account()
    account.consumed, account.delivered, account.duplicate = 6, 2, 1
    account.filtered[FilterReason.EVENT_DISABLED] = 1
    account.dead_lettered[DeadLetterReason.SCHEMA_INVALID] = 1
    account.dead_lettered[DeadLetterReason.REJECTED_400] = 1
    for name, value in terms.items():
        setattr(account, name, value)
    return account


def evidence(**changes: Any) -> Evidence:
    """A flawless run, but for the changes."""
    flawless: dict[str, Any] = {
        "integration": "surveys",
        "records": [record(offset) for offset in range(len(FATES))],
        "fate_of": lambda read: FATES[read.offset],
        "taken": {"evt_0": 1, "evt_1": 1},
        "dead_letters": [dead_letter(4, "schema_invalid"), dead_letter(5, "rejected_400")],
        "committed": {(TOPIC, 0): 6},
        "accounts": [(account(), 0)],
    }
    return Evidence(**flawless | changes)


def test_a_flawless_run_has_no_faults() -> None:
    assert faults(evidence()) == []


LETTERS = [dead_letter(4, "schema_invalid"), dead_letter(5, "rejected_400")]


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"taken": {"evt_1": 1}}, "evt_0 was never received"),
        ({"taken": {"evt_0": 2, "evt_1": 1}}, "evt_0 was sent 2 times"),
        ({"taken": {"evt_0": 1, "evt_1": 1, "evt_9": 1}}, "evt_9 was sent and is in no record"),
        ({"taken": {"evt_0": 1, "evt_1": 1, "evt_5": 1}}, "evt_5 was both delivered and dead-lettered"),
        ({"swallowed": 1}, "1 calls were swallowed"),
        ({"dead_letters": LETTERS[1:]}, "it is none"),
        ({"dead_letters": LETTERS[:1]}, "evt_5 was never received"),
        ({"dead_letters": [*LETTERS, dead_letter(0, "schema_invalid")]}, "should be the call evt_0"),
        ({"dead_letters": [*LETTERS, dead_letter(3, "schema_invalid")]}, "should be filtered"),
        ({"dead_letters": [dead_letter(4, "decode_error"), LETTERS[1]]}, "should be a dead letter for schema_invalid"),
        ({"dead_letters": [*LETTERS, LETTERS[0]]}, "was dead-lettered 2 times"),
        ({"dead_letters": [*LETTERS, dead_letter(17, "rejected_400")]}, "where no record is"),
        ({"dead_letters": [dead_letter(4, "schema_invalid", value=b"{ }"), LETTERS[1]]}, "differs from the record"),
        ({"dead_letters": [dead_letter(4, "schema_invalid", key=None), LETTERS[1]]}, "differs from the record"),
        ({"dead_letters": [dead_letter(4, "schema_invalid", original=0), LETTERS[1]]}, "differs from the record"),
        ({"committed": {(TOPIC, 0): 5}}, "is committed to 5, and ends at 6"),
        ({"committed": {}}, "is committed to 0, and ends at 6"),
        ({"accounts": [(account(consumed=7), 0)]}, "out by 1"),
        ({"accounts": [(account(), 1)]}, "out by -1"),
        ({"accounts": [(account(delivered=3, duplicate=0), 0)]}, "say delivered 3, and it is 2"),
    ],
)
def test_a_planted_fault_is_found(planted: dict[str, Any], found: str) -> None:
    assert any(found in fault for fault in faults(evidence(**planted)))


@pytest.mark.parametrize("committed", [0, 1])
def test_before_the_end_only_what_is_committed_must_have_ended(committed: int) -> None:
    """Whatever is below a stored position is never read again: a kill at this moment must lose nothing."""
    run = evidence(taken={}, dead_letters=[], committed={(TOPIC, 0): committed}, accounts=[])

    assert any("LOST" in fault for fault in faults(run, is_over=False)) is (committed > 0)


def test_a_header_of_ours_on_a_record_says_nothing_of_its_value() -> None:
    """A producer can write any header; only in a dead letter it is ours that says that a value was null."""
    records = [record(offset, headers=[("streamer.value.null", b"1")]) for offset in range(len(FATES))]
    assert faults(evidence(records=records)) == []
    letters = [dead_letter(4, "schema_invalid", value=b""), LETTERS[1]]
    assert any("differs" in fault for fault in faults(evidence(records=records, dead_letters=letters)))


def test_what_a_test_allows_is_no_fault() -> None:
    assert faults(evidence(taken={"evt_0": 2, "evt_1": 2}), max_times=2) == []
    assert faults(evidence(accounts=[]), settled_once=False) == []
