"""Which calls a tap shows, how many, and that everything about it is bounded."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.tapping import Condition, Tap, TapRequest
from streamer.core.tapping import tap as tap_module
from streamer.core.tapping.tap import MAX_LOOKS_PER_SECOND, MAX_QUEUED_BYTES
from tests.core.tapping.calls import batch, call, new_tap

MANY = TapRequest(rate=1_000.0)


def lines_of(tap: Tap) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in tap.take().splitlines()]


def tally_of(tap: Tap) -> dict[str, int]:
    tally: dict[str, int] = orjson.loads(tap.tally())["tap"]
    return tally


def where(*conditions: str, rate: float = 1_000.0) -> Tap:
    return new_tap(TapRequest(conditions=[Condition(text) for text in conditions], rate=rate))


def ids_of(tap: Tap) -> Sequence[str]:
    return [line["messageId"] for line in lines_of(tap)]


def test_a_line_says_where_the_call_came_from_where_it_went_and_what_became_of_it() -> None:
    tap = new_tap(MANY)
    offered = batch(call(7))
    offered.records[0].failures = 2
    assert tap.offer(offered, 0.0)
    [line] = lines_of(tap)
    assert line == {
        "time": "2026-02-02T02:40:00.123Z",
        "integration": "sprig",
        "destination": "production",
        "status": 200,
        "result": "delivered",
        "duration_seconds": 0.041,
        "batch_calls": 1,
        "topic": "surveys",
        "partition": 3,
        "offset": 0,
        "messageId": "evt_7",
        "attempt": 3,
        "type": "track",
        "event": "Survey Answered",
        "call": {"userId": "string(6)", "properties": {"surveyId": "string(3)", "score": "number"}},
    }
    assert tap.take() == b"", "what was taken is gone"


def test_with_values_the_call_is_shown_as_it_is() -> None:
    tap = new_tap(TapRequest(shows_values=True))
    tap.offer(batch(call(7)), 0.0)
    assert lines_of(tap)[0]["call"] == call(7)


def test_a_request_to_another_api_is_shown_with_its_method_and_without_its_path() -> None:
    """The path of such a request has the name of a user in it."""
    tap = new_tap(MANY)
    tap.offer(
        batch({"method": "PUT", "path": "/v1/users/jane@example.com", "body": {"email": "jane@example.com"}}), 0.0
    )
    [line] = lines_of(tap)
    assert (line["type"], line["event"]) == ("PUT", None)
    assert line["call"] == {"method": "string(3)", "path": "string(26)", "body": {"email": "string(16)"}}


def test_a_tap_of_some_integrations_ignores_the_others() -> None:
    tap = new_tap(TapRequest(integrations=frozenset({"sprig"})))
    assert not tap.offer(batch(call(), integration="feedback"), 0.0)
    assert tap.offer(batch(call()), 0.0)
    assert tally_of(tap) == {"passed": 1, "shown": 1, "lost": 0, "skipped": 0}


@pytest.mark.parametrize(
    ("conditions", "matching"),
    [
        (["event=Survey*"], [0, 1, 2]),
        (["event=*Answered"], [0, 1]),
        (["event=survey*"], []),
        (["event=Survey"], []),
        (["messageId=evt_1"], [1]),
        (["userId=user-*", "properties.score=1"], [1]),
        (["properties.score=*"], [0, 1, 2]),
        (["properties=*"], []),
        (["properties.surveyId=*", "status=2*", "topic=surveys", "partition=3"], [0, 1, 2]),
        (["status=500"], []),
        (["properties.nothing=*"], []),
        (["properties.a.b=c"], [2]),
        (["properties.tags=two"], [2]),
        (["properties.isNew=true"], [2]),
        (['properties.note=[?] "x" *'], [2]),
        (['properties.note=[!] "x" *'], []),
        (["type=track"], [0, 1, 2]),
    ],
)
def test_conditions_choose(conditions: list[str], matching: list[int]) -> None:
    tap = where(*conditions)
    special = {
        "a.b": "c",
        "tags": ["one", "two"],
        "isNew": True,
        "note": '[?] "x" \u2028y',
        "score": 2,
        "surveyId": "s",
    }
    tap.offer(batch(call(0), call(1), call(2, event="Survey Seen", properties=special)), 0.0)
    assert ids_of(tap) == [f"evt_{number}" for number in matching]


@pytest.mark.parametrize("text", ["", "event", "=x", "e" * 501 + "=x", "event=\ud800"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"FIELD=GLOB|Unicode"):
        Condition(text)


@given(
    st.text(st.sampled_from('ab*"\\é\n5'), max_size=8),
    st.one_of(
        st.text(st.sampled_from('ab"\\é\n5'), max_size=8),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False),
        st.booleans(),
    ),
)
def test_the_search_for_a_literal_part_never_hides_a_match(glob: str, value: Any) -> None:
    """The bytes of a call are searched before it is decoded."""
    condition, body = Condition(f"value={glob}"), orjson.dumps({"value": value})
    if condition.matches_in(orjson.loads(body)):
        assert condition.may_match(body)


def test_no_glob_takes_long() -> None:
    """A glob is somebody's who looks, and its cost is paid by those who deliver."""
    condition = Condition("value=" + "*a" * 200 + "*b")
    assert not condition.matches("a" * 30_000)


