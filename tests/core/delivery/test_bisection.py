import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.delivery.bisection import Bisection


class ScriptedDestination:
    """Refuses every batch that holds a guilty call, and keeps count."""

    def __init__(self, guilty: set[int]) -> None:
        self.guilty = guilty
        self.accepted: list[int] = []
        self.requests = 0

    def run(self, bisection: Bisection[int], *, max_requests: int = 100_000) -> None:
        while (calls := bisection.next()) is not None and self.requests < max_requests:
            assert calls, "an empty batch is never sent"
            assert bisection.next() == calls, "asking twice changes nothing"
            self.requests += 1
            if self.guilty.isdisjoint(calls):
                self.accepted += calls
                bisection.accepted()
            else:
                bisection.refused()


@st.composite
def refused_batches(draw: st.DrawFn) -> tuple[int, set[int]]:
    """The size of a batch and its guilty calls, at least one."""
    size = draw(st.integers(1, 150))
    return size, draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=size))


@given(refused_batches())
def test_the_guilty_are_found_and_the_rest_is_accepted_once(batch: tuple[int, set[int]]) -> None:
    size, guilty = batch
    destination = ScriptedDestination(guilty)
    bisection = Bisection(range(size), evidence=True)
    destination.run(bisection)
    assert sorted(bisection.guilty) == sorted(guilty)
    assert sorted(destination.accepted) == sorted(set(range(size)) - guilty)
    assert bisection.outstanding() == []
    assert destination.requests <= len(guilty) * (math.ceil(math.log2(size)) + 2)


@given(refused_batches())
def test_without_evidence_one_acceptance_is_sought_first(batch: tuple[int, set[int]]) -> None:
    """As soon as one call is accepted the search is as good as with evidence; calls refused before are asked again."""
    size, guilty = batch
    destination = ScriptedDestination(guilty)
    bisection = Bisection(range(size), evidence=False)
    destination.run(bisection)
    if len(guilty) == size:
        assert bisection.guilty == []
        assert sorted(bisection.outstanding()) == list(range(size))
    else:
        assert sorted(bisection.guilty) == sorted(guilty)
        assert sorted(destination.accepted) == sorted(set(range(size)) - guilty)
        assert bisection.outstanding() == []
    assert destination.requests <= len(guilty) * (math.ceil(math.log2(size)) + 3) + 1


@pytest.mark.parametrize("guilty", range(100))
def test_one_bad_call_in_a_hundred_costs_nine_requests_at_most(guilty: int) -> None:
    destination = ScriptedDestination({guilty})
    destination.run(Bisection(range(100), evidence=True))
    assert destination.requests <= 9


@given(refused_batches(), st.integers(0, 30), st.booleans())
def test_a_search_that_is_left_loses_no_call(batch: tuple[int, set[int]], requests: int, evidence: bool) -> None:
    """The destination turned unhappy in the middle: every call is accepted, guilty or outstanding, one of the three."""
    size, guilty = batch
    destination = ScriptedDestination(guilty)
    bisection = Bisection(range(size), evidence=evidence)
    destination.run(bisection, max_requests=requests)
    assert sorted(destination.accepted + bisection.guilty + bisection.outstanding()) == list(range(size))


@given(st.integers(1, 60), st.lists(st.booleans(), max_size=2_000), st.booleans())
def test_answers_that_contradict_each_other_end_the_search_all_the_same(
    size: int, answers: list[bool], evidence: bool
) -> None:
    """A destination may change its mind, or refuse a combination. No call is guilty that was not refused alone."""
    bisection = Bisection(range(size), evidence=evidence)
    refused_alone: set[int] = set()
    requests = 0
    while (calls := bisection.next()) is not None:
        requests += 1
        if answers and answers.pop():
            bisection.accepted()
        else:
            refused_alone |= set(calls) if len(calls) == 1 else set()
            bisection.refused()
    assert requests <= size * (math.ceil(math.log2(size)) + 3) + 1
    assert set(bisection.guilty) <= refused_alone


def test_no_calls_need_no_request() -> None:
    assert Bisection([], evidence=True).next() is None
