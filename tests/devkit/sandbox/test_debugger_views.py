"""What the debugger shows, as text: searches, coloured JSON, rows, one call, and what stands around them."""

import html
import re
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.devkit.sandbox.answers import MAX_BATCH_CALLS, SUCCESS, Judgement
from streamer.devkit.sandbox.debugger.call_views import show_call, show_rows
from streamer.devkit.sandbox.debugger.finding import MAX_ROWS, find, find_one
from streamer.devkit.sandbox.debugger.json_view import show_json
from streamer.devkit.sandbox.debugger.markup import duration, name, rate, text
from streamer.devkit.sandbox.debugger.panels import show_chart, show_running, show_swallowed
from streamer.devkit.sandbox.debugger.presets import PRESETS, describe
from streamer.devkit.sandbox.debugger.query import MAX_TEXT, Query, QueryError
from streamer.devkit.sandbox.discards import Discard
from streamer.devkit.sandbox.explained import EXPLAINED
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.rates import NONE, Tally
from streamer.devkit.sandbox.record import KEPT_CALLS, SandboxRecord, Verdict
from streamer.devkit.sandbox.sources import Source

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXT, parts, max_size=4),
    max_leaves=12,
)
HOSTILE = "<script>alert(1)</script>\"'&amp;\u202e\x00$rows"


def read(shown: str) -> str:
    """The text of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", shown))


def record_of(*calls: dict[str, Any], discards: list[Discard | None] | None = None) -> SandboxRecord:
    record = SandboxRecord()
    judgement = Judgement(reply=SUCCESS, discards=discards or [None] * len(calls))
    record.receive("/v1/batch", list(calls), judgement, "200", 1_741_064_769.5)
    return record


def found(record: SandboxRecord, **query: str) -> list[str | None]:
    return [call.kept.entry.message_id for call in find(record, Query.of(query)).calls]


def track(message_id: str, **members: Any) -> dict[str, Any]:
    return {"type": "track", "messageId": message_id, "userId": "u", "event": "e", **members}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(value=JSON)
def test_shown_json_is_the_same_json_and_nothing_in_it_is_markup(value: Any) -> None:
    shown = show_json(value)
    assert orjson.loads(read(shown)) == value
    assert set(re.findall(r"<[^>]*>", shown)) <= {"</span>"} | {
        f'<span class="{kind}">' for kind in ("key", "string", "string one", "number", "word", "empty")
    }


def test_the_deepest_json_that_can_be_kept_is_shown() -> None:
    value = orjson.loads("[" * 254 + "]" * 254)
    assert read(show_json(value)).count("[") == 254


def test_what_turns_the_direction_of_writing_is_shown_and_not_obeyed() -> None:
    assert text("a\u202eb\u200b\x07") == r"a\u202eb\u200b\u0007"
    assert r"\u202e" in show_json("\u202e")


def test_names_break_after_punctuation_only() -> None:
    assert name("surveys.product_fruits-v1") == "surveys.<wbr>product_<wbr>fruits-<wbr>v1"


def test_numbers_are_for_readers() -> None:
    assert (rate(0), rate(9.94), rate(1234.5)) == ("0.0", "9.9", "1,234")
    assert (duration(-1), duration(59.6), duration(125)) == ("0 s", "1 min", "2 min 5 s")


RECORD = record_of(
    track("pf_1", userId="Anna"),
    track("sprig_2", event="Survey Shown", anonymousId="ann-device", userId=None),
    {"type": "identify", "userId": 17, "messageId": "pf_3"},
    track("pf_1"),
)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["pf_1", "pf_3", "sprig_2", "pf_1"]),
        ({"message_id": "PF_"}, ["pf_1", "pf_3", "pf_1"]),
        ({"user": "ann"}, ["sprig_2", "pf_1"]),
        ({"user": "17"}, ["pf_3"]),
        ({"event": " shown "}, ["sprig_2"]),
        ({"event": "identify"}, ["pf_3"]),
        ({"verdict": "duplicate"}, ["pf_1"]),
        ({"verdict": "accepted", "user": "anna"}, ["pf_1"]),
        ({"event": "no such event"}, []),
        ({"other": "x"}, ["pf_1", "pf_3", "sprig_2", "pf_1"]),
    ],
)
def test_a_search_finds(query: dict[str, str], ids: list[str]) -> None:
    assert found(RECORD, **query) == ids


@pytest.mark.parametrize("query", [{"verdict": "lost"}, {"user": "x" * (MAX_TEXT + 1)}])
def test_a_search_that_cannot_be_meant_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(QueryError):
        Query.of(query)


def test_calls_that_are_no_objects_and_bodies_that_are_not_kept_are_found_too() -> None:
    record = SandboxRecord()
    calls = [7, {"messageId": "big", "event": "x" * 32_000}, {"event": ["e"], "userId": {"a": 1}}]
    record.receive("/v1/batch", calls, Judgement(reply=SUCCESS, discards=[Discard.BAD_REQUEST] * 3), "200", 0)
    found_calls = find(record, Query())
    assert len(found_calls.calls) == 3
    rows = show_rows(found_calls, Query())
    assert "(too large, not kept)" in rows
    assert find(record, Query(user="'a': 1")).matches == 1
    for call in found_calls.calls:
        assert "swallowed" in show_call(call, [], Query(), 0)


def test_the_list_is_bounded_and_says_what_it_leaves_out() -> None:
    record = record_of(*(track(f"m-{number}") for number in range(KEPT_CALLS + 30)))
    result = find(record, Query())
    rows = show_rows(result, Query())
    assert rows.count("<tr data-id") == MAX_ROWS
    assert "800 more came before these" in rows
    assert "30 more came too fast" in rows
    assert find(record, Query(), after=KEPT_CALLS + 28).missed == 0


def test_an_id_names_one_call_for_good() -> None:
    record = record_of(track("a"), track("b"))
    call_id = find(record, Query()).calls[1].id
    opened = find_one(record, call_id)
    assert opened is not None
    assert opened.kept.entry.message_id == "a"
    record.clear()
    record.receive("/v1/batch", [track("c")], Judgement(reply=SUCCESS, discards=[None]), "200", 0)
    assert find_one(record, call_id) is None


@pytest.mark.parametrize("call_id", ["", "x", ".", "a.b", "a.-1", "a.²", f"a.{'9' * 100}", "<b>.1"])
def test_an_id_that_is_none_finds_nothing(call_id: str) -> None:
    assert find_one(RECORD, call_id) is None


def test_nothing_that_a_call_says_is_markup() -> None:
    record = record_of(track(HOSTILE, event=HOSTILE, userId=HOSTILE, properties={HOSTILE: HOSTILE}))
    query = Query(event=HOSTILE[:20], user=HOSTILE[:20])
    result = find(record, query)
    source = Source(topic=HOSTILE, partition=0, offset=1, value={HOSTILE: HOSTILE})
    for shown in (show_rows(result, query), show_call(result.calls[0], [source], query, 1)):
        assert "alert(1)" in shown
        assert not re.search(r"<script|\u202e|\x00|alert\(1\)<", shown)
        assert not re.search(r"""="[^"]*["']alert""", shown)