def test_what_conditions_tell_about_values_is_known() -> None:
    def asked(text: str) -> TapRequest:
        return TapRequest(conditions=[Condition(text)])

    assert [asked(f"{field}=*").reveals_values for field in ("event", "type", "messageId", "status", "offset")] == [
        False
    ] * 5
    assert [asked(f"{field}=*").reveals_values for field in ("userId", "properties.score", "context.ip")] == [True] * 3
    assert TapRequest(shows_values=True).reveals_values


def test_so_many_lines_a_second_are_made_and_no_more() -> None:
    tap = new_tap(TapRequest(rate=10.0))
    shown = []
    for tenth in range(100):
        tap.offer(batch(*map(call, range(50))), tenth / 10)
        shown.append(len(lines_of(tap)))
    assert sum(shown[:1]) == 10, "those of the first second at once"
    assert sum(shown) == pytest.approx(10 + 99, abs=1)
    assert tally_of(tap)["passed"] == 5_000


def test_who_opens_a_tap_again_and_again_gets_no_more() -> None:
    shown = 0
    for tenth in range(10):
        tap = Tap(TapRequest(rate=10.0), tenth / 10)
        tap.offer(batch(*map(call, range(50))), tenth / 10)
        shown += len(lines_of(tap))
    assert shown == 10


def test_less_than_one_line_a_second_is_possible() -> None:
    tap = new_tap(TapRequest(rate=0.5))
    for second in range(10):
        tap.offer(batch(call()), float(second))
    assert len(lines_of(tap)) == 5


def test_a_sample_is_of_the_whole_batch() -> None:
    tap = new_tap(TapRequest(rate=10.0))
    tap.offer(batch(*map(call, range(1_000))), 0.0)
    assert [line["offset"] for line in lines_of(tap)] == list(range(0, 1_000, 100))


def test_lines_that_nobody_takes_are_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module, "MAX_QUEUED_BYTES", 2_000)
    tap = new_tap(MANY)
    for _ in range(10):
        tap.offer(batch(*map(call, range(10))), 0.0)
    tally = tally_of(tap)
    assert tally["shown"] + tally["lost"] == 100
    assert tally["lost"] > 90
    assert len(tap.take()) <= 2_000
    tap.offer(batch(call()), 1.0)
    assert len(lines_of(tap)) == 1, "there is room again"


def test_a_tap_keeps_little_memory() -> None:
    assert MAX_QUEUED_BYTES <= 1 << 20


def test_only_so_many_calls_are_decoded_a_second_and_it_says_how_many_were_not() -> None:
    """Conditions that most calls may match, and few do: each call has to be decoded."""
    tap = where("userId=9")
    calls = [call(number, userId="none", properties={"other": "9"}) for number in range(100)]
    for _ in range(50):
        tap.offer(batch(*calls), 0.0)
    assert tally_of(tap)["skipped"] == 5_000 - int(MAX_LOOKS_PER_SECOND)
    tap.offer(batch(call(1, userId="9")), 1.0)
    assert ids_of(tap) == ["evt_1"]


def test_a_rare_call_is_found_among_any_number() -> None:
    tap = where("properties.surveyId=rare")
    for start in range(0, 20_000, 1_000):
        tap.offer(batch(*map(call, range(start, start + 1_000))), 0.0)
    tap.offer(batch(call(1, properties={"surveyId": "rare"})), 0.0)
    assert ids_of(tap) == ["evt_1"]
    assert tally_of(tap)["skipped"] == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, 1_001.0, float("nan"), float("inf")])
def test_a_rate_beyond_the_limits_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        TapRequest(rate=rate)


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(ValueError, match="20 conditions"):
        TapRequest(conditions=[Condition("a=b")] * 21)
