"""What dead letters say of themselves, which are chosen, and as what they go back."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.dead_letter import DeadLetter, Selection, read_dead_letter
from streamer.core.dead_letters.detail import pattern_of
from streamer.core.dead_letters.redrive import Kind, Plan, Skip, kind_of, redriven_record
from streamer.core.dead_letters.redrive_note import note_header, read_note
from streamer.core.dead_letters.stock import Group, Stock
from streamer.core.records.own_headers import OWN_HEADERS
from tests.core.dead_letters.letters import SET_ASIDE_AT, StoredRecord, dead_letter, note


def stock(*records: StoredRecord, selection: Selection | None = None) -> Stock[Kind]:
    taken = Stock(selection or Selection(), kind_of)
    for record in records:
        taken.take(record)
    return taken


def plan(*records: StoredRecord, max_redrives: int = 3, again: bool = False) -> Plan:
    """A plan where the integration reads the topic ``surveys`` and no other."""
    return Plan(
        stock(*records),
        is_read=lambda name, topic: (name, topic) == ("surveys", "surveys"),
        max_redrives=max_redrives,
        again=again,
    )


def chosen(made: Plan) -> list[int]:
    return [offset for letters in made.chosen.values() for offset in letters]


def test_a_dead_letter_is_read_from_its_headers() -> None:
    assert read_dead_letter(dead_letter()) == DeadLetter(
        integration="surveys",
        reason="rejected_400",
        topic="surveys",
        partition=4,
        redrives=1,
        set_aside_at=SET_ASIDE_AT,
        is_tombstone=False,
        offset=99,
    )


def test_without_the_time_it_was_set_aside_that_of_its_record_counts() -> None:
    """A dead letter of the largest size that the broker takes goes without its optional headers."""
    letter = read_dead_letter(dead_letter(changes={"streamer.dead_letter_time": None}))
    assert letter is not None
    assert letter.set_aside_at == 1_600_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"streamer.reason": None},
        {"streamer.integration": None},
        {"streamer.redrives": b"many"},
        {"streamer.redrives": b"9" * 4_300},
        {"streamer.redrives": b"-1"},
        {"streamer.redrives": "²".encode()},
        {"__connect.errors.partition": b"4_0"},
        {"__connect.errors.partition": b"9" * 4_301},
        {"streamer.dead_letter_time": b"yesterday"},
        {"__connect.errors.topic": None},
        {"__connect.errors.partition": b""},
    ],
)
def test_what_lacks_a_header_of_ours_is_left_alone(changes: Mapping[str, bytes | None]) -> None:
    """Others write to dead-letter topics too: Kafka Connect, people with a console producer."""
    foreign = stock(dead_letter(changes=changes), dead_letter(8))
    assert foreign.foreign == 1
    assert [entry.offset for entry in foreign] == [8]


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (Selection(), True),
        (Selection(integrations=frozenset({"surveys", "others"})), True),
        (Selection(integrations=frozenset({"others"})), False),
        (Selection(reasons=frozenset({"rejected_400"})), True),
        (Selection(reasons=frozenset({"decode_error"})), False),
        (Selection(since=SET_ASIDE_AT), True),
        (Selection(since=SET_ASIDE_AT + 0.001), False),
        (Selection(until=SET_ASIDE_AT), False),
        (Selection(until=SET_ASIDE_AT + 0.001), True),
        (Selection(message_ids=frozenset({"evt_3", "evt_4"})), True),
        (Selection(message_ids=frozenset({"evt_4"})), False),
        (Selection(details=(pattern_of("nothing"), pattern_of("*expected an integer*"))), True),
        (Selection(details=(pattern_of("expected an integer"),)), False),
    ],
)
def test_dead_letters_are_selected_by_what_their_headers_say(selection: Selection, takes: bool) -> None:
    letter = dead_letter(
        changes={
            "streamer.message_id": b"evt_3",
            "__connect.errors.exception.message": b"/answers/3/rank: expected an integer, found a string",
        }
    )
    assert [entry.offset for entry in stock(letter, selection=selection)] == ([7] if takes else [])


def test_without_optional_headers_there_is_no_message_id_to_select_by() -> None:
    assert list(stock(dead_letter(), selection=Selection(message_ids=frozenset({"evt_3"})))) == []


def test_a_record_goes_back_as_it_was_and_for_its_own_integration() -> None:
    theirs: list[tuple[str, bytes | None]] = [("trace", b"1"), ("trace", b"2"), ("empty", None)]
    record = dead_letter(12)
    record.headers = [*theirs, *record.headers]
    letter = read_dead_letter(record)
    assert letter is not None

    back = redriven_record(record, letter)

    assert (back.topic, back.partition) == ("surveys", 4)
    assert (back.key, back.value, back.timestamp) == (record.key, record.value, record.timestamp)
    assert back.headers == [
        *theirs,
        ("streamer.redrives", b"2"),
        ("streamer.integration", b"surveys"),
        ("streamer.redriven.from", b"surveys.dlq-0-12"),
    ]


def test_how_a_call_arrived_goes_back_with_it() -> None:
    """Triggers carry it, and the rules ask for it; what streamer says of a profile is the record's own, too."""
    own: list[tuple[str, bytes | None]] = [(name, b"1") for name in sorted(OWN_HEADERS)]
    record = dead_letter(12)
    record.headers = [*own, *record.headers]
    letter = read_dead_letter(record)
    assert letter is not None
    assert list(redriven_record(record, letter).headers[: len(own)]) == own


