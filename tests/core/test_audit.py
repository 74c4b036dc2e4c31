"""The audit from outside, against a model too simple to be wrong: it knows how each record ended."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.audit import Auditor, Doubt, End, Evidence, Fate, Knowledge, Oldest, Stored, complete_since
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records import statement
from streamer.core.records.statement import Run

TOPIC, PARTITION = "surveys", 3
NOW = 2_000.0


class Past(NamedTuple):
    """One record of the model, and how it ended."""

    end: End
    number: int
    """Of its messageId."""
    has_proof: bool
    time: float
    attempts: int

    @property
    def fate(self) -> Fate:
        if self.end is End.FILTERED:
            return FilterReason.NO_IDENTITY
        if self.end is End.DEAD_LETTERED and self.number % 2:
            return DeadLetterReason.SCHEMA_INVALID
        return digest(self.number)


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


ENDS = (End.DELIVERED, End.DUPLICATE, End.FILTERED, End.DEAD_LETTERED, End.OPEN)
HISTORIES = st.lists(
    st.builds(
        Past,
        end=st.sampled_from(ENDS),
        number=st.integers(1, 6),
        has_proof=st.booleans(),
        time=st.floats(0, NOW),
        attempts=st.integers(0, 3),
    ),
    max_size=30,
)


def stored(history: Sequence[Past], read: int) -> Stored:
    """What streamer would have committed after it had read so many records, by way of the text that it stores."""
    still_open = [offset for offset, past in enumerate(history[:read]) if past.end is End.OPEN]
    position = still_open[0] if still_open else read
    runs = [Run(offset, offset + 1, history[offset].attempts) for offset in still_open]
    text = statement.encode(position, read, runs, fingerprint=7)
    return Stored(position, statement.decode(text, position))


@given(HISTORIES, st.integers(0, 30), st.floats(0, NOW), st.floats(0, NOW))
def test_every_record_ends_as_it_did_and_one_without_proof_is_named(
    history: list[Past], read: int, receipts_since: float, letters_since: float
) -> None:
    read = min(read, len(history))
    evidence = Evidence()
    for offset, past in enumerate(history[:read]):
        if past.end is End.DEAD_LETTERED and past.has_proof:
            evidence.add_letter((TOPIC, PARTITION, offset))
        if past.end is End.DELIVERED and past.has_proof:
            evidence.add_receipts((TOPIC, PARTITION), [offset], [digest(past.number)])
    receipts = {past.number for past in history[:read] if past.end is End.DELIVERED and past.has_proof}
    auditor = Auditor({(TOPIC, PARTITION): stored(history, read)}, evidence)
    known = Knowledge(receipts_since=receipts_since, letters_since=letters_since)

    for offset, past in enumerate(history):
        place = (TOPIC, PARTITION, offset)
        found = auditor.judge(place, past.fate)
        is_call = isinstance(past.fate, bytes)
        if offset >= read:
            assert found is End.WAITING
        elif past.end is End.OPEN:
            # Open up to the horizon is what everybody assumes about records above it, so it is not stated.
            assert found in {End.OPEN, End.WAITING}
        elif past.end is End.FILTERED:
            assert found is End.FILTERED
        elif past.has_proof and past.end in {End.DEAD_LETTERED, End.DELIVERED}:
            assert found is past.end
        elif is_call and past.number in receipts:
            assert found is End.DUPLICATE
        else:
            assert found is None
            expected = past.time < letters_since or (is_call and past.time < receipts_since)
            assert (auditor.doubt(place, past.time, past.fate, known) is not None) == expected


@given(HISTORIES, st.integers(0, 30), st.integers(0, 40))
def test_what_retention_deleted_unread_is_named_exactly(history: list[Past], read: int, log_start: int) -> None:
    read = min(read, len(history))
    unsettled = [offset for offset in range(log_start) if offset >= read or history[offset].end is End.OPEN]
    deleted = stored(history, read).deleted_unread(log_start)
    assert sorted(offset for span in deleted for offset in span) == unsettled


def test_a_group_that_has_stored_nothing_has_everything_before_it() -> None:
    auditor = Auditor({}, Evidence())
    assert auditor.judge((TOPIC, PARTITION, 0), digest(1)) is End.WAITING
    assert Stored(None).deleted_unread(9) == []


def test_foreign_metadata_says_nothing_above_the_position() -> None:
    """An operator has reset the position: what lies above it is wanted again."""
    auditor = Auditor({(TOPIC, PARTITION): Stored(5)}, Evidence())
    assert auditor.judge((TOPIC, PARTITION, 5), FilterReason.TOMBSTONE) is End.WAITING
    assert auditor.judge((TOPIC, PARTITION, 4), FilterReason.TOMBSTONE) is End.FILTERED


def test_records_from_before_the_group_began_are_no_loss() -> None:
    """With ``start: latest`` the position is behind records that nobody was to read."""
    evidence = Evidence()
    evidence.add_receipts((TOPIC, PARTITION), [10], [digest(1)])
    auditor = Auditor({(TOPIC, PARTITION): Stored(20)}, evidence)
    latest = Knowledge(receipts_since=0.0, starts_at=math.inf)
    assert auditor.doubt((TOPIC, PARTITION, 9), NOW, digest(2), latest) is Doubt.BEFORE_START
    assert auditor.doubt((TOPIC, PARTITION, 11), NOW, digest(2), latest) is None
    assert auditor.doubt((TOPIC, PARTITION, 9), NOW, digest(2), Knowledge(receipts_since=0.0)) is None


@pytest.mark.parametrize(
    ("oldest", "from_first", "expected"),
    [
        ([], True, math.inf),
        ([], False, -math.inf),
        ([Oldest(0, 5.0), Oldest(0, 9.0)], True, 5.0),
        ([Oldest(0, 5.0), Oldest(3, 9.0)], True, 9.0),
        ([Oldest(0, 5.0), Oldest(3, math.inf)], True, math.inf),
        ([Oldest(0, 5.0), Oldest(0, math.inf)], True, 5.0),
        ([Oldest(0, 5.0)], False, -math.inf),
        ([Oldest(0, 5.0), Oldest(3, 9.0)], False, 9.0),
    ],
)
def test_proofs_are_complete_since_the_last_one_was_deleted(
    oldest: list[Oldest], *, from_first: bool, expected: float
) -> None:
    assert complete_since(oldest, from_first=from_first) == expected
