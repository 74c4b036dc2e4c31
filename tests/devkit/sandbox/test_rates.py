"""Rates: calls by second, for a minute."""

from streamer.devkit.sandbox.rates import NONE, WINDOW_SECONDS, Rates, Tally


def test_calls_of_a_second_add_up() -> None:
    rates = Rates()
    rates.note(100.0, Tally(accepted=2))
    rates.note(100.9, Tally(accepted=1, refused=4))
    assert rates.by_second(101.0)[-1] == Tally(accepted=3, refused=4)


def test_the_running_second_is_left_out_and_the_window_is_whole() -> None:
    rates = Rates()
    rates.note(100.0, Tally(accepted=1))
    assert rates.by_second(100.5) == [NONE] * WINDOW_SECONDS
    assert rates.by_second(100.0 + WINDOW_SECONDS)[0] == Tally(accepted=1)
    assert rates.by_second(101.0 + WINDOW_SECONDS) == [NONE] * WINDOW_SECONDS


def test_a_clock_that_is_set_back_loses_no_memory_bound() -> None:
    rates = Rates()
    for second in (*range(1_000, 2_000), *range(1_000)):
        rates.note(second, Tally(accepted=1))
    assert rates.by_second(1_000) == [Tally(accepted=1)] * WINDOW_SECONDS
