"""What limits an integration: one answer for each situation, and the account over time."""

import itertools

import pytest

from streamer.core.delivery.limiting import RECENT_SAMPLES, Limit, LimitedTime, limited_by

OF_DESTINATION = (None, Limit.CONCURRENCY, Limit.RATE, Limit.DESTINATION, Limit.BACKING_OFF, Limit.HELD)
BOOLEANS = (False, True)


@pytest.mark.parametrize(
    ("destination", "situation", "expected"),
    [
        (None, "", Limit.FETCH),
        (None, "mapping", Limit.MAPPING),
        (None, "due", Limit.MAPPING),
        (None, "full", Limit.CONCURRENCY),
        (None, "guarded", Limit.GUARDED),
        (Limit.DESTINATION, "due", Limit.DESTINATION),
        (Limit.DESTINATION, "due full", Limit.DESTINATION),
        (Limit.CONCURRENCY, "due mapping", Limit.CONCURRENCY),
        (Limit.RATE, "due", Limit.RATE),
        (Limit.BACKING_OFF, "", Limit.BACKING_OFF),
        (Limit.HELD, "due full", Limit.HELD),
        (Limit.BACKING_OFF, "guarded", Limit.GUARDED),
        (Limit.DESTINATION, "", Limit.FETCH),
        (None, "silent", Limit.KAFKA),
        (None, "mapping silent", Limit.MAPPING),
        (None, "full silent", Limit.CONCURRENCY),
    ],
)
def test_what_limits(destination: Limit | None, situation: str, expected: Limit) -> None:
    """If all permits are in use, that limits only integrations with something to send."""
    found = limited_by(
        destination,
        is_guarded="guarded" in situation,
        is_due="due" in situation,
        is_full="full" in situation,
        is_mapping="mapping" in situation,
        is_silent="silent" in situation,
    )
    assert found is expected


def test_every_situation_has_an_answer_and_every_answer_a_situation() -> None:
    answers = {
        limited_by(destination, is_guarded=guarded, is_due=due, is_full=full, is_mapping=mapping, is_silent=silent)
        for destination in OF_DESTINATION
        for guarded, due, full, mapping, silent in itertools.product(BOOLEANS, repeat=5)
    }
    assert answers == set(Limit) - {Limit.PAUSED}, "a paused integration is not asked"


def test_time_is_counted_for_each_limit_from_the_start() -> None:
    limited = LimitedTime()
    assert limited.lately is None
    limited.add(Limit.MAPPING, 0.25)
    limited.add(Limit.FETCH, 0.5)
    limited.add(Limit.MAPPING, 0.5)
    assert limited.seconds == {**dict.fromkeys(Limit, 0.0), Limit.MAPPING: 0.75, Limit.FETCH: 0.5}
    assert limited.lately is Limit.MAPPING


def test_lately_forgets_what_is_past() -> None:
    limited = LimitedTime()
    limited.add(Limit.HELD, 3_600.0)
    for _ in range(RECENT_SAMPLES):
        limited.add(Limit.FETCH, 0.25)
    assert limited.lately is Limit.FETCH
    assert limited.seconds[Limit.HELD] == 3_600.0
