"""The order in which a record is decoded, filtered, read, renamed, and what its call carries."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import DecodeError, MappingError, RecordError, SchemaError, TooLargeError
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import (
    MAX_MESSAGE_ID_CHARACTERS,
    DeadLetterReason,
    Filtered,
    FilterReason,
    MappingSettings,
    TrackCall,
)

SAMPLES = Path(__file__).parents[2] / "samples"
VIEWED = (SAMPLES / "getuserfeedback/01-flow-viewed.json").read_bytes()
NPS = (SAMPLES / "sprig/01-nps.json").read_bytes()
REDRIVEN = (("streamer.integration", b"sprig"), ("streamer.redrives", b"1"))
ALL_DIALECTS = list(DIALECTS)


def mapper(dialect: str = "getuserfeedback", **chosen: Any) -> Mapper:
    return Mapper(MappingSettings(dialect=dialect, **chosen))


def sent(value: bytes, dialect: str = "getuserfeedback", **chosen: Any) -> dict[str, Any]:
    """The decoded body of the call that ``value`` makes."""
    call = mapper(dialect, **chosen).map(value, 0)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    assert body["messageId"] == call.message_id
    return body


def changed(value: bytes, **changes: Any) -> bytes:
    return orjson.dumps({**orjson.loads(value), **changes})


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_a_tombstone_is_filtered(dialect: str) -> None:
    assert mapper(dialect).map(None, -1) == Filtered(FilterReason.TOMBSTONE)


@pytest.mark.parametrize("value", [VIEWED, b"not json", b""])
def test_a_paused_integration_that_discards_looks_at_nothing(value: bytes) -> None:
    assert mapper(discard=True).map(value, 0) == Filtered(FilterReason.PAUSED)


@pytest.mark.parametrize("value", [VIEWED, b"not json"])
def test_a_record_redriven_for_another_integration_is_filtered(value: bytes) -> None:
    """Two integrations read one topic; only the one that refused the record gets it again."""
    assert mapper(integration="guf").map(value, 0, REDRIVEN) == Filtered(FilterReason.REDRIVEN_FOR_OTHER)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("streamer.integration", b"sprig"),),
        (("streamer.redrives", b"1"),),
        (("streamer.redrives", b"1"), ("streamer.integration", None)),
        (("streamer.redrives", b"1"), ("streamer.integration", b"guf")),
        (("traceparent", b"00-1-1-00"), ("other", None)),
    ],
)
def test_any_other_headers_change_nothing(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    assert isinstance(mapper(integration="guf").map(VIEWED, 0, headers), TrackCall)


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
@pytest.mark.parametrize("value", [b"[]", b"[{}]", b'"text"', b"1", b"1.5", b"true", b"null"])
def test_a_document_that_is_no_object_breaks_every_contract(dialect: str, value: bytes) -> None:
    with pytest.raises(SchemaError, match=r"^the record: expected an object, found"):
        mapper(dialect).map(value, 0)


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
@pytest.mark.parametrize("value", [orjson.dumps(VIEWED.decode()), b'"[1]"', b'" {} "', b"\xef\xbb\xbf" + b'"{}"'])
def test_an_event_that_is_encoded_twice_is_refused_by_that_name(dialect: str, value: bytes) -> None:
    with pytest.raises(SchemaError, match=r"^the record: expected an object, found JSON text inside a JSON string"):
        mapper(dialect).map(value, 0)


@pytest.mark.parametrize("schema", [None, {"type": "struct", "optional": False, "fields": []}])
@pytest.mark.parametrize("payload", [orjson.loads(VIEWED), None, "text"])
@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_an_envelope_of_kafka_connect_is_refused_with_the_setting_that_ends_it(
    dialect: str, payload: Any, schema: Any
) -> None:
    with pytest.raises(SchemaError, match=r"value\.converter\.schemas\.enable=false") as refused:
        mapper(dialect).map(orjson.dumps({"schema": schema, "payload": payload}), 0)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_unknown_keys_named_like_an_envelope_change_nothing(dialect: str) -> None:
    sample = {"sprig": "sprig/01-nps", "product_fruits": "product_fruits/07-survey-nps-and-text"}.get(dialect)
    sample = sample or {"canonical": "canonical/sprig-01-nps"}.get(dialect, "getuserfeedback/01-flow-viewed")
    record = (SAMPLES / f"{sample}.json").read_bytes()
    assert sent(changed(record, schema=None, payload={}), dialect) == sent(record, dialect)


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_an_empty_object_breaks_every_contract(dialect: str) -> None:
    with pytest.raises(SchemaError, match="found nothing"):
        mapper(dialect).map(b"{}", 0)


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":NaN}',
        b'{"a":1e400}',
        b"\xff\xfe",
        b"\x1f\x8b\x08\x00",
        b"\x00" * 6,
        b"{}{}",
        b"",
    ],
)
def test_hostile_bytes_are_decode_errors_in_every_dialect(dialect: str, hostile: bytes) -> None:
    with pytest.raises(DecodeError):
        mapper(dialect).map(hostile, 0)


def test_the_registry_prefix_setting_reaches_the_decoder() -> None:
    prefixed = b"\x00\x00\x00\x00\x09" + VIEWED
    with pytest.raises(DecodeError):
        mapper().map(prefixed, 0)
    assert sent(prefixed, strip_registry_prefix=True) == sent(VIEWED)


def test_a_byte_order_mark_changes_nothing() -> None:
    assert sent(b"\xef\xbb\xbf" + VIEWED) == sent(VIEWED)


def test_of_repeated_keys_the_last_one_is_sent() -> None:
    repeated = VIEWED.replace(b'"anonymousId"', b'"anonymousId": "other", "anonymousId"', 1)
    assert sent(repeated)["anonymousId"] == "anon_7b1"


def test_events_are_disabled_under_the_platforms_name_and_before_renaming() -> None:
    rename = {"Flow Viewed": "seen"}
    assert mapper(rename=rename, disabled=frozenset({"Flow Viewed"})).map(VIEWED, 0) == Filtered(
        FilterReason.EVENT_DISABLED
    )
    assert sent(VIEWED, rename=rename, disabled=frozenset({"seen"}))["event"] == "seen"


@pytest.mark.parametrize(("dialect", "value"), [("getuserfeedback", VIEWED), ("sprig", NPS)])
def test_renaming_changes_the_name_and_nothing_else(dialect: str, value: bytes) -> None:
    plain = sent(value, dialect)
    assert sent(value, dialect, rename={plain["event"]: "x"}) == {**plain, "event": "x"}


def test_a_disabled_event_without_identity_is_disabled() -> None:
    """The reason that the operator chose comes first; the other would send him looking for a fault."""
    anonymous = changed(NPS, userId=None)
    assert mapper("sprig").map(anonymous, 0) == Filtered(FilterReason.NO_IDENTITY)
    disabled = frozenset({"SDK - Submitted - Survey Response"})
    assert mapper("sprig", disabled=disabled).map(anonymous, 0) == Filtered(FilterReason.EVENT_DISABLED)


def test_the_suffix_is_appended_to_the_message_id() -> None:
    assert sent(VIEWED, message_id_suffix=".eu")["messageId"] == sent(VIEWED)["messageId"] + ".eu"


def test_a_message_id_that_the_suffix_makes_too_long_is_refused() -> None:
    """It is never cut: a cut id could be another event's."""
    longest = "m" * (MAX_MESSAGE_ID_CHARACTERS - 3)
    assert sent(changed(VIEWED, messageId=longest), message_id_suffix=".eu")["messageId"] == longest + ".eu"
    with pytest.raises(MappingError, match=r"^the message id: expected at most 99 characters .* found 100$"):
        mapper(message_id_suffix=".eu").map(changed(VIEWED, messageId=longest + "m"), 0)


