"""What is peculiar to Sprig: three forms of an answer, lifecycle webhooks, anonymous visitors, question types."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping import Mapper, sprig
from streamer.core.mapping.contract import Contract
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.native import Document
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall

SAMPLES = Path(__file__).parents[2] / "samples/sprig"
RECORD_TIME_MS = 1_772_442_927_418


def sample(name: str, **changes: Any) -> dict[str, Any]:
    """A sample record with some keys replaced; ``...`` removes one."""
    [path] = [path for path in SAMPLES.glob(f"{name}-*.json") if path.name.count(".") == 1]
    document = {**json.loads(path.read_text()), **changes}
    return {key: value for key, value in document.items() if value is not ...}


def end_of(document: dict[str, Any], record_time_ms: int = RECORD_TIME_MS, **chosen: Any) -> TrackCall | Filtered:
    settings = MappingSettings(dialect="sprig", dialect_settings={"sprig": SprigSettings(**chosen)})
    return Mapper(settings).map(orjson.dumps(document), record_time_ms)


def sent(document: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    call = end_of(document, **chosen)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    return body


def read(document: dict[str, Any]) -> SurveyEvent:
    contract = sprig.contract_of(document, SprigSettings())
    assert Contract(contract).is_kept_by(document)
    event = sprig.read(document, contract, RECORD_TIME_MS)
    assert isinstance(event, SurveyEvent)
    return event


def extra_of(document: dict[str, Any]) -> Document:
    return sprig.extra_of(read(document))


ANSWER_SPELLINGS = [
    "ANSWER_SUBMITTED", "Answer submitted", "answer_submitted", "ANSWER-SUBMITTED", "answer.submitted",
    "AnswerSubmitted", "answer/submitted ", "\u200bAnswer\u00a0Submitted",
]  # fmt: skip


@pytest.mark.parametrize("event_type", ANSWER_SPELLINGS)
def test_of_event_types_only_letters_and_digits_are_compared(event_type: str) -> None:
    """Sprig publishes no literals; the id and the call are the same however it writes them."""
    assert sent(sample("01", eventType=event_type)) == sent(sample("01"))
    assert sent(sample("01"), answer_event_types=(event_type,)) == sent(sample("01"))


@pytest.mark.parametrize(
    "event_type",
    ["STUDY_SENT", "Study seen", "study.submitted", "ThemeIdentified", "THEME_IDENTIFIED", "STUDY_STATUS_CHANGED"],
)
def test_lifecycle_webhooks_need_nothing_but_their_type(event_type: str) -> None:
    assert end_of({"eventType": event_type}) == Filtered(FilterReason.NOT_IN_STREAM)


@pytest.mark.parametrize("event_type", ["TEST", "test", "Test!"])
def test_test_deliveries_are_filtered(event_type: str) -> None:
    assert end_of({"eventType": event_type}) == Filtered(FilterReason.TEST_EVENT)
    assert end_of({"eventType": event_type}, lifecycle_event_types=()) == Filtered(FilterReason.TEST_EVENT)


@pytest.mark.parametrize("event_type", ["RESPONSE_RECORDED", "ANSWER_SUBMITTED_V2", "STUDY", "é", "1", "---", "   "])
def test_an_event_type_that_is_not_known_is_refused_and_names_the_setting(event_type: str) -> None:
    """Were it filtered, every answer would vanish in silence on the day Sprig renames the event."""
    with pytest.raises(SchemaError, match=r"^/eventType: .* add it to sprig\.answer_event_types$") as refused:
        end_of(sample("01", eventType=event_type))
    assert event_type not in refused.value.detail


def test_which_webhooks_are_answers_and_which_are_not_sent_are_settings() -> None:
    chosen: dict[str, Any] = {"answer_event_types": ("Response created",)}
    assert sent(sample("01", eventType="Response created"), **chosen) == sent(sample("01"))
    with pytest.raises(SchemaError, match="answer_event_types"):
        end_of(sample("01"), **chosen)
    with pytest.raises(SchemaError, match="/response: expected a value, found nothing"):
        end_of(sample("01", eventType="RESPONSE_CREATED", response=...), **chosen)
    archived: dict[str, Any] = {"lifecycle_event_types": ("Study archived",)}
    assert end_of({"eventType": "STUDY_ARCHIVED"}, **archived) == Filtered(FilterReason.NOT_IN_STREAM)
    with pytest.raises(SchemaError, match="lifecycle_event_types"):
        end_of({"eventType": "STUDY_SEEN"}, **archived)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (sample("01", eventType=...), "/eventType: expected a non-empty string, found nothing"),
        (sample("01", eventType=None), "/eventType: expected a non-empty string, found null"),
        (sample("08", createdAt=...), "/createdAt: expected an RFC 3339 time, found nothing"),
        (
            sample("08", responseGroupUid=""),
            "/responseGroupUid: expected a non-empty string or an integer, found an empty string",
        ),
        (sample("16", question=...), "/question: expected a string, found nothing"),
        ({"unknown": 1}, "/eventType: expected a non-empty string, found nothing"),
    ],
)
def test_a_record_is_held_against_the_form_it_looks_like(document: dict[str, Any], fault: str) -> None:
    with pytest.raises(SchemaError) as refused:
        end_of(document)
    assert fault in refused.value.detail


def test_a_stream_record_without_time_has_the_brokers() -> None:
    document = sample("16", timestamp=...)
    assert sent(document)["timestamp"] == "2026-03-02T09:15:27.418Z"
    assert read(document).occurred_at_origin == "broker"
    assert read(sample("16")).occurred_at_origin == "native"


@pytest.mark.parametrize("record_time_ms", [-1, 2**60])
def test_a_record_without_time_is_refused_where_the_broker_has_none_either(record_time_ms: int) -> None:
    """To send it without a time would make it happen now."""
    with pytest.raises(MappingError, match="has no time"):
        end_of(sample("16", timestamp=...), record_time_ms)
    assert isinstance(end_of(sample("16"), record_time_ms), TrackCall)


@pytest.mark.parametrize("updated_at", [None, ...])
def test_an_export_row_that_was_not_edited_happened_at_its_creation(updated_at: Any) -> None:
    document = sample("11", updatedAt=updated_at)
    assert sent(document)["timestamp"] == document["createdAt"]


@pytest.mark.parametrize("user_id", [None, "", ...])
def test_a_visitor_without_user_id_is_filtered_or_sent_as_anonymous(user_id: Any) -> None:
    document = sample("20", externalUserId=user_id)
    assert end_of(document) == Filtered(FilterReason.NO_IDENTITY)
    body = sent(document, anonymous="send")
    assert "userId" not in body
    assert body["anonymousId"] == document["partnerAnonymousId"]


@pytest.mark.parametrize("anonymous_id", [None, "", ...])
def test_a_visitor_without_any_id_is_filtered_even_so(anonymous_id: Any) -> None:
    document = sample("20", partnerAnonymousId=anonymous_id)
    assert end_of(document, anonymous="send") == Filtered(FilterReason.NO_IDENTITY)


def test_a_users_anonymous_id_goes_along_only_where_it_is_enabled() -> None:
    document = sample("09")
    assert "anonymousId" not in sent(document)
    assert sent(document, anonymous="send")["anonymousId"] == document["partnerAnonymousId"]


def test_message_ids_do_not_depend_on_settings() -> None:
    chosen = {"event_name": "other", "anonymous": "send", "extended_properties": True}
    for name in ("01", "08", "16"):
        assert sent(sample(name), **chosen)["messageId"] == sent(sample(name))["messageId"]


def test_the_name_of_the_event_is_a_setting() -> None:
    assert sent(sample("01"), event_name="Answered")["event"] == "Answered"


def test_extended_properties_are_question_id_and_selected_indexes() -> None:
    plain, extended = sent(sample("04", questionId=7)), sent(sample("04", questionId=7), extended_properties=True)
    assert extended["properties"] == {**plain["properties"], "questionId": "7", "selectedIndexes": [1, 3, 6]}
    assert sent(sample("01"), extended_properties=True) == sent(sample("01"))


@pytest.mark.parametrize(
    ("environment", "is_sent"), [("env_prod_7f3c", True), ("env_dev_1b90", False), (..., True), ("", True)]
)
def test_records_of_another_environment_are_filtered(environment: Any, is_sent: bool) -> None:
    end = end_of(sample("01", environmentId=environment), environment="env_prod_7f3c")
    assert end == Filtered(FilterReason.OTHER_ENVIRONMENT) if not is_sent else isinstance(end, TrackCall)


def test_a_deleted_response_is_filtered() -> None:
    """Segment can take nothing back, so what was deleted before it was sent stays unsent."""
    assert end_of(sample("08", deletedAt="2026-03-07T00:00:00Z")) == Filtered(FilterReason.DELETED)
    assert isinstance(end_of(sample("08", deletedAt=None)), TrackCall)


@pytest.mark.parametrize("question_type", ["thanks", "uploading", "THANKS"])
def test_end_cards_are_no_answers(question_type: str) -> None:
    assert end_of(sample("01", questionType=question_type)) == Filtered(FilterReason.NOT_IN_STREAM)


def test_the_platforms_misspelling_of_attributes_is_read() -> None:
    snapshot = {"attribtues": {"plan": "Trial"}}
    assert sent(sample("08", visitorSnapshot=snapshot))["properties"]["attributes"] == {"plan": "Trial"}
    both = {"attributes": {}, "attribtues": {"plan": "Trial"}}
    assert sent(sample("08", visitorSnapshot=both))["properties"]["attributes"] == {}


def test_absent_null_and_stated_triggers_stay_apart() -> None:
    assert "triggeringEvent" not in sent(sample("01", triggeringEvent=...))["properties"]
    assert sent(sample("01", triggeringEvent=None))["properties"]["triggeringEvent"] is None
    assert sent(sample("01", triggeringEvent=""))["properties"]["triggeringEvent"] == ""
    assert "triggeringEvent" not in sent(sample("08", visitorSnapshot=None))["properties"]
    assert sent(sample("08", visitorSnapshot={"triggeringEvent": None}))["properties"]["triggeringEvent"] is None


def test_a_webhooks_visitor_is_an_id_or_the_old_number() -> None:
    assert read(sample("01", visitorId=19720642)).subject["legacy_visitor_id"] == 19720642
    assert "visitor_id" not in read(sample("01", visitorId=19720642)).subject
    assert "legacy_visitor_id" not in read(sample("01", oldVisitorId={"not": "ours"})).subject


@pytest.mark.parametrize(
    ("question_type", "response"),
    [
        ("NPS", 0), ("NPS", 10), ("nps", 10), ("NPS", None), ("LIKERT", 1), ("LIKERT", None), ("MULTIPLECHOICE", "a"),
        ("MULTIPLESELECT", ["a", "b"]), ("MULTIPLESELECT", "a"), ("MULTIPLESELECT", []), ("OPEN", ""), ("OPEN", None),
        ("VALIDATEDTEXT", "a@example.com"), ("MATRIX", {"row": "2", "other": None}), ("MATRIX", {}),
        ("RANKORDER", {"a": 1, "b": 2, "c": None, "d": None}), ("CONSENTLEGAL", {"submitted": True}),
        ("VIDEOVOICE", {"uploadId": "u"}), ("RECORDEDTASK", {"taskStatus": "completed"}), ("MAXDIFF", [[{"id": 1}]]),
        ("CONSENTLEGAL", None), ("CONJOINT", []), ("TEXTURLPROMPT", None),
        ("AIDYNAMICFOLLOWUP", "a"), ("NEWTYPE", True), ("NEWTYPE", [1, {}]),
    ],
)  # fmt: skip
def test_responses_of_the_right_shape_pass_unchanged(question_type: str, response: Any) -> None:
    document = sample("01", questionType=question_type, response=response)
    assert sent(document)["properties"]["response"] == response
    assert sent(document)["properties"]["questionType"] == question_type


@pytest.mark.parametrize(
    ("question_type", "response"),
    [
        ("NPS", 11), ("NPS", -1), ("NPS", 9.5), ("NPS", "9"), ("NPS", False), ("nps", 11), ("LIKERT", 0),
        ("MULTIPLECHOICE", 1), ("MULTIPLECHOICE", ["a"]), ("MULTIPLESELECT", [1]), ("MULTIPLESELECT", {}), ("OPEN", 1),
        ("MATRIX", [[]]), ("MATRIX", {"row": 2}), ("RANKORDER", {"a": 0}), ("RANKORDER", {"a": "1"}),
        ("LIKERT", True), ("RANKORDER", ["a"]), ("CONSENTLEGAL", True), ("VIDEOVOICE", "url"),
        ("MAXDIFF", {}), ("MAXDIFF", [{}]), ("TEXTURLPROMPT", "read"),
    ],
)  # fmt: skip
def test_responses_of_the_wrong_shape_are_refused(question_type: str, response: Any) -> None:
    with pytest.raises(SchemaError, match=r"^/response"):
        end_of(sample("01", questionType=question_type, response=response))


def test_a_rank_used_twice_is_refused() -> None:
    with pytest.raises(MappingError, match=r"^/response: expected each rank at most once"):
        end_of(sample("09", response={"a": 1, "b": 2, "c": 1}))


def test_what_has_no_home_is_kept_under_its_own_name() -> None:
    """Unknown keys, nulls, empty ids and ids that were numbers: everything a round trip needs."""
    extra = extra_of(
        sample("08", externalUserId="", email=None, surveyName=None, selectedIndexes=None, meta={}, unknown=[1])
    )
    del extra["visitorSnapshot"]
    assert extra == {
        "surveyId": 30402,
        "questionId": 239611,
        "externalUserId": "",
        "email": None,
        "surveyName": None,
        "selectedIndexes": None,
        "meta": {},
        "unknown": [1],
    }


def test_what_has_a_home_is_not_kept_twice() -> None:
    assert extra_of(sample("02")) == {"id": 4107, "surveyId": 30405}
    assert extra_of(sample("04")) == {"id": 4107, "surveyId": 30411}
    assert extra_of(sample("16")) == {}


def test_unknown_keys_do_not_reach_segment() -> None:
    assert sent(sample("01", unknown={"a": 1}, url="https://example.com")) == sent(sample("01"))