@given(st.sets(st.integers(0, 200), min_size=1))
def test_a_note_lists_exactly_what_was_noted(offsets: set[int]) -> None:
    spans = read_note(note(1_000, *offsets))
    assert spans is not None
    assert [offset for span in spans for offset in span] == sorted(offsets)


def test_a_note_is_short_where_offsets_follow_each_other() -> None:
    assert note_header([9, 3, 8, 7, 1_000]) == ("streamer.redriven", b"3,7-9,1000")


@pytest.mark.parametrize("text", [b"", b"a", b"1,,2", b"-3", b"1-2-3"])
def test_a_damaged_note_is_no_note(text: bytes) -> None:
    damaged = StoredRecord(offset=9, headers=[("streamer.redriven", text)])
    assert read_note(damaged) is None
    assert stock(damaged).foreign == 1


def test_a_note_says_nothing_of_what_stands_behind_it() -> None:
    """Nor does one with a huge number keep anybody busy."""
    assert chosen(plan(dead_letter(0), note(1, *range(3)), dead_letter(2))) == [2]
    huge = StoredRecord(offset=1, headers=[("streamer.redriven", b"0-99999999999999999999")])
    assert chosen(plan(dead_letter(0), huge, dead_letter(2))) == [2]


def test_a_note_is_for_its_own_partition() -> None:
    elsewhere = note(5, 0)
    elsewhere.partition = 1
    assert chosen(plan(dead_letter(0), elsewhere)) == [0]


def test_dead_letters_are_counted_by_what_they_have_in_common() -> None:
    later = dead_letter(3, {"streamer.dead_letter_time": b"2026-02-02T02:40:01.000Z"})
    other_reason = dead_letter(4, {"streamer.reason": b"decode_error"})
    counted = stock(dead_letter(2), later, other_reason, note(5, 3, 4), note(6, 3)).groups
    assert counted == {
        Kind("surveys", "rejected_400", "surveys", redrives=1): Group(
            dead_letters=2, redriven=1, oldest=SET_ASIDE_AT, newest=SET_ASIDE_AT + 1
        ),
        Kind("surveys", "decode_error", "surveys", redrives=1): Group(
            dead_letters=1, redriven=1, oldest=SET_ASIDE_AT, newest=SET_ASIDE_AT
        ),
    }


def test_a_corrected_value_is_judged_last() -> None:
    """What was redriven, or would not be delivered at all, stays what it is; a missing value is no obstacle."""
    letters = [
        dead_letter(0),
        dead_letter(1),
        dead_letter(2, {"streamer.value.omitted": b"1"}),
        dead_letter(3, {"__connect.errors.topic": b"retired"}),
        dead_letter(4),
        note(5, 4),
    ]
    made = Plan(
        stock(*letters),
        is_read=lambda _name, topic: topic == "surveys",
        max_redrives=3,
        corrected=lambda _partition, offset: Skip.INVALID if offset != 2 and offset else None,
    )
    assert chosen(made) == [0, 2]
    assert made.skipped == {Skip.NOT_READ: 1, Skip.INVALID: 1}
    assert [offset for offset in range(6) if made.is_chosen(("surveys.dlq", 0), offset)] == [0, 2]
    assert not made.is_chosen(("surveys.dlq", 1), 0)


