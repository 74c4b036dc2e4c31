"""Hours in the life of a destination, in virtual time, with the parts of the core that act together."""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from streamer.core.delivery.answers import Answer, answer_of_status, parse_retry_after
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.delivery.transitions import State

POLICY: Final = RetryPolicy((1.0, 4.0, 15.0), (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 21600.0))
HOUR: Final = 3_600.0
LATENCY_SECONDS: Final = 0.2
MAX_IN_FLIGHT: Final = 16
INITIAL_LIMIT: Final = 8
OK = answer_of_status(200, None)


@dataclass(eq=False)
class Event:
    """An event on its way, and what became of it."""

    arrived_at: float
    size: int = 400
    attempts: int = 0
    delivered_at: float | None = None
    exhausted_at: float | None = None
    refused_at: float | None = None
    companies: list[int] = field(default_factory=list)
    """How many calls were in each request that carried it."""


@dataclass
class Request:
    """What the destination saw."""

    at: float
    calls: int
    in_flight: int
    state: State


class Simulation:
    """A destination that answers as ``script`` says (from time and events), and a sender that obeys the core.

    The sender is as simple as can be: it does not bisect, so only an event that is alone may be refused. It probes with
    ready events before parked ones, which have failed before and would keep a healthy destination closed.
    """

    def __init__(self, script: Callable[[float, Sequence[Event]], Answer], max_calls: int = 1_000) -> None:
        self.script = script
        self.now = 0.0
        self.machine = DestinationMachine(max_in_flight=MAX_IN_FLIGHT, max_batch_bytes=480_000, now=0.0)
        self.batcher = Batcher[Event](max_bytes=480_000, max_calls=max_calls, linger_seconds=0.1, envelope_bytes=100)
        self.jitter = random.Random(7).random
        self.events: list[Event] = []
        self.requests: list[Request] = []
        self._numbers = itertools.count()
        self._parked: list[tuple[float, int, list[Event]]] = []
        self._in_flight: list[tuple[float, int, Attempt, list[Event]]] = []
        self._charged: dict[Attempt, list[Event]] = {}

    def run(self, until: float, arrivals: Sequence[float] = ()) -> None:
        """Let time pass, with one event at each of the times in ``arrivals``."""
        for at in arrivals:
            self._pass_until(at)
            self.arrive(1)
        self._pass_until(until)

    def arrive(self, count: int) -> list[Event]:
        """Let events arrive now."""
        arriving = [Event(self.now) for _ in range(count)]
        self.events += arriving
        self.batcher.extend(arriving, self.now)
        self._begin_requests()
        return arriving

    def _pass_until(self, time: float) -> None:
        while (wake_at := self._next_wake()) <= time:
            self.now = wake_at
            self._end_requests()
            self._begin_requests()
        self.now = time

    def _next_wake(self) -> float:
        times = [self._in_flight[0][0]] if self._in_flight else []
        due = [self._parked[0][0]] if self._parked else []
        due_at = self.batcher.due_at()
        due += [] if due_at is None else [due_at]
        opens_at = self.now if self.machine.can_start(self.now) else self.machine.wake_at(self.now)
        if due and opens_at is not None:
            times.append(max(opens_at, min(due)))
        return max(self.now, min(times, default=math.inf))

    def _begin_requests(self) -> None:
        while self.machine.can_start(self.now):
            events = self._next_events()
            if not events:
                return
            state = self.machine.state
            attempt = self.machine.start(self.now, len(events))
            self.requests.append(Request(self.now, len(events), self.machine.in_flight, state))
            for event in events:
                event.companies.append(len(events))
            heapq.heappush(self._in_flight, (self.now + LATENCY_SECONDS, next(self._numbers), attempt, events))

    def _next_events(self) -> list[Event]:
        """What goes next, a single event when probing; empty when nothing is due."""
        if self.machine.probing and (event := self.batcher.take_one(1.0, lambda _: True)) is not None:
            return [event]
        if self._parked and self._parked[0][0] <= self.now:
            due_at, _, group = heapq.heappop(self._parked)
            if self.machine.probing and len(group) > 1:
                heapq.heappush(self._parked, (due_at, next(self._numbers), group[1:]))
                return group[:1]
            return group
        batch = self.batcher.take(self.now, max_bytes=self.machine.max_batch_bytes)
        return batch.items if batch else []

    def _end_requests(self) -> None:
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, attempt, events = heapq.heappop(self._in_flight)
            answer = self.script(self.now, events)
            verdict = self.machine.finish(attempt, answer, self.now, self.jitter(), 100 + 401 * len(events))
            self._obey(verdict, attempt, events)
            for refunded in self.machine.take_refunds():
                for event in self._charged[refunded]:
                    event.attempts -= 1

    def _obey(self, verdict: Verdict, attempt: Attempt, events: list[Event]) -> None:
        match verdict:
            case Verdict.DELIVERED:
                for event in events:
                    assert event.delivered_at is None, "delivered twice"
                    event.delivered_at = self.now
            case Verdict.RETRY_CHARGED:
                self._charged[attempt] = events
                self._park(events)
            case Verdict.REFUSED:
                assert len(events) == 1
                events[0].refused_at = self.now
            case Verdict.RETRY_FREE | Verdict.REFUSED_FREE:
                self.batcher.put_back(events, was_probe=attempt.is_probe)
            case Verdict.SPLIT:
                raise AssertionError

    def _park(self, events: list[Event]) -> None:
        for event in events:
            event.attempts += 1
        retry = POLICY.after_failure(len(events), max(event.attempts for event in events), self.jitter())
        if retry is None:
            events[0].exhausted_at = self.now
            return
        for first in range(0, len(events), retry.group_size):
            group = events[first : first + retry.group_size]
            heapq.heappush(self._parked, (self.now + retry.wait_seconds, next(self._numbers), group))


