"""What follows from what was found out about a write key, without anybody being asked."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.key_watch import MAX_UNCLEAR_SECONDS, RECHECK_SECONDS, KeyFinding, KeyWatch

KNOWN, UNKNOWN, WRONG_REGION, UNCLEAR = KeyFinding
WRONG = (UNKNOWN, WRONG_REGION)
MAX_WRONG_SECONDS = 30.0
NEW_KEY = "new key"


def new_watch() -> KeyWatch:
    return KeyWatch(max_wrong_seconds=MAX_WRONG_SECONDS)


def waits(watch: KeyWatch, finding: KeyFinding, times: int) -> list[float]:
    """What it waits after the same finding again and again."""
    seconds = []
    for _ in range(times):
        watch.learn(finding)
        seconds.append(watch.wait_seconds)
    return seconds


def test_nothing_may_be_sent_before_the_first_finding() -> None:
    watch = new_watch()
    assert watch.bar == ""
    assert not watch.is_wrong


def test_a_known_key_opens_and_is_asked_about_hourly() -> None:
    assert waits(watch := new_watch(), KNOWN, 3) == [RECHECK_SECONDS] * 3
    assert watch.bar is None


@pytest.mark.parametrize("finding", WRONG)
def test_a_wrong_key_bars_and_is_asked_about_as_a_held_destination_is_probed(finding: KeyFinding) -> None:
    assert waits(watch := new_watch(), finding, 7) == [1, 2, 4, 8, 16, 30, 30]
    assert watch.bar == finding.value


def test_a_question_without_an_answer_lets_calls_go_and_is_repeated_before_an_hour_has_passed() -> None:
    """At the start Segment may be away for a second; a wrong key must not wait an hour for the next question."""
    seconds = waits(watch := new_watch(), UNCLEAR, 12)
    assert (seconds[:3], seconds[-1]) == ([1, 2, 4], MAX_UNCLEAR_SECONDS)
    assert watch.bar is None


def test_a_wrong_key_stays_wrong_while_nobody_can_be_asked() -> None:
    watch = new_watch()
    watch.learn(UNKNOWN)
    assert max(waits(watch, UNCLEAR, 20)) == MAX_WRONG_SECONDS
    assert watch.bar == UNKNOWN


def test_another_key_is_new_to_it() -> None:
    """It keeps the reason until it knows more, so that nobody is told that the destination was well in between."""
    watch = new_watch()
    watch.learn(UNKNOWN)
    watch.key_changed()
    assert watch.bar == UNKNOWN
    watch.learn(UNCLEAR)
    assert watch.bar is None
    watch.key_changed()
    assert watch.bar == ""


def test_a_key_is_unverified_only_while_calls_go_out_with_it() -> None:
    watch = new_watch()
    assert not watch.is_unverified
    seen = []
    for finding in (UNCLEAR, UNCLEAR, KNOWN, UNCLEAR, UNKNOWN, UNCLEAR):
        watch.learn(finding)
        seen.append(watch.is_unverified)
    assert seen == [True, True, False, True, False, False]
    watch.key_changed()
    assert not watch.is_unverified
    watch.learn(UNCLEAR)
    assert watch.is_unverified


@given(st.lists(st.sampled_from([*KeyFinding, NEW_KEY])))
def test_it_bars_exactly_while_the_last_clear_finding_about_the_key_was_bad(steps: Sequence[str]) -> None:
    watch = new_watch()
    about_key: list[str] = []
    for step in steps:
        if step == NEW_KEY:
            watch.key_changed()
            about_key.clear()
        else:
            watch.learn(KeyFinding(step))
            about_key.append(step)
        clear = [finding for finding in about_key if finding != UNCLEAR]
        if not about_key:
            assert watch.bar is not None
        elif clear and clear[-1] in WRONG:
            assert watch.bar == clear[-1]
        else:
            assert watch.bar is None
        assert 1 <= watch.wait_seconds <= RECHECK_SECONDS
