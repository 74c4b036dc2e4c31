"""What the verdict of a soak says about lines of the logs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from streamer.logs import Event
from tests.faults.cluster_faults import NO_LEADER, RIGHT_TAKEN, UNREADABLE_RECORDS
from tests.faults.log_rules import ANSWERS_OF_401, EXPLAINED, NEVER, SLACK_SECONDS, Round, unexplained
from tests.faults.mixed_faults import ANSWERS

ROUNDS = [
    Round(frozenset({"403 for some events"}), 100.0, 110.0),
    Round(frozenset({NO_LEADER, "guest joins"}), 110.0, 120.0),
    Round(frozenset({ANSWERS_OF_401}), 130.0, 140.0),
]


def line(event: Event, at: float, **fields: Any) -> dict[str, Any]:
    timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"event_name": event.event_name, "timestamp": timestamp, **fields}


@pytest.mark.parametrize("event", NEVER)
def test_some_lines_have_no_excuse(event: Event) -> None:
    lines = [line(event, 115.0), line(event, 500.0, suppressed=3)]
    assert unexplained(lines, ROUNDS) == [f"{event.event_name} was logged, 2 times"]


@pytest.mark.parametrize(
    ("event", "at"),
    [
        (Event.PARTITION_LEFT_OUT, 110.0 - SLACK_SECONDS),
        (Event.PARTITION_LEFT_OUT, 120.0 + SLACK_SECONDS),
        (Event.DESTINATION_HELD, 131.0),
        (Event.BATCH_SPLIT, 500.0),
    ],
)
def test_a_line_in_a_round_of_a_fault_that_explains_it_is_allowed(event: Event, at: float) -> None:
    assert unexplained([line(event, at)], ROUNDS) == []


@pytest.mark.parametrize(
    ("event", "at", "told"),
    [
        (Event.DESTINATION_HELD, 105.0, "destination.held was logged in a round of ['403 for some events'], 1 times"),
        (Event.PARTITION_LEFT_OUT, 125.0, "partition.left_out was logged in a round of nothing, 1 times"),
        (Event.RECORDS_UNREADABLE, 135.0, "records.unreadable was logged in a round of ['answers of 401'], 1 times"),
    ],
)
def test_the_same_line_in_another_round_is_a_violation(event: Event, at: float, told: str) -> None:
    assert unexplained([line(event, at)], ROUNDS) == [told]


def test_a_line_that_counts_others_says_nothing_of_its_own_time() -> None:
    assert unexplained([line(Event.DESTINATION_HELD, 500.0, suppressed=3)], ROUNDS) == []


def test_the_rules_call_faults_by_the_names_under_which_they_are_drawn() -> None:
    assert ANSWERS_OF_401 in ANSWERS
    assert {RIGHT_TAKEN, UNREADABLE_RECORDS} <= set().union(*EXPLAINED.values())
