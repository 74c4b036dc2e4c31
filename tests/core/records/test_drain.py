"""When the lag will be worked off, at the rate of the last minute."""

import pytest

from streamer.core.records.drain import SAMPLE_SECONDS, Drain


def settled(*numbers: int) -> Drain:
    """So many records settled in all, every five seconds."""
    drain = Drain()
    for at, number in enumerate(numbers):
        assert drain.is_due(at * SAMPLE_SECONDS)
        drain.note({"surveys": number}, at * SAMPLE_SECONDS)
    return drain


def test_it_follows_the_rate() -> None:
    assert settled(0, 50, 100).seconds({"surveys": 200}) == {"surveys": pytest.approx(20.0)}


def test_it_forgets_what_is_older_than_a_minute() -> None:
    drain = settled(0, *[1_000] * 12)
    assert drain.seconds({"surveys": 100}) == {"surveys": pytest.approx(6.0)}
    drain.note({"surveys": 1_000}, 13 * SAMPLE_SECONDS)
    assert drain.seconds({"surveys": 100}) == {}, "nothing in the last minute"


def test_where_nothing_waits_it_is_0_whatever_the_rate() -> None:
    assert Drain().seconds({"surveys": 0}) == settled(5, 5).seconds({"surveys": 0}) == {"surveys": 0.0}


def test_what_is_not_known_is_not_said() -> None:
    drain = settled(0, 50)
    assert drain.seconds({"surveys": None, "other": 7}) == {}
    assert settled(5).seconds({"surveys": 7}) == {}, "one sample is no rate"


def test_samples_are_taken_some_seconds_apart() -> None:
    drain = settled(0)
    assert not drain.is_due(SAMPLE_SECONDS - 0.1)
    assert drain.is_due(SAMPLE_SECONDS)