def test_a_call_has_exactly_the_fields_that_segment_takes() -> None:
    """Stamped at each attempt: sentAt. Segment's own: receivedAt. Not ours to claim: context.library."""
    body = sent(changed(VIEWED, sentAt="2026-01-01T00:00:00Z", receivedAt="2026-01-01T00:00:00Z"))
    assert body.keys() == {"type", "event", "userId", "anonymousId", "messageId", "timestamp", "context", "properties"}
    assert body["type"] == "track"
    assert "library" not in body["context"]


def test_a_call_is_cut_to_the_limit_and_refused_where_that_is_impossible() -> None:
    body = sent(changed(NPS, questionType="OPEN", response="a" * 2_000_000), "sprig")
    assert body["properties"]["responseTruncated"] is True
    assert body["properties"]["responseOriginalBytes"] == 2_000_000
    with pytest.raises(TooLargeError):
        mapper("sprig").map(changed(NPS, questionType="OTHER", response=list(range(20_000))), 0)


@pytest.mark.parametrize("dialect", ["sprig", "canonical"])
def test_a_nul_in_a_text_does_not_go_out_and_stays_in_the_id(dialect: str) -> None:
    """The id derives from the text as it was written: records that were sent before keep theirs."""
    record = changed(NPS, questionType="OPEN", response="a\0b", attributes={"na\0me": "\0"})
    native = mapper("sprig")
    if dialect == "canonical":
        event = native.read(record, 0)
        assert not isinstance(event, Filtered)
        record = orjson.dumps(native.to_document(event))
    body = sent(record, dialect)
    assert (body["properties"]["response"], body["properties"]["attributes"]) == ("ab", {"name": ""})
    assert body["messageId"] != sent(changed(NPS, questionType="OPEN", response="ab"), "sprig")["messageId"]


