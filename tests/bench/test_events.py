import contextlib

import orjson
import pytest

from bench.data import FAR, Data
from bench.events import EVENT_BYTES, FORMS, EventMaker, stamped
from bench.receiver import STAMP
from bench.rows import FULL_EVENTS, QUICK_EVENTS, full_groups, quick_groups
from streamer.core.mapping import Mapper
from streamer.core.model import MappingSettings, TrackCall


def mapped(form: str, value: bytes) -> TrackCall:
    call = Mapper(MappingSettings(dialect=form.removesuffix("_survey"))).map(value, 1_700_000_000_000)
    assert isinstance(call, TrackCall)
    return call


@pytest.mark.parametrize("form", FORMS)
def test_every_form_makes_valid_events_of_one_size_with_ids_of_their_own(form: str) -> None:
    make = EventMaker(form)
    numbers = (0, 1, 996, 997, 123_456, 1_000_000)
    values = [make(number) for number in numbers]

    assert {len(value) for value in values} == {EVENT_BYTES}
    assert len({mapped(form, value).message_id for value in values}) == len(numbers)


def test_an_event_carries_the_time_it_was_stamped_with_to_the_receiver() -> None:
    value = stamped(EventMaker("getuserfeedback")(7), 1_700_000_000_123)

    assert len(value) == EVENT_BYTES
    assert STAMP.findall(mapped("getuserfeedback", value).body) == [b"1700000000123"]


@pytest.mark.parametrize(
    "data",
    [
        Data(events=2_500),
        Data(events=2_500, has_copies=True),
        Data(events=2_500, has_poison=True),
        Data(events=FAR + 2_000, has_copies=True),
    ],
    ids=["plain", "copies", "poison", "far copies"],
)
def test_data_say_how_many_calls_their_records_make(data: Data) -> None:
    """A row ends when this many calls have come: one too many, and it would wait in vain."""
    ids = set()
    values = list(data.values())
    for value in values:
        with contextlib.suppress(orjson.JSONDecodeError):
            ids.add(orjson.loads(value)["messageId"])

    assert len(values) == data.events
    assert len(ids) == data.calls


def test_different_data_never_share_a_topic() -> None:
    all_data = [
        Data(events=events, partitions=partitions, topics=topics, has_copies=copies, has_poison=poison)
        for events in (1_000, 2_000)
        for partitions in (1, 6)
        for topics in (1, 10)
        for copies in (False, True)
        for poison in (False, True)
    ]
    names = [name for data in all_data for name in data.topic_names]

    assert len(set(names)) == len(names)


def test_every_row_has_a_name_of_its_own() -> None:
    names = [task.name for group in quick_groups(QUICK_EVENTS) + full_groups(FULL_EVENTS) for task in group]

    assert len(set(names)) == len(names)
