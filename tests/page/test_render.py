"""What the page says, without a browser and without HTTP: rendering is a function of a snapshot and a moment."""

import argparse
import shlex
import time
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamer.cli import dlq
from streamer.page import sections
from streamer.page.charts import HEIGHT, WIDTH, charts, path
from streamer.page.document import document
from streamer.page.faults import commands
from streamer.page.figures import duration_words, latency_words, moment, rate_words
from streamer.page.markup import element, joined
from streamer.page.partitions import MAX_PARTITIONS
from streamer.page.sections import sections_of
from streamer.page.view import View
from streamer.status import RecentLetter
from tests.page import stories
from tests.page.reading import Element, read
from tests.page.stories import HOSTILE, Story

MAX_PAGE_BYTES = 150_000


def look(story: Story) -> tuple[View, Element]:
    view = View.of(story.told, now=time.time(), monotonic_now=time.monotonic())
    return view, read(document(view, sections_of(view)))


def row(page: Element, section: str, key: str) -> Element:
    return page.one(id=section).one(data_key=key)


ALL = [
    stories.well,
    stories.held,
    stories.backing_off,
    stories.guarded,
    stories.paused,
    stories.silent_kafka,
    stories.many_partitions,
    stories.with_way_back,
]


@pytest.mark.parametrize("tell", ALL)
def test_the_first_line_is_the_verdict(tell: stories.Tell) -> None:
    view, page = look(tell())
    assert page.one("h1").text == view.verdict.headline
    assert page.one("html").attributes["data-level"] == view.verdict.level


@pytest.mark.parametrize("tell", ALL)
def test_every_section_can_be_shown(tell: stories.Tell) -> None:
    with capture_logs() as lines:
        _, page = look(tell())
    assert lines == []
    assert "cannot be shown" not in page.text


def test_a_row_says_what_an_integration_does() -> None:
    _, page = look(stories.well())
    sprig = row(page, "integrations", "sprig")
    assert "Running" in sprig.one(data_label="State").text
    assert sprig.one(data_label="Lag, records").number() == 0
    assert sprig.one(data_label="In per second").number() > 0
    assert sprig.one(data_label="Until retention").text == "6 days"
    assert "adds up" in sprig.text


def test_a_held_destination_is_told_in_the_rows_of_its_integrations() -> None:
    _, page = look(stories.held())
    sprig = row(page, "integrations", "sprig")
    assert "Held" in sprig.one(data_label="State").text
    assert "wrong write key" in sprig.one(data_label="State").text
    assert stories.HELD_NEXT_STEP in sprig.text
    production = row(page, "destinations", "production")
    assert "wrong write key 401" in production.one(data_label="State").text
    assert production.one(data_label="Next probe").text.startswith("in 1")
    assert production.one("li", data_key="401").text == "401 × 12"  # noqa: RUF001


@pytest.mark.parametrize(
    ("tell", "integration", "word"),
    [
        (stories.backing_off, "sprig", "Backing off"),
        (stories.guarded, "feedback", "Guarded"),
        (stories.paused, "product-fruits", "Paused"),
        (stories.silent_kafka, "sprig", "No broker answers"),
    ],
)
def test_a_state_is_a_word_and_since_when(tell: stories.Tell, integration: str, word: str) -> None:
    _, page = look(tell())
    state = row(page, "integrations", integration).one(data_label="State")
    assert word in state.text
    assert "since" in state.text


def test_who_has_paused_an_integration_and_why_is_on_the_page() -> None:
    """The reason is what an operator typed: text, and no markup."""
    _, page = look(stories.paused())
    found = row(page, "integrations", "product-fruits").text
    assert "paused by ada@ops-1 for 3 h: <b>Segment</b> moves" in found
    assert "Do: To deliver again now: streamer resume product-fruits." in found


def test_each_row_that_waits_for_kafka_says_what_to_do() -> None:
    _, page = look(stories.silent_kafka())
    assert all("Do: Check the brokers" in row(page, "integrations", name).text for name in stories.INTEGRATIONS)


def test_what_is_not_known_is_not_0() -> None:
    _, page = look(stories.silent_kafka())
    sprig = row(page, "integrations", "sprig")
    assert [sprig.one(data_label=label).text for label in ("Lag, records", "Oldest waits")] == ["not known"] * 2


def test_an_account_that_does_not_add_up_is_a_bug_of_ours() -> None:
    story = stories.well()
    story.told.integrations[0].partitions[0].account.consumed += 3
    _, page = look(story)
    assert "out by 3: a bug in streamer" in row(page, "integrations", "sprig").text


def test_lost_records_are_told() -> None:
    story = stories.well()
    story.told.integrations[0].partitions[0].account.lost["retention"] = 7
    _, page = look(story)
    assert "7 lost: Kafka deleted them before they were read" in row(page, "integrations", "sprig").text


def test_of_very_many_partitions_those_with_a_fault_are_shown() -> None:
    _, page = look(stories.many_partitions(300))
    rows = list(page.one(id="partitions").one("tbody").all("tr"))
    assert len(rows) == MAX_PARTITIONS
    assert "surveys.sprig-150" in rows[0].text
    assert "no_leader" in rows[0].text
    assert f"{MAX_PARTITIONS} of 304" in page.one(id="partitions-title").text


def test_faults_are_grouped_and_the_newest_is_first() -> None:
    _, page = look(stories.held())
    newest, oldest = page.one(id="faults").one("ol").all("li")
    assert "12 times since" in newest.text
    assert "destination.held" in oldest.text


def test_a_dead_letter_has_all_that_leads_to_it() -> None:
    _, page = look(stories.guarded())
    text = next(page.one(id="letters").all("li")).text
    for part in ("schema_invalid", "/answers/0/score", "surveys.feedback-0", "offset 1204400", "evt_01J9A1204400"):
        assert part in text