def every(seconds: float, start: float, stop: float) -> list[float]:
    return [start + seconds * step for step in range(int((stop - start) / seconds))]


def assert_slow_start(requests: Sequence[Request]) -> None:
    """From the first request after a recovery: one in flight, then one more each round trip."""
    began_at = requests[0].at
    assert requests[0].in_flight == 1
    for request in requests:
        round_trips = (request.at - began_at) / LATENCY_SECONDS
        assert request.in_flight <= min(MAX_IN_FLIGHT, 1 + round_trips + 1e-6)
    assert max(request.in_flight for request in requests) >= INITIAL_LIMIT


def test_an_outage_of_eight_hours_costs_no_event_an_attempt() -> None:
    """Hundreds of probes, a few dozen an hour, and afterwards the backlog flows, gently at first."""
    start, stop = 60.0, 60.0 + 8 * HOUR
    simulation = Simulation(lambda now, _: answer_of_status(503, None) if start <= now < stop else OK, max_calls=20)
    simulation.run(stop + 300.0, every(5.0, 0.0, stop + 30.0))
    assert all(event.delivered_at is not None for event in simulation.events)
    assert {event.attempts for event in simulation.events} == {0}
    outage = [request for request in simulation.requests if start <= request.at + LATENCY_SECONDS < stop]
    assert 8 * 60 <= len(outage) <= 8 * 60 * 1.12 + 20
    assert {request.calls for request in outage[5:]} == {1}
    assert_slow_start([request for request in simulation.requests if request.at > stop and request.state is State.OK])


def test_every_probe_of_an_outage_carries_a_different_event() -> None:
    """If one event has closed the destination, it must not be the one that decides whether it is open."""
    simulation = Simulation(lambda now, _: answer_of_status(503, None) if now < HOUR else OK)
    events = simulation.arrive(100)
    simulation.run(HOUR * 0.9)
    probes_of_each = [event.companies.count(1) for event in events]
    assert max(probes_of_each) == 1
    assert sum(probes_of_each) > 50


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_wrong_set_up_for_hours_waits_and_is_cured_by_itself(status: int) -> None:
    stop = 6 * HOUR
    simulation = Simulation(lambda now, _: answer_of_status(status, None) if 60.0 <= now < stop else OK, max_calls=20)
    simulation.run(stop - 1.0, every(10.0, 0.0, stop - 1.0))
    machine = simulation.machine
    assert (machine.state, machine.reason) == (State.HELD, str(status))
    assert machine.since == pytest.approx(60.0, abs=2.5), "as soon as unrelated events were refused as well"
    assert len(simulation.requests) <= 10 + 6 * 120 + 5, "a probe each half minute"
    simulation.run(stop + 120.0)
    assert machine.state is State.OK
    assert all(event.delivered_at is not None and event.attempts == 0 for event in simulation.events)
    assert_slow_start([request for request in simulation.requests if request.at > stop and request.state is State.OK])


