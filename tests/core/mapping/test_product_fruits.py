"""What is peculiar to Product Fruits: two names of an event, ids without time, custom events, people without id."""

import hashlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping import Mapper, product_fruits
from streamer.core.mapping.contract import Contract
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.native import Document
from streamer.core.mapping.product_fruits import ProductFruitsSettings
from streamer.core.mapping.product_fruits_names import display_name
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall

SAMPLES = Path(__file__).parents[2] / "samples/product_fruits"
RECORD_TIME_MS = 1_772_442_927_418


def sample(name: str, *, data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A sample record with some keys, or some of its data, replaced; ``...`` removes one."""
    [path] = [path for path in SAMPLES.glob(f"{name}-*.json") if path.name.count(".") == 1]
    document = json.loads(path.read_text())
    if data is not None:
        changes["data"] = {key: value for key, value in {**document["data"], **data}.items() if value is not ...}
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


def end_of(document: dict[str, Any], record_time_ms: int = RECORD_TIME_MS, **chosen: Any) -> TrackCall | Filtered:
    settings = MappingSettings(
        dialect="product_fruits", dialect_settings={"product_fruits": ProductFruitsSettings(**chosen)}
    )
    return Mapper(settings).map(orjson.dumps(document), record_time_ms)


def sent(document: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    call = end_of(document, **chosen)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    return body


def read(document: dict[str, Any]) -> SurveyEvent:
    contract = product_fruits.contract_of(document, ProductFruitsSettings())
    assert Contract(contract).is_kept_by(document)
    return product_fruits.read(document, contract, RECORD_TIME_MS)


def extra_of(document: dict[str, Any]) -> Document:
    return product_fruits.DIALECT.extra_of(read(document))


@pytest.mark.parametrize(
    ("raw_name", "name"),
    [
        ("announcements_newsitem_action_consumed", "Announcements Newsfeed Item Consumed"),
        ("announcements_banner_opened", "Announcements Banner Opened"),
        ("tour_finished", "Tour Finished"),
        ("nps_v2_éclair", "Nps V2 Éclair"),
        ("__lifeRing__opened", "LifeRing Opened"),
        ("_", "_"),
    ],
)
def test_raw_names_have_display_names(raw_name: str, name: str) -> None:
    assert display_name(raw_name) == name


@pytest.mark.parametrize("event_name", [..., None, "", "  "])
def test_an_event_without_display_name_gets_that_of_its_raw_name(event_name: Any) -> None:
    """The id is the same as with the name: whether a producer fills it in must not make a second event of one."""
    assert sent(sample("03", eventName=event_name)) == sent(sample("03"))


def test_a_display_name_alone_is_enough() -> None:
    assert sent(sample("03", rawName=...)) == sent(sample("03"))


def test_names_are_settings_and_ids_do_not_change_with_them() -> None:
    chosen = {
        "event_names": {"tour_finished": "Product Tour Finished"},
        "survey_event_name": "Survey Response",
        "feedback_event_name": "Feedback",
    }
    for name, event in (("04", "Product Tour Finished"), ("07", "Survey Response"), ("11", "Feedback")):
        assert sent(sample(name), **chosen) == {**sent(sample(name)), "event": event}


def test_names_of_the_settings_win_over_the_records_own() -> None:
    assert sent(sample("04"), event_names={"tour_finished": "x"})["event"] == "x"


@pytest.mark.parametrize("native_type", [None, 1, [], {}, "webhook", ...])
def test_an_unknown_type_is_refused(native_type: Any) -> None:
    with pytest.raises(
        SchemaError, match=r"^/type: expected analytics, webhook:newsurveyanswer or webhook:newfeedback"
    ):
        end_of(sample("01", type=native_type))


@pytest.mark.parametrize(
    ("custom", "forwarded", "is_sent"),
    [
        (True, True, True),
        (True, False, False),
        (True, ..., False),
        (..., False, False),
        (False, ..., True),
        (..., ..., True),
    ],
)
def test_a_customers_own_event_is_sent_only_where_it_says_so(custom: Any, forwarded: Any, is_sent: bool) -> None:
    end = end_of(sample("13", custom=custom, forwardToIntegrations=forwarded))
    assert isinstance(end, TrackCall) if is_sent else end == Filtered(FilterReason.NOT_IN_STREAM)


def test_an_event_without_time_has_the_brokers_and_an_id_without_time() -> None:
    """The broker's time differs from delivery to delivery; were it in the id, repeats would go unseen."""
    document = sample("01", timestamp=...)
    first, again = end_of(document, 1_000), end_of(document, 2_000)
    assert isinstance(first, TrackCall)
    assert isinstance(again, TrackCall)
    parts = ("product_fruits", "pf-northwind-prod", "Announcements Popup Opened", "usr_48151")
    digested = "\x1f".join((*parts, json.dumps(document["data"], separators=(",", ":"))))
    assert first.message_id == again.message_id == "pf_" + hashlib.sha256(digested.encode()).hexdigest()[:40]
    assert json.loads(first.body)["timestamp"] == "1970-01-01T00:00:01.000Z"
    assert read(document).occurred_at_origin == "broker"
    with pytest.raises(MappingError, match="has no time"):
        end_of(document, -1)


def test_a_webhook_happened_when_it_says_else_when_it_was_taken_in_else_when_the_broker_got_it() -> None:
    survey, feedback = sample("07"), sample("11", receivedAt="2026-03-02T12:31:00Z")
    assert (read(feedback).occurred_at, read(feedback).occurred_at_origin) == ("2026-03-02T12:30:00Z", "native")
    untimed = sample("11", receivedAt="2026-03-02T12:31:00Z", data={"createdAt": ...})
    assert (read(untimed).occurred_at, read(untimed).occurred_at_origin) == ("2026-03-02T12:31:00Z", "receipt")
    assert read(survey).occurred_at_origin == "receipt"
    assert read(sample("07", receivedAt=...)).occurred_at_origin == "broker"


def test_a_surveys_id_does_not_depend_on_when_it_was_taken_in() -> None:
    assert sent(sample("07", receivedAt="2027-01-01T00:00:00Z"))["messageId"] == sent(sample("07"))["messageId"]


@pytest.mark.parametrize("username", [None, ...])
def test_a_person_without_username_goes_by_the_pages_anonymous_id(username: Any) -> None:
    """Never by the e-mail address: it may be shared, and it may change."""
    document = sample("07", anonymousId="anon-1", data={"authorUsername": username})
    body = sent(document)
    assert "userId" not in body
    assert body["anonymousId"] == "anon-1"
    assert end_of(sample("07", data={"authorUsername": username})) == Filtered(FilterReason.NO_IDENTITY)


@pytest.mark.parametrize("place", ["user", "anonymousId", "authorUsername"])
def test_an_empty_id_is_a_fault(place: str) -> None:
    changed: dict[str, dict[str, Any]] = {
        "user": sample("01", user={"username": ""}),
        "anonymousId": sample("01", anonymousId=""),
        "authorUsername": sample("07", data={"authorUsername": ""}),
    }
    with pytest.raises(SchemaError, match="expected a non-empty string, an integer or null, found an empty string"):
        end_of(changed[place])


def test_ids_that_are_numbers_become_strings_and_their_numbers_are_kept() -> None:
    document = sample("01", user={"username": 42, "email": None}, anonymousId=7, projectCode=9)
    body = sent(document)
    assert (body["userId"], body["anonymousId"]) == ("42", "7")
    assert extra_of(document) == {"user": {"username": 42, "email": None}, "anonymousId": 7, "projectCode": 9}


def test_everything_else_that_a_user_has_is_a_trait() -> None:
    """Whatever the key is called: a customer may choose an odd one."""
    user = {"username": "u", "": 1, "name": "n", "props": {}}
    assert read(sample("01", user=user)).subject["traits"] == {"": 1, "name": "n", "props": {}}


def test_traits_are_sent_where_they_are_enabled() -> None:
    plain = sent(sample("01"))
    traits = sent(sample("01"), traits=True)["context"].pop("traits")
    assert traits["email"] == "respondent.1@example.com"
    assert traits["props"]["plan"] == "Enterprise"
    assert "username" not in traits
    assert sent(sample("01"), traits=True)["messageId"] == plain["messageId"]
    assert sent(sample("11"), traits=True)["context"]["traits"] == {
        "email": "respondent.1@example.com",
        "name": "Test Respondent",
        "plan": "Enterprise",
        "role": "admin",
    }


def test_the_data_of_an_event_are_its_properties_unchanged() -> None:
    data = {"id": 1.5, "list": [None, {}], "": "", "nested": {"é": "e\u0301"}}
    assert sent({**sample("04"), "data": data})["properties"] == data


def test_an_event_without_data_has_no_properties() -> None:
    document = sample("04")
    del document["data"]
    assert sent(document)["properties"] == {}


@pytest.mark.parametrize(
    ("question_type", "answer"),
    [
        ("nps", 0), ("nps", None), ("scale", -3), ("emo", "👩‍💻"), ("txt", ""), ("ltxt", "a\nb"), ("rbtn", "a"),
        ("chk", []), ("stat", None), ("new", {"a": 1}), (None, 1),
    ],
)  # fmt: skip
def test_answers_of_the_right_shape_pass_unchanged(question_type: str | None, answer: Any) -> None:
    given = {"questionId": "q", "questionType": question_type, "answer": answer}
    [written] = sent(sample("07", data={"answers": [given]}))["properties"]["answers"]
    assert written == {key: value for key, value in given.items() if key != "questionType" or value is not None}


@pytest.mark.parametrize(
    ("question_type", "answer"),
    [
        ("nps", 11), ("nps", True), ("scale", "1"), ("emo", 1), ("txt", ["a"]), ("rbtn", 1), ("chk", "a"), ("chk", [1]),
        ("stat", "a"),
    ],
)  # fmt: skip
def test_answers_of_the_wrong_shape_are_refused(question_type: str, answer: Any) -> None:
    given = {"questionId": "q", "questionType": question_type, "answer": answer}
    with pytest.raises(SchemaError, match=r"^/data/answers/0/answer"):
        end_of(sample("07", data={"answers": [given]}))


@pytest.mark.parametrize("question_type", ["nps", "scale", "emo", "txt", "ltxt", "rbtn", "chk", "new", None, ...])
def test_a_question_left_open_never_loses_the_response(question_type: Any) -> None:
    """The other answers arrive, and this one as null: also its id is that of an answer that says null."""
    answered = {"questionId": "p", "questionType": "nps", "answer": 9}
    left_open = {"questionId": "q", "questionType": question_type}
    left_open = {key: value for key, value in left_open.items() if value is not ...}
    body = sent(sample("07", data={"answers": [answered, left_open]}))
    assert body == sent(sample("07", data={"answers": [answered, {**left_open, "answer": None}]}))
    written = {key: value for key, value in left_open.items() if value is not None}
    assert body["properties"]["answers"] == [answered, {**written, "answer": None}]


def test_a_message_without_answer_stays_without() -> None:
    [written] = sent(sample("07", data={"answers": [{"questionId": "q", "questionType": "stat"}]}))["properties"][
        "answers"
    ]
    assert written == {"questionId": "q", "questionType": "stat"}


def test_unknown_keys_are_kept_in_their_places_and_do_not_reach_segment() -> None:
    answers = [{"questionId": "q", "questionType": "txt", "answer": "a", "seconds": 3, "other": None}]
    survey = sample("07", workspace="w", data={"answers": answers, "language": "cs"})
    event = read(survey)
    assert extra_of(survey) == {"workspace": "w", "data": {"language": "cs"}}
    assert event.answers is not None
    assert event.answers[0]["extra"] == {"seconds": 3, "other": None}
    [written] = sent(survey)["properties"]["answers"]
    assert written == {"questionId": "q", "questionType": "txt", "answer": "a"}
    page = {"url": "https://example.com", "theme": "dark"}
    assert extra_of(sample("01", page=page)) == {"page": {"theme": "dark"}}
    assert sent(sample("01", page=page))["context"]["page"] == {"url": "https://example.com"}


def test_a_browsers_surroundings_stay_in_the_event_and_only_its_page_is_sent() -> None:
    assert extra_of(sample("11"))["data"]["environmentInfo"]["browser"] == "Chrome"
    assert sent(sample("11"))["context"]["page"] == {"url": "https://app.example.com/dashboard"}
    assert "page" not in sent(sample("11", data={"environmentInfo": None}))["context"]