def test_a_call_stands_beside_its_records() -> None:
    call = find(RECORD, Query(message_id="sprig")).calls[0]
    assert "a call does not say which record" in show_call(call, [], Query(), 1)
    shown = show_call(
        call, [Source(topic="surveys.sprig", partition=3, offset=n, value={"n": n}) for n in (41, 42)], Query(), 2
    )
    read_text = read(shown)
    assert "2 records were told for this messageId" in read_text
    assert read_text.index("offset42") < read_text.index("offset41")
    assert "topicsurveys.sprigpartition3" in read_text
    assert "2 calls with this messageId got a 2xx" in read_text


def test_a_call_that_is_gone_says_so() -> None:
    assert "latest 1,000 calls" in show_call(None, [], Query(), 0)


@pytest.mark.parametrize("code", Discard)
def test_every_code_is_explained_where_it_is_met(code: Discard) -> None:
    explained = EXPLAINED[code]
    assert all(part.endswith(".") for part in explained)
    shown = show_swallowed(Counter({code: 3}), Counter())
    before, _, others = shown.partition("<details>")
    assert f"<code>{code}</code> 3 calls" in before
    assert text(explained.remedy) in before
    assert f"<code>{code}</code>" not in others
    assert all(f"<code>{other}</code>" in others for other in Discard if other is not code)


def test_a_swallowed_call_says_why_and_what_to_do() -> None:
    record = record_of(track("a", userId=None), discards=[Discard.NO_USER_ANON_ID])
    shown = read(show_call(find(record, Query()).calls[0], [], Query(), 0))
    assert "no_user_anon_id The call has neither userId nor anonymousId." in shown
    assert "What to do: Set userId" in shown


def test_the_chart_stacks_each_second_to_its_share() -> None:
    shown = show_chart([NONE] * 58 + [Tally(accepted=30, refused=10), Tally(accepted=20)])
    assert "the most were 40" in shown
    bars = re.findall(r'class="(\w+)" x="(\d+)" y="([\d.]+)" width="4" height="([\d.]+)"', shown)
    assert bars == [
        ("accepted", "290", "10.00", "30.00"),
        ("refused", "290", "0.00", "10.00"),
        ("accepted", "295", "20.00", "20.00"),
    ]
    assert "<rect" not in show_chart([NONE] * 60)


def test_a_running_fault_says_since_when_how_often_and_until_when() -> None:
    now = 100.0
    script = FaultScript(clock=lambda: now)
    preset = PRESETS["429"]
    script.play(Fault(action=preset.action, match=preset.match, for_seconds=30))
    now = 112.0
    script.decide("/v1/batch", [])
    shown = read(show_running(script.running))
    assert "answers 429, sends Retry-After: 5since 12 s, hit 1 request, ends in 18 s" in shown
    assert "answers as Segment does" in show_running([])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(action=Action()), "answers as usual"),
        (Fault(action=Action(latency_seconds=0.02, cut_body=True)), "waits 0.02 s, takes the calls and cuts"),
        (
            Fault(action=Action(reset=True), match=Match(path="/v1/batch", every=3)),
            "to /v1/batch, 1 of every 3 of them",
        ),
        (Fault(action=Action(status=400), match=Match(marked="refuse")), 'with properties.sandbox = "refuse"'),
        (Fault(action=Action(status=400), match=Match(message_ids=frozenset("ab"))), "with one of 2 messageIds"),
    ],
)
def test_a_fault_in_words(fault: Fault, words: str) -> None:
    assert words in describe(fault)


def test_texts_name_the_limits_of_the_sandbox() -> None:
    assert f"{MAX_BATCH_CALLS:,}" in EXPLAINED[Discard.TOO_MANY_CALLS].what
    assert set(Verdict) == {"accepted", "duplicate", "swallowed", "refused"}