@pytest.mark.parametrize(("header", "waited"), [("120", 120.0), ("soon", 1.0), ("99999", 300.0), (None, 1.0)])
def test_a_429_stops_everything_for_the_wait_it_asks_for(header: str | None, waited: float) -> None:
    def script(now: float, _: Sequence[Event]) -> Answer:
        return answer_of_status(429, parse_retry_after(header, now)) if 10.0 <= now < 10.5 else OK

    simulation = Simulation(script)
    simulation.run(1_000.0, every(0.05, 0.0, 11.0))
    limited_at = min(request.at for request in simulation.requests if request.at + LATENCY_SECONDS >= 10.0)
    limited_at += LATENCY_SECONDS
    next_request = min(request.at for request in simulation.requests if request.at > limited_at)
    assert waited * 0.9 <= next_request - limited_at <= waited + LATENCY_SECONDS
    if header in {"120", "99999"}:
        assert next_request - limited_at >= waited
    assert all(event.delivered_at is not None and event.attempts == 0 for event in simulation.events)


def test_an_event_that_always_gets_a_500_takes_no_neighbour_along() -> None:
    """They are delivered with the quick retries; the event itself ends after the whole schedule, and alone."""
    poison: set[Event] = set()
    simulation = Simulation(lambda _, sent: OK if poison.isdisjoint(sent) else answer_of_status(500, None))
    simulation.run(10.0, every(1.0, 0.0, 10.0))
    together = simulation.arrive(1_000)
    bad = together[500]
    poison.add(bad)
    simulation.run(12 * HOUR, every(5.0, 10.0, 12 * HOUR))

    good = [event for event in simulation.events if event is not bad]
    assert len(good) > 8_000
    assert all(event.delivered_at is not None and event.delivered_at - event.arrived_at < 30 for event in good)
    assert bad.companies == [1_000, 100, 10, *[1] * 9]
    assert bad.attempts == 12
    assert bad.exhausted_at is not None
    documented = sum(POLICY.quick + POLICY.schedule)
    assert 0.9 * documented <= bad.exhausted_at - bad.arrived_at <= 1.1 * documented + 60
    assert simulation.machine.state is State.OK
    assert {request.state for request in simulation.requests} == {State.OK}, "it never looked like an outage"


def test_a_share_of_bad_events_does_not_keep_the_good_ones() -> None:
    """One in a hundred always fails, so that no large batch passes; the others arrive soon all the same."""
    bad: set[Event] = set()
    simulation = Simulation(lambda _, sent: OK if bad.isdisjoint(sent) else answer_of_status(500, None), max_calls=500)
    simulation.run(5.0, every(1.0, 0.0, 5.0))
    events = simulation.arrive(5_000)
    bad.update(events[::100])
    simulation.run(600.0, every(1.0, 5.0, 600.0))
    good = [event for event in events if event not in bad]
    assert all(event.delivered_at is not None and event.delivered_at - event.arrived_at < 60 for event in good)
    assert not any(event.delivered_at for event in bad)


def test_a_destination_that_refuses_everything_gets_no_event_dead_lettered() -> None:
    """An endpoint that speaks another language: held until it is cured, and then everything is delivered."""
    simulation = Simulation(lambda now, _: answer_of_status(400, None) if now < HOUR else OK)
    simulation.run(HOUR - 1.0, every(1.0, 0.0, HOUR - 1.0))
    assert (simulation.machine.state, simulation.machine.reason) == (State.HELD, "refuses_everything")
    simulation.run(HOUR + 120.0)
    assert all(event.delivered_at and not event.refused_at and not event.attempts for event in simulation.events)
