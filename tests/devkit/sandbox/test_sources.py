"""Which records calls were made from: what is told, and how much of it is remembered."""

import orjson
import pytest

from streamer.devkit.sandbox import sources as module
from streamer.devkit.sandbox.server import Sandbox
from streamer.devkit.sandbox.sources import MAX_RECORDS_AN_ID, Source, Sources, SourcesError, read_sources


def source(offset: int, value: object = None) -> Source:
    return Source(topic="surveys", partition=1, offset=offset, value=value)


def test_a_record_is_found_by_the_messageid_of_its_call() -> None:
    sources = Sources()
    sources.tell("m-1", source(7, {"answer": 9}))
    assert sources.of("m-1") == [source(7, {"answer": 9})]
    assert sources.of("m-2") == []
    assert sources.of(None) == []


def test_a_messageid_has_its_latest_records_each_once() -> None:
    sources = Sources()
    for offset in (*range(MAX_RECORDS_AN_ID + 1), 3):
        sources.tell("m-1", source(offset))
    assert [each.offset for each in sources.of("m-1")] == [1, 2, 4, 5, 3]


def test_those_told_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 2)
    sources = Sources()
    for message_id in ("a", "b", "a", "c"):
        sources.tell(message_id, source(1))
    assert [bool(sources.of(message_id)) for message_id in "abc"] == [True, False, True]


def test_values_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES_BYTES", 1_000)
    sources = Sources()
    for number in range(100):
        sources.tell(f"m-{number}", source(number, "x" * 98))
        sources.tell(f"m-{number}", source(number, "x" * 98))  # told twice, counted once
    assert sum(bool(sources.of(f"m-{number}")) for number in range(100)) == 10


@pytest.mark.parametrize("value", ["x" * 32_000, float("nan"), None])
def test_a_value_that_cannot_be_shown_is_not_kept_but_its_place_is(value: object) -> None:
    sources = Sources()
    sources.tell("m-1", source(1, value))
    assert sources.of("m-1")[0].offset == 1
    assert sources.of("m-1")[0].value is None


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (b"{}", "list: "),
        (b"[{}]", "0.messageId: "),
        (b'[{"messageId": "a", "topic": "t", "partition": 0, "offset": -1}]', "0.offset: "),
        (b'[{"messageId": "", "topic": "t", "partition": 0, "offset": 1}]', "0.messageId: "),
        (b'[{"messageId": "a", "topic": "t", "partition": 0, "offset": 1, "key": "k"}]', "0.key: "),
        (b"[", "list: Invalid JSON"),
    ],
)
def test_a_list_with_a_mistake_says_where(document: bytes, where: str) -> None:
    with pytest.raises(SourcesError, match=where.replace(".", r"\.")):
        read_sources(document)


def test_a_list_is_read() -> None:
    record = {"messageId": "a", "topic": "t", "partition": 0, "offset": 1, "value": {"b": [1]}}
    (told,) = read_sources(orjson.dumps([record]))
    assert told.model_dump(by_alias=True) == record


def test_the_sandbox_is_told_from_within(sandbox: Sandbox) -> None:
    sandbox.tell_source("m-1", "surveys", 1, 7, {"a": 1})
    assert sandbox.sources.of("m-1") == [source(7, {"a": 1})]