def test_the_group_and_the_instance_are_shown() -> None:
    _, page = look(stories.well())
    assert "streamer-web-7this instance10.0.3.17" in page.one(id="groups").text
    assert "web-7, process 4711" in page.one("header").text


def test_the_way_back_is_shown_once_it_is_configured() -> None:
    assert look(stories.well())[1].one(id="way-back").children == []
    _, page = look(stories.with_way_back())
    text = page.one(id="way-back").text
    for part in ("120,433", "bad_signature × 2", "3,900 applied", "stale × 70", "email_conflict"):  # noqa: RUF001
        assert part in text


def test_commands_are_those_that_the_command_line_takes() -> None:
    parser = argparse.ArgumentParser()
    dlq.add_parser(parser.add_subparsers())
    letter = RecentLetter(1_700_000_000.0, "surveys.sprig", 3, 42, "schema_invalid", "detail", "id")
    _, ls, redrive = (shlex.split(command) for _, command in commands("sprig", letter))
    assert parser.parse_args(ls[1:]).integration == ["sprig"]
    assert parser.parse_args(redrive[1:]).reason == ["schema_invalid"]
    assert not parser.parse_args(redrive[1:]).execute


@given(name=st.text(min_size=1), topic=st.text(min_size=1))
def test_names_in_commands_are_one_word_each(name: str, topic: str) -> None:
    """What is copied into a shell runs nothing of what a name says."""
    look_up, ls, _ = commands(name, RecentLetter(1_700_000_000.0, topic, 0, 1, "schema_invalid", "", None))
    assert shlex.split(look_up[1])[4] == topic
    assert shlex.split(ls[1])[6] == name


@given(st.text())
def test_any_text_comes_out_as_text(text: str) -> None:
    [shown] = read(element("p", text, title=text or " ", data_key=text or " ")).children
    assert isinstance(shown, Element)
    assert shown.text == text
    assert shown.attributes["title"] == shown.attributes["data-key"] == (text or " ")


@given(st.lists(st.text()), st.text())
def test_texts_are_escaped_between_markup(texts: list[str], between: str) -> None:
    assert read(joined([element("b", text) for text in texts], between)).text == between.join(texts)


def test_hostile_names_are_only_text() -> None:
    """Somebody else chooses the names of topics, clients and hosts, and what is in a messageId."""
    _, page = look(stories.hostile())
    [script] = page.all("script")
    assert script.attributes["src"] == "page/page.js"
    assert list(page.all("img")) == []
    for found in page.all():
        assert not [name for name in found.attributes if name.startswith("on") or name == "style"]
    for text in HOSTILE:
        assert text in page.text


def test_style_and_script_come_from_files_only() -> None:
    """The content security policy allows no other."""
    _, page = look(stories.guarded())
    assert [script.children for script in page.all("script")] == [[]]
    assert list(page.all("style")) == []


def test_the_whole_page_is_small() -> None:
    view, _ = look(stories.many_partitions())
    static = files("streamer.page") / "static"
    own = sum(len((static / name).read_bytes()) for name in ("page.css", "page.js"))
    assert len(document(view, sections_of(view)).encode()) + own < MAX_PAGE_BYTES


def test_a_section_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_view: View) -> None:
        raise ValueError

    monkeypatch.setattr(sections, "SECTIONS", {**sections.SECTIONS, "charts": fail})
    with capture_logs() as lines:
        _, page = look(stories.well())
    assert page.one(id="charts").text == "This part cannot be shown; see the log for observer.failed."
    assert "Running" in page.one(id="integrations").text
    assert [line["event"] for line in lines] == ["observer.failed"]


def test_a_line_is_broken_where_nothing_is_known() -> None:
    now = 1_000.0
    line = path([(now - 10, 1.0), (now - 5, None), (now, 2.0)], now, 2.0)
    assert line.count("M") == 2
    assert "L" not in line


def test_points_are_placed_by_their_time() -> None:
    now = 1_000.0
    line = path([(now - 5, 0.0), (now, 4.0), (now - 5_000, 1.0)], now, 4.0)
    assert line == f"M{WIDTH - 1.5} {HEIGHT - 1}.0h.5L{WIDTH} 2.0"


def test_charts_change_with_a_new_point_and_not_in_between() -> None:
    told = stories.well(now=1_000.0).told
    first, second, third = (charts(View.of(told, now=now, monotonic_now=0.0)) for now in (1_000.1, 1_004.9, 1_005.1))
    assert first == second != third


def test_charts_say_their_last_values_in_words() -> None:
    _, page = look(stories.held())
    sprig = row(page, "charts", "charts sprig")
    lag = sprig.one("figure", data_key="Lag").one("svg", role="img")
    assert "sprig: lag in the last 15 minutes. Now 12,449 records" in (lag.attributes["aria-label"] or "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1.0, "0 s"), (0.0, "0 s"), (0.25, "250 ms"), (40.0, "40 s"), (250.0, "4 min"), (540_000.0, "6 days")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


def test_latencies_are_exact_and_rates_have_tenths_only_if_they_matter() -> None:
    assert [latency_words(bound) for bound in (0.005, 0.25, 2.5, 10.0)] == ["5 ms", "250 ms", "2.5 s", "10 s"]
    assert [rate_words(rate) for rate in (0.0, 3.21, 420.4, 12_431.0)] == ["0", "3.2", "420", "12,431"]


def test_a_moment_of_another_day_has_its_day() -> None:
    now = 1_700_000_000.0
    assert read(moment(now, now)).text == "22:13:20"
    assert read(moment(now - 86_400, now)).text == "13 Nov 22:13"