def test_a_message_id_does_not_depend_on_whether_the_answer_is_cut() -> None:
    """Derived from the whole answer, so that two long answers with one beginning stay two."""
    first, second = (changed(NPS, questionType="OPEN", response="a" * 40_000 + end) for end in "xy")
    assert sent(first, "sprig")["messageId"] != sent(second, "sprig")["messageId"]


@pytest.mark.parametrize(
    ("dialect", "record"),
    [
        ("sprig", NPS.replace(b'"NPS"', b'"OTHER"').replace(b'"response": 9', b'"response": DEEP')),
        ("getuserfeedback", VIEWED.replace(b'"flv_31"', b"DEEP")),
        ("product_fruits", b'{"type":"analytics","projectCode":"p","eventName":"e","data":{"a":DEEP}}'),
    ],
)
@pytest.mark.parametrize("levels", [300, 1_000])
def test_what_is_nested_too_deeply_to_be_sent_is_a_mapping_error(dialect: str, record: bytes, levels: int) -> None:
    with pytest.raises(MappingError, match="nested too deeply"):
        mapper(dialect).map(record.replace(b"DEEP", b"[" * levels + b"]" * levels), 0)


def test_what_is_nested_deeply_but_not_sent_does_no_harm() -> None:
    unknown = b',"unknown":' + b'{"a":' * 1_000 + b"[]" + b"}" * 1_001
    assert sent(VIEWED.rstrip()[:-1] + unknown) == sent(VIEWED)


def test_errors_say_reason_and_stage() -> None:
    ends = []
    for value in (b"", b"{}", changed(VIEWED, userId=2.0**60)):
        with pytest.raises(RecordError) as refused:
            mapper().map(value, 0)
        ends.append((refused.value.reason, str(refused.value.stage)))
    assert ends == [
        (DeadLetterReason.DECODE_ERROR, "DECODE"),
        (DeadLetterReason.SCHEMA_INVALID, "VALIDATE"),
        (DeadLetterReason.MAPPING_ERROR, "MAP"),
    ]


def test_a_mapper_keeps_nothing_of_a_record() -> None:
    """One mapper sees millions; the same record makes the same call before and after others."""
    shared = mapper("sprig")
    first = shared.map(NPS, 0)
    shared.map(changed(NPS, response=3, userId="other"), 0)
    again = shared.map(NPS, 0)
    assert isinstance(first, TrackCall)
    assert isinstance(again, TrackCall)
    assert first.body == again.body
