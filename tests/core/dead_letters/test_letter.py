"""How dead letters are made: always, whatever the record and the error are."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.core.dead_letters.dead_letter import read_dead_letter
from streamer.core.dead_letters.letter import (
    COMPLETE,
    MAX_DETAIL_BYTES,
    Composer,
    Form,
    Headers,
    Refusal,
    next_form,
)
from streamer.core.dead_letters.redrive import OutgoingRecord, redriven_record
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter
from tests.doubles.kafka import MemoryRecord

NOW = 1_770_000_000.0
COMPOSER = Composer(integration="surveys", destination="segment", instance=1, mapping_version="1")
LEDGER = PartitionLedger("surveys", 4, 0, Account())

Sent = tuple[str, bytes | None]

any_character = st.characters(exclude_categories=())
"""With lone surrogates, as a tolerant reader may give them."""
any_name = st.one_of(
    st.sampled_from(["trace", "streamer.redrives", "streamer.original_timestamp", "__connect.errors.topic"]),
    st.text(any_character, max_size=20),
)
any_text = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.sampled_from([b"9" * 4_301, b"9" * 4_300, "²".encode(), b"-1", b"1_0", b" 7", b"\xff", b""]),
)
any_record = st.builds(
    MemoryRecord,
    topic=st.just("surveys"),
    partition=st.integers(0, (1 << 31) - 1),
    offset=st.integers(0, (1 << 63) - 1),
    timestamp=st.integers(-(1 << 63), (1 << 63) - 1),
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(any_name, any_text), max_size=5),
)
any_form = st.builds(
    Form,
    headers=st.sampled_from(Headers),
    has_value=st.booleans(),
    needs_key=st.booleans(),
    has_own_time=st.booleans(),
)


def record(
    key: bytes | None = b"visitor",
    value: bytes | None = b"{}",
    headers: Sequence[Sent] = (("trace", b"1"),),
    timestamp: int = 1_600_000_000_000,
) -> MemoryRecord:
    return MemoryRecord("surveys", 4, 99, timestamp, key, value, headers)


def letter(of: MemoryRecord, detail: str = "refused", first_failed_at: float | None = None) -> PendingLetter:
    opened = None
    if first_failed_at is not None:
        opened = OpenRecord(of, LEDGER, "id\ud800", b"")
        opened.first_failed_at = first_failed_at
    return PendingLetter(
        record=of,
        ledger=LEDGER,
        reason=DeadLetterReason.INTERNAL_ERROR,
        stage=Stage.MAP,
        detail=detail,
        error_class="ValueError",
        opened=opened,
    )


def read_back(written: OutgoingRecord) -> MemoryRecord:
    """What a consumer of the dead-letter topic gets."""
    timestamp = written.timestamp if written.timestamp >= 0 else int(NOW * 1000)
    return MemoryRecord("surveys.dlq", 0, 7, timestamp, written.key, written.value, written.headers)


@given(
    of=any_record,
    form=any_form,
    detail=st.text(any_character),
    now=st.floats(),
    first_failed_at=st.none() | st.floats(),
)
@example(of=record(headers=[("na\udcffme", b"")]), form=COMPLETE, detail="\ud800", now=NOW, first_failed_at=NOW)
@example(
    of=record(headers=[("streamer.redrives", b"9" * 4_301)]), form=COMPLETE, detail="", now=NOW, first_failed_at=None
)
@example(
    of=record(headers=[("streamer.redrives", b"9" * 4_300)]), form=COMPLETE, detail="", now=NOW, first_failed_at=None
)
def test_any_record_and_any_error_make_a_letter_that_can_be_redriven(
    of: MemoryRecord, form: Form, detail: str, now: float, first_failed_at: float | None
) -> None:
    """A letter that cannot be made would end the pipeline each time its record is read: for ever."""
    written = COMPOSER.compose(letter(of, detail, first_failed_at), form, now=now)

    for name, value in written.headers:  # what the client takes
        name.encode()
        assert value is None or isinstance(value, bytes)
    found = read_dead_letter(read_back(written))
    assert found is not None
    redriven = redriven_record(read_back(written), found)
    assert (redriven.topic, redriven.partition, redriven.timestamp) == (of.topic, of.partition, of.timestamp)
    if form.has_value:
        assert redriven.key == of.key
        assert redriven.value == of.value or found.is_tombstone


def test_a_letter_has_the_time_of_dead_lettering_and_the_record_gets_its_own_back() -> None:
    """Retention counts from the time of a record: an old one would be deleted at once."""
    written = COMPOSER.compose(letter(record()), COMPLETE, now=NOW)

    assert written.timestamp == -1, "the time of writing"
    assert dict(written.headers)["streamer.original_timestamp"] == b"1600000000000"
    found = read_dead_letter(read_back(written))
    assert found is not None
    assert redriven_record(read_back(written), found).timestamp == 1_600_000_000_000


@pytest.mark.parametrize("claim", [b"9" * 4_301, "²".encode(), b"-3", b"1_0", b"many", b"\xff", b"", None])
def test_a_count_of_redrives_that_is_not_ours_counts_as_none(claim: bytes | None) -> None:
    written = COMPOSER.compose(letter(record(headers=[("streamer.redrives", claim)])), COMPLETE, now=NOW)
    assert dict(written.headers)["streamer.redrives"] == b"0"


def test_a_count_of_redrives_is_kept() -> None:
    written = COMPOSER.compose(letter(record(headers=[("streamer.redrives", b"2")])), COMPLETE, now=NOW)
    assert [value for name, value in written.headers if name == "streamer.redrives"] == [b"2"]


def test_a_long_error_text_is_cut_at_a_character() -> None:
    written = COMPOSER.compose(letter(record(), "ä" * MAX_DETAIL_BYTES), COMPLETE, now=NOW)
    assert dict(written.headers)["__connect.errors.exception.message"] == ("ä" * (MAX_DETAIL_BYTES // 2)).encode()


def forms(refusal: Refusal, *, has_key: bool = True) -> list[Form]:
    """The forms that are tried while each is refused for the same reason."""
    tried = [COMPLETE]
    while (form := next_form(tried[-1], refusal, has_key=has_key)) is not None:
        tried.append(form)
    return tried


def test_how_a_call_arrived_is_kept() -> None:
    arrival: list[Sent] = [("streamer.webhook", b"production"), ("streamer.received", b"2026-06-01T08:00:00.000Z")]
    written = COMPOSER.compose(letter(record(headers=arrival)), COMPLETE, now=NOW)
    assert list(written.headers[:2]) == arrival


def test_one_that_is_too_large_loses_headers_before_its_value() -> None:
    assert forms(Refusal.TOO_LARGE) == [
        Form(),
        Form(headers=Headers.REQUIRED),
        Form(headers=Headers.OURS),
        Form(headers=Headers.OURS, has_value=False, needs_key=True),
    ]


def test_one_without_a_key_gets_one_before_anything_is_left_out() -> None:
    assert forms(Refusal.UNCLEAR, has_key=False) == [Form(), Form(needs_key=True)]
    assert forms(Refusal.RULE, has_key=False)[1] == Form(needs_key=True)


def test_an_unclear_answer_costs_no_value() -> None:
    """It may come from a broker in trouble."""
    assert forms(Refusal.UNCLEAR) == [Form()]


def test_one_whose_time_is_refused_gets_the_time_of_its_record() -> None:
    """That time was accepted once, in the source topic; the clock of this machine may be wrong."""
    assert forms(Refusal.TIME) == [Form(), Form(has_own_time=True)]
    assert COMPOSER.compose(letter(record()), Form(has_own_time=True), now=NOW).timestamp == 1_600_000_000_000


@given(any_form, st.lists(st.sampled_from(Refusal)), st.booleans())
def test_the_forms_come_to_an_end(form: Form, refusals: list[Refusal], has_key: bool) -> None:
    tried = [form]
    for refusal in refusals:
        following = next_form(tried[-1], refusal, has_key=has_key)
        if following is None:
            break
        assert following not in tried
        tried.append(following)
    assert len(tried) <= 7


def test_without_its_value_a_letter_still_says_where_its_record_is() -> None:
    form = Form(headers=Headers.OURS, has_value=False, needs_key=True)
    written = COMPOSER.compose(letter(record(value=b"x" * 1_000, key=b"y" * 1_000)), form, now=NOW)
    assert (written.key, written.value) == (b"surveys-4-99", b"")
    headers = dict(written.headers)
    assert (headers["__connect.errors.topic"], headers["__connect.errors.offset"]) == (b"surveys", b"99")
    assert headers["streamer.value.omitted"] == b"1"
    assert "trace" not in headers


def test_a_dead_letter_says_which_one_its_record_was_redriven_from() -> None:
    """So that the story of a dead letter that comes back can be followed; a redrive names it anew."""
    again = record(headers=[("trace", b"1"), ("streamer.redriven.from", b"surveys.dlq-0-3")])
    written = COMPOSER.compose(letter(again), COMPLETE, now=NOW)
    found = read_dead_letter(read_back(written))
    assert found is not None
    assert found.redriven_from == "surveys.dlq-0-3"
    back = redriven_record(read_back(written), found)
    assert [text for name, text in back.headers if name == "streamer.redriven.from"] == [b"surveys.dlq-0-7"]
    first = read_dead_letter(read_back(COMPOSER.compose(letter(record()), COMPLETE, now=NOW)))
    assert first is not None
    assert first.redriven_from is None
