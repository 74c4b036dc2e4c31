"""Statuses of several instances as one picture, from documents as `/status` gives them."""

import dataclasses
import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from streamer.core.model import DeadLetterReason
from streamer.core.watching import Board, Look, board_of
from streamer.status.document import document_of
from tests.page import stories
from tests.page.stories import Story

HERE = "unix:/state/streamer.sock"
THERE = "http://10.0.0.5:8080"


def document(story: Story, *, ago: float = 0.0) -> dict[str, Any]:
    """Of ``/status``, as it comes over HTTP."""
    now, monotonic_now = time.time() - ago, time.monotonic() - ago
    told: dict[str, Any] = json.loads(json.dumps(document_of(story.told, now=now, monotonic_now=monotonic_now)))
    return told


def later(story: Story, told: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The document some seconds after ``told``, by the clock of the instance."""
    after = document(story)
    after["time"] = (datetime.fromisoformat(told["time"]) + timedelta(seconds=seconds)).isoformat()
    return after


def board(*documents: dict[str, Any] | None, before: dict[str, Any] | None = None) -> Board:
    looks = [
        Look.of(f"{HERE}{place}" if place else HERE, document, "" if document else "no program listens there")
        for place, document in enumerate(documents)
    ]
    return board_of([] if before is None else [Look.of(HERE, before)], looks)


def test_rates_come_from_two_looks() -> None:
    story = stories.well()
    before = document(story)
    account = story.told.integrations[0].partitions[0].account
    account.consumed += 500
    account.delivered += 400
    account.dead_lettered[DeadLetterReason.TOO_LARGE] += 2
    story.told.destinations[0].requests.update({"200": 50, "201": 5, "429": 10, "timeout": 1})
    told = board(later(story, before, 5.0), before=before)
    sprig, _, feedback = told.integrations
    assert sprig.in_per_second == pytest.approx(100)
    assert sprig.out_per_second == pytest.approx(80.4)
    assert sprig.dead_letters_per_minute == pytest.approx(24)
    assert (feedback.in_per_second, feedback.out_per_second) == (0, 0)
    [production] = told.destinations
    assert production.answers_per_second == pytest.approx({"2xx": 11, "4xx": 2, "fault": 0.2})


def test_one_look_knows_no_rate() -> None:
    told = board(document(stories.well()))
    assert {row.in_per_second for row in told.integrations} == {None}
    assert told.destinations[0].answers_per_second is None


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_a_clock_that_stands_or_was_set_gives_no_rate(seconds: float) -> None:
    story = stories.well()
    before = document(story)
    assert board(later(story, before, seconds), before=before).integrations[0].in_per_second is None


def test_another_process_at_the_same_address_gives_no_rate() -> None:
    """Its counters began anew."""
    story = stories.well()
    before = document(story)
    story.change(started_at=story.told.started_at + 60)
    assert board(later(story, before, 5.0), before=before).integrations[0].in_per_second is None


def test_figures_of_one_instance() -> None:
    story = stories.held()
    told = board(document(story))
    assert told.level == "act"
    assert told.headline.startswith("production (used by sprig")
    sprig = told.integrations[0]
    assert (sprig.state, sprig.lag, sprig.parked, sprig.limited_by) == ("running", 12_430, 0, "held")
    assert sprig.eta_seconds == pytest.approx(12_430 / 80, abs=1)
    [production] = told.destinations
    assert (production.state, production.in_flight, production.limit) == ("held", 0, 16)
    assert production.reason.startswith("401 Check write_key")
    assert production.next_probe_at == pytest.approx(time.time() + 17, abs=10)
    [instance] = told.instances
    assert (instance.name, instance.level, instance.partitions) == ("web-7, process 4711", "act", 6)


def test_several_instances_are_added_and_the_most_urgent_counts() -> None:
    held, well = document(stories.held()), document(stories.well())
    well["instance"] = "web-8, process 1"
    told = board(well, held)
    assert told.headline.startswith("web-7, process 4711: production")
    [production] = told.destinations
    assert (production.state, production.limit) == ("held", 32)
    assert told.integrations[0].lag == 12_430
    assert [row.level for row in told.instances] == ["well", "act"]


def test_a_sum_is_not_known_if_a_part_is_not() -> None:
    told = board(document(stories.silent_kafka()), document(stories.well()))
    assert told.integrations[0].lag is None
    assert told.integrations[0].reason.startswith("no broker has answered since")


def test_all_well_is_said_once() -> None:
    told = board(document(stories.well()), document(stories.well()))
    assert told.headline == "All 3 integrations deliver. Nothing is at risk."


def test_an_instance_that_does_not_answer_is_shown_as_such() -> None:
    told = board(document(stories.well()), None)
    assert (told.level, told.is_answered) == ("watch", True)
    assert told.headline == (
        "1 of 2 instances does not answer. From the others: All 3 integrations deliver. Nothing is at risk."
    )
    assert told.instances[1].error == "no program listens there"


def test_no_answer_at_all_is_not_well() -> None:
    told = board(None, None)
    assert (told.level, told.is_answered) == ("act", False)
    assert told.headline.startswith("No instance answers.")


@pytest.mark.parametrize("told", [[], "text", 5, {"version": "9"}, {"integrations": {"sprig": {}}}])
def test_what_is_no_status_is_an_error_and_no_crash(told: Any) -> None:
    look = Look.of(HERE, told)
    assert look.seen is None
    assert look.error == "its /status has another form than this version knows"


@pytest.mark.parametrize("tell", [stories.guarded, stories.paused, stories.with_way_back, stories.many_partitions])
def test_every_story_can_be_told(tell: Any) -> None:
    told = board(document(tell()))
    names = [row.name for row in told.integrations]
    assert names[:3] == list(stories.INTEGRATIONS)
    assert ("inbound" in names) is (tell is stories.with_way_back)


def test_why_an_integration_stands_is_told() -> None:
    reasons = {row.name: row.reason for row in board(document(stories.guarded())).integrations}
    assert reasons["feedback"] == "20 of 20 records would become dead letters: schema_invalid"
    paused = document(stories.paused())
    paused["integrations"]["product-fruits"]["pause"] = {"by": "ana@ops", "reason": "release", "until": "22:00"}
    assert board(paused).integrations[1].reason == "by ana@ops until 22:00: release"


def test_an_integration_that_only_one_instance_knows_is_shown() -> None:
    """While a changed configuration is rolled out."""
    story = stories.well()
    more = dataclasses.replace(story.told.integrations[0], name="new")
    story.change(integrations=[*story.told.integrations, more])
    told = board(document(stories.well()), document(story))
    assert [row.name for row in told.integrations] == [*stories.INTEGRATIONS, "new"]
