"""An event with an anonymous id only gets the user that somebody knows for it, and nothing else of it changes."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import RecordError
from streamer.core.inbound.call import Ignored, IgnoredReason
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall
from streamer.core.pushing import PUSHES, new_mapper

SAMPLES = Path(__file__).parents[2] / "samples"


def sample(name: str, *without: str, **changes: Any) -> dict[str, Any]:
    """A record of the samples, without some of its keys."""
    document = orjson.loads((SAMPLES / name).read_bytes())
    return {key: value for key, value in document.items() if key not in without} | changes


VIEWED = sample("getuserfeedback/01-flow-viewed.json", anonymousId="d-1")
ANONYMOUS = {
    "getuserfeedback": sample("getuserfeedback/01-flow-viewed.json", "userId", anonymousId="d-1"),
    "sprig": sample("sprig/12-anonymous-visitor.json", partnerAnonymousId="d-1"),
    "product_fruits": sample("product_fruits/12-anonymous-visitor.json", anonymousId="d-1"),
}
"""By dialect: an event whose person is known by a device only."""

ALL_ARE_SENT = {"sprig": dataclasses.replace(DIALECTS["sprig"].settings_in({}), anonymous="send")}


def mapper(dialect: str, known: dict[str, str] | None = None, **chosen: Any) -> Mapper:
    return Mapper(MappingSettings(dialect=dialect, **chosen), None if known is None else known.get)


def call_of(mapper: Mapper, document: Any) -> dict[str, Any]:
    call = mapper.map(orjson.dumps(document), 0)
    assert isinstance(call, TrackCall), call
    body: dict[str, Any] = json.loads(call.body)
    return body


@pytest.mark.parametrize("is_canonical", [False, True])
@pytest.mark.parametrize("dialect", ANONYMOUS)
def test_only_the_user_id_is_added(dialect: str, *, is_canonical: bool) -> None:
    """The messageId above all: those of Product Fruits are made of the person, too."""
    document: Any = ANONYMOUS[dialect]
    if is_canonical:
        reader = mapper(dialect)
        event = reader.read(orjson.dumps(document), 0)
        assert not isinstance(event, Filtered)
        document, dialect = reader.to_document(event), "canonical"
    before = call_of(mapper(dialect, dialect_settings=ALL_ARE_SENT), document)
    after = call_of(mapper(dialect, {"d-1": "usr_1"}, dialect_settings=ALL_ARE_SENT), document)
    assert "userId" not in before
    assert after == before | {"userId": "usr_1"}
    assert after["anonymousId"] == "d-1"


def test_a_visitor_that_would_be_skipped_is_sent_as_the_user() -> None:
    """Sprig's `anonymous: skip` leaves out people who have no user id; this one has one now."""
    document = ANONYMOUS["sprig"]
    assert mapper("sprig", {}).map(orjson.dumps(document), 0) == Filtered(FilterReason.NO_IDENTITY)
    call = call_of(mapper("sprig", {"d-1": "usr_1"}), document)
    assert call["userId"] == "usr_1"
    assert "anonymousId" not in call


@pytest.mark.parametrize(
    "document",
    [VIEWED, {**ANONYMOUS["getuserfeedback"], "anonymousId": "d-2"}],
)
def test_who_has_a_user_or_an_unknown_device_stays_as_they_are(document: dict[str, Any]) -> None:
    assert call_of(mapper("getuserfeedback", {"d-1": "usr_1"}), document) == call_of(
        mapper("getuserfeedback"), document
    )


def test_the_ids_to_ask_for_are_those_that_mapping_asks_for() -> None:
    asked: list[str] = []

    def user_of(device: str) -> None:
        asked.append(device)

    for dialect, document in ANONYMOUS.items():
        one = Mapper(MappingSettings(dialect=dialect), user_of)
        for value in (document, {**document, "userId": "usr_1"}, {}, "not an object"):
            encoded = orjson.dumps(value)
            asked.clear()
            with contextlib.suppress(RecordError):
                one.map(encoded, 0)
            device = one.anonymous_id_of(encoded, 0)
            assert asked == ([] if device is None else [device])
        assert one.anonymous_id_of(None, 0) is None


@pytest.mark.parametrize("dialect", sorted(ANONYMOUS))
def test_an_identified_event_that_comes_back_is_known_as_our_own(dialect: str) -> None:
    """Else the userId that we added would be taken for news about the device, for ever."""
    call = call_of(mapper(dialect, {"d-1": "usr_1"}), ANONYMOUS[dialect])
    for returned in (call, {**call, "context": {}}):  # Segment and functions in it may change the context
        end = read(orjson.dumps(returned), (), 0, Rules())
        assert isinstance(end, Ignored)
        assert end.reason is IgnoredReason.OWN_EVENT


@pytest.mark.parametrize("dialect", sorted(PUSHES))
def test_what_the_way_back_writes_is_not_identified(dialect: str) -> None:
    assert not isinstance(new_mapper(MappingSettings(dialect=dialect, kind="sprig"), lambda _: "usr_1"), Mapper)