def test_what_was_redriven_is_chosen_again_only_when_asked_for() -> None:
    records = (dead_letter(0), dead_letter(1), note(2, 0))
    assert chosen(plan(*records)) == [1]
    assert chosen(plan(*records, again=True)) == [0, 1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"streamer.redrives": b"3"}, Skip.OVER_LIMIT),
        ({"streamer.redrives": b"2"}, None),
        ({"__connect.errors.topic": b"retired"}, Skip.NOT_READ),
        ({"streamer.integration": b"retired"}, Skip.NOT_READ),
        ({"streamer.value.null": b"1"}, Skip.TOMBSTONE),
    ],
)
def test_what_could_not_end_delivered_is_skipped(changes: Mapping[str, bytes], why: Skip | None) -> None:
    """A record in a topic that is not delivered would be lost; one that always fails would be redriven without end."""
    made = plan(dead_letter(0, changes))
    assert made.skipped == ({} if why is None else {why: 1})
    assert made.left == len(chosen(made)) == (1 if why is None else 0)


LETTERS = st.builds(
    lambda reason, redrives, topic: {
        "streamer.reason": reason,
        "streamer.redrives": redrives,
        "__connect.errors.topic": topic,
    },
    st.sampled_from([b"rejected_400", b"decode_error"]),
    st.sampled_from([b"0", b"2", b"3", b"7"]),
    st.sampled_from([b"surveys", b"retired"]),
)


@given(st.lists(LETTERS, max_size=20), st.data())
def test_the_account_of_a_redrive_adds_up(letters: list[dict[str, bytes]], data: st.DataObject) -> None:
    """Whatever is redriven, noted or refused, each dead letter is counted once, and the chosen ones are left."""
    noted = data.draw(st.sets(st.sampled_from(range(len(letters))))) if letters else set()
    records = [dead_letter(offset, changes) for offset, changes in enumerate(letters)]
    made = plan(*records, note(len(letters), *noted)) if noted else plan(*records)
    for tally in made.tallies:
        assert tally.dead_letters == (tally.redriven_before + sum(tally.skipped.values()) + tally.redriven + tally.left)
    assert sum(tally.dead_letters for tally in made.tallies) == len(letters)
    assert sum(tally.redriven_before for tally in made.tallies) == len(noted)
    assert made.left == len(chosen(made))


@pytest.mark.parametrize("timestamp", [-(1 << 63), (1 << 63) - 1])
def test_a_dead_letter_of_an_impossible_time_can_be_shown(timestamp: int) -> None:
    """`streamer dlq ls` prints the oldest and the newest."""
    record = dead_letter(changes={"streamer.dead_letter_time": None})
    record.timestamp = timestamp
    letter = read_dead_letter(record)
    assert letter is not None
    assert datetime.fromtimestamp(letter.set_aside_at, UTC).year in {1970, 9999}


def test_a_record_gets_back_its_time_and_its_missing_key() -> None:
    changes: Mapping[str, bytes | None] = {"streamer.original_timestamp": b"1500000000000", "streamer.key.null": b"1"}
    record = dead_letter(changes=changes)
    letter = read_dead_letter(record)
    assert letter is not None
    written = redriven_record(record, letter)
    assert (written.key, written.timestamp) == (None, 1_500_000_000_000)


def test_a_dead_letter_of_an_earlier_version_has_the_time_of_its_record() -> None:
    record = dead_letter()
    letter = read_dead_letter(record)
    assert letter is not None
    assert redriven_record(record, letter).timestamp == record.timestamp


def test_a_dead_letter_without_its_value_is_skipped() -> None:
    made = plan(dead_letter(changes={"streamer.value.omitted": b"1"}), dead_letter(8))
    assert chosen(made) == [8]
    assert made.skipped == {Skip.NO_VALUE: 1}


def test_a_note_that_lists_any_number_of_offsets_costs_no_more_than_the_dead_letters() -> None:
    """Anybody may write one; to go through all its offsets would take days."""
    made = stock(dead_letter(7), dead_letter(8))
    note_of_all = StoredRecord(offset=1 << 62, value=b"", headers=[("streamer.redriven", b"8-%d" % (1 << 63))])
    made.take(note_of_all)
    assert [(entry.offset, entry.is_redriven) for entry in made] == [(7, False), (8, True)]
