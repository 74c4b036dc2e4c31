"""The parts of the demo that need nothing to run: its events, and how it shows things."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.core.mapping import Mapper
from streamer.core.model import Filtered, MappingSettings, Outcome, TrackCall
from streamer.core.records.account import Totals
from streamer.devkit.demo import places, showing
from streamer.devkit.demo.events import DISABLED_EVENTS, INTEGRATIONS, sample_events, steady_events
from streamer.devkit.demo.producing import Producer
from streamer.devkit.demo.service_process import totals_of
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import load

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=10), parts, max_size=4),
    max_leaves=30,
)


@settings(max_examples=30)
@given(DOCUMENTS)
def test_a_folded_document_is_the_same_document(document: Any) -> None:
    assert json.loads("".join(line.strip(" ") + " " for line in showing.folded(document))) == document


@settings(max_examples=50)
@given(st.dictionaries(st.text("abc", max_size=10), st.text("abc ", max_size=40), max_size=30))
def test_a_folded_document_keeps_within_the_width(document: dict[str, str]) -> None:
    assert all(len(line) <= showing.COLUMNS for line in showing.folded(document))


def test_a_long_line_of_the_story_is_wrapped_and_a_path_in_it_is_not() -> None:
    path = "/tmp/" + "directory/" * 12
    lines = showing.wrapped(f"{'word ' * 30}{path}", indent=8)
    assert all(len(line) <= showing.COLUMNS for line in lines[:-1])
    assert lines[-1] == f"        {path}"


def test_steady_events_are_all_delivered_and_none_repeats_a_sample() -> None:
    mappers = {
        name: Mapper(MappingSettings(dialect=name, disabled=frozenset(DISABLED_EVENTS[name]))) for name in INTEGRATIONS
    }
    ids = [
        call.message_id
        for event in [*sample_events(300), *steady_events(300, first=300), *steady_events(100, first=900)]
        if event.outcome is Outcome.DELIVERED
        and isinstance(call := mappers[event.integration].map(event.value, 0), TrackCall)
    ]
    assert len(ids) == len(set(ids)) > 600


def test_sample_events_that_must_be_filtered_are() -> None:
    mappers = {
        name: Mapper(MappingSettings(dialect=name, disabled=frozenset(DISABLED_EVENTS[name]))) for name in INTEGRATIONS
    }
    filtered = [event for event in sample_events(300) if event.outcome is Outcome.FILTERED]
    assert len({event.integration for event in filtered}) == len(INTEGRATIONS)
    assert all(isinstance(mappers[event.integration].map(event.value, 0), Filtered) for event in filtered)


class Topics:
    """A Kafka client that confirms each record at once."""

    def __init__(self) -> None:
        self.offset = 0

    async def send(self, topic: str, *, key: bytes, value: bytes) -> "asyncio.Future[Any]":
        assert key
        assert value
        confirmation: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        confirmation.set_result(SimpleNamespace(topic=topic, partition=1, offset=self.offset))
        self.offset += 1
        return confirmation


async def test_the_sandbox_is_told_where_each_record_is(tmp_path: Path) -> None:
    """So that its debugger shows a call beside the records that it was made from, the copy of one included."""
    document = {
        "kafka": {"bootstrap_servers": "127.0.0.1:1"},
        "destinations": {"segment": {"write_key": "key", "endpoint": "http://127.0.0.1:1"}},
        "integrations": {
            name: {"dialect": name, "topics": [f"surveys.{name}"], "destination": "segment"} for name in INTEGRATIONS
        },
    }
    config = tmp_path / "streamer.yaml"
    config.write_text(json.dumps(document))
    sandbox = Sandbox()
    producer = Producer(load(config, environ={}), cast("Any", Topics()), sandbox)

    first, copy, *_ = await producer.produce(sample_events(6))
    await asyncio.sleep(0)  # confirmations that are there at once are noted in the loop's next round

    assert first.message_id == copy.message_id
    told = sandbox.sources.of(first.message_id)
    assert [(source.topic, source.partition, source.offset) for source in told] == [first.place, copy.place]
    assert told[0].value == json.loads(first.event.value)
    assert producer.confirmed == 6


def test_an_account_of_the_status_is_summed_up() -> None:
    account = {"consumed": 10, "delivered": 5, "filtered": {"event_disabled": 2, "no_identity": 1}, "in_flight": 2}
    totals = totals_of(account)
    assert totals == Totals(
        consumed=10, delivered=5, duplicate=0, filtered=3, dead_lettered=0, handed_back=0, in_flight=2
    )
    assert totals.adds_up()
    assert totals_of({}).consumed == 0


def test_the_command_is_shown_as_a_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a checkout it is not on the path."""
    command = tmp_path / "checkout" / ".venv" / "bin" / "streamer"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    monkeypatch.setattr("sys.executable", str(command.with_name("python")))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "checkout")
    assert places.own_command() == ".venv/bin/streamer"
    monkeypatch.chdir(command.parent.parent)
    assert places.own_command() == "bin/streamer"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert places.own_command() == str(command)
    monkeypatch.setenv("PATH", str(command.parent))
    assert places.own_command() == "streamer"
