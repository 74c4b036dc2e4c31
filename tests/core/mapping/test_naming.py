"""The messageId of a record that makes no call: its producer finds it again by that."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.naming import MAX_CHARACTERS, message_id_of, name
from streamer.core.model import MappingSettings


def survey_event(message_id: object, **changes: Any) -> bytes:
    """A getuserfeedback event: the dialect whose events bring their messageId along."""
    properties = {"app_id": "app_1", "organization_id": "org_1", "survey_id": "srv_1", "response_id": "resp_1"}
    event = {
        "event": "Response Submitted",
        "userId": "user_1",
        "anonymousId": "anon_1",
        "messageId": message_id,
        "timestamp": "2026-05-13T10:14:00.000Z",
        "properties": properties,
    }
    return orjson.dumps(event | changes)


def named(value: bytes, dialect: str = "getuserfeedback", **settings: Any) -> str | None:
    """The messageId noted on the error that a record makes."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        Mapper(MappingSettings(dialect=dialect, **settings)).map(value, 0)
    return message_id_of(raised.value)


def broken(message_id: object = "evt_1") -> bytes:
    """An event that its contract refuses."""
    return survey_event(message_id, properties=None)


def test_a_record_that_breaks_its_contract_is_named() -> None:
    assert named(broken()) == "evt_1"
    assert named(broken(), message_id_suffix="-eu") == "evt_1-eu"


def test_the_id_is_shown_even_if_it_is_what_is_wrong() -> None:
    assert named(broken("x" * 120)) == "x" * 120
    assert named(broken("x" * 1_000_000)) == "x" * MAX_CHARACTERS
    assert named(survey_event("x" * 98), message_id_suffix="-eu") == "x" * 98 + "-eu"


def test_what_a_header_or_a_terminal_cannot_show_is_written_out() -> None:
    assert named(broken("a\n\x1b[31m\x00b")) == r"a\n\x1b[31m\x00b"


@pytest.mark.parametrize("message_id", ["", " ", "\u200b", None, 7, True, [], {}, ["a"]])
def test_what_is_no_id_is_none(message_id: object) -> None:
    assert named(broken(message_id)) is None


@pytest.mark.parametrize(
    "value", [b"", b"not JSON", b"[]", b'"text"', b"{}", b'{"schema":{},"payload":{}}', b"[" * 9_000]
)
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_record_without_one_has_none(value: bytes, dialect: str) -> None:
    assert named(value, dialect) is None


def test_a_canonical_record_has_its_event_id() -> None:
    assert named(b'{"event_id": "evt_1"}', "canonical") == "evt_1"


def test_a_bug_of_ours_is_named_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("streamer.core.mapping.mapper.encode_call", fail)
    assert named(survey_event("evt_1")) == "evt_1"


@given(st.text() | st.integers() | st.none() | st.lists(st.text(), max_size=2), st.text(max_size=5))
def test_any_id_can_be_written_to_a_header(native_id: object, suffix: str) -> None:
    error = ValueError()
    name(error, native_id, suffix)
    message_id = message_id_of(error)
    if message_id is not None:
        assert message_id.isprintable()
        assert len(message_id) <= 10 * MAX_CHARACTERS
        message_id.encode()
