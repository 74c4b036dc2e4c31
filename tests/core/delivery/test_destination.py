"""The rules of the destination one by one. Scenarios over hours are in ``test_destination_scenarios.py``."""

from collections import deque
from collections.abc import Callable, Sequence

import pytest

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.doubt import MAX_CONSECUTIVE_FAILURES, MAX_FAILURES_IN_DOUBT
from streamer.core.delivery.evidence import EVIDENCE_SECONDS
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.permits import FULL_SPEED_CALLS, MIN_CALLS_IN_FLIGHT
from streamer.core.delivery.transitions import State

MAX_IN_FLIGHT = 16
INITIAL_LIMIT = 8
MAX_BATCH_BYTES = 480_000
EVERY_ANSWER = [answer_of_status(status, None) for status in range(100, 600)] + [
    answer_of_fault(fault) for fault in NetworkFault
]
STREAK = MAX_CONSECUTIVE_FAILURES + MAX_FAILURES_IN_DOUBT
"""Failures after which a destination that worked a moment ago is backing off."""
OK = answer_of_status(200, None)
UNAVAILABLE = answer_of_status(503, None)
TOO_MANY = answer_of_status(429, None)
UNAUTHORIZED = answer_of_status(401, None)
BAD_REQUEST = answer_of_status(400, None)
TOO_LARGE = answer_of_status(413, None)
FORBIDDEN = answer_of_status(403, None)
HUNG = answer_of_fault(NetworkFault.HUNG)


def new_machine() -> DestinationMachine:
    return DestinationMachine(max_in_flight=MAX_IN_FLIGHT, max_batch_bytes=MAX_BATCH_BYTES, now=0.0)


def end(machine: DestinationMachine, attempt: Attempt, answer: Answer, now: float, batch_bytes: int = 1_000) -> Verdict:
    """Finish without jitter."""
    return machine.finish(attempt, answer, now, 0.0, batch_bytes)


def send(machine: DestinationMachine, answer: Answer, now: float, calls: int = 1) -> Verdict:
    """One request that is answered at once."""
    return end(machine, machine.start(now, calls), answer, now)


def close(machine: DestinationMachine, answer: Answer, now: float) -> list[Verdict]:
    """Give one answer to every request, until the destination is no longer ok."""
    verdicts = []
    while machine.state is State.OK:
        verdicts.append(send(machine, answer, now))
        assert len(verdicts) < 10, "it never closes"
    return verdicts


def healthy(now: float = 0.0) -> DestinationMachine:
    """Ok, and it accepted something at ``now``."""
    machine = new_machine()
    send(machine, OK, now)
    return machine


def backing_off(now: float = 0.0) -> DestinationMachine:
    """Backing off since ``now``, although it accepted something before; the first probe is due a second later."""
    machine = healthy(now)
    for _ in range(STREAK):
        send(machine, UNAVAILABLE, now)
    assert machine.state is State.BACKING_OFF
    return machine


def held(now: float = 0.0) -> DestinationMachine:
    """Held for a key that is no longer accepted since ``now``."""
    machine = healthy(now)
    close(machine, UNAUTHORIZED, now)
    assert machine.state is State.HELD
    return machine


def refusing_everything(now: float = 0.0) -> DestinationMachine:
    """Held since ``now``, because it has never accepted anything."""
    machine = new_machine()
    for _ in range(5):
        send(machine, BAD_REQUEST, now)
    assert machine.state is State.HELD
    return machine


def stay_full(machine: DestinationMachine, answers: Sequence[Answer]) -> None:
    """Requests that take every permit, answered in the order in which they began, too fast for latency to count."""
    in_flight: deque[Attempt] = deque()
    for number, answer in enumerate(answers):
        now = 1.0 + number * 0.0001
        while machine.can_start(now):
            in_flight.append(machine.start(now, 1))
        end(machine, in_flight.popleft(), answer, now)


def recover(machine: DestinationMachine, now: float) -> None:
    """Accept what is sent, one request a second, until slow start is over."""
    for second in range(MAX_IN_FLIGHT):
        send(machine, OK, now + second)


class TestEveryAnswer:
    """What each answer does in each state, for every status and every fault of the network."""

    def test_to_one_of_many_requests_of_a_healthy_destination(self) -> None:
        expected: dict[AnswerKind, tuple[Verdict, State]] = {
            AnswerKind.ACCEPTED: (Verdict.DELIVERED, State.OK),
            AnswerKind.UNHAPPY: (Verdict.RETRY_CHARGED, State.OK),
            AnswerKind.SET_UP: (Verdict.RETRY_CHARGED, State.OK),
            AnswerKind.REFUSED: (Verdict.REFUSED, State.OK),
            AnswerKind.TOO_LARGE: (Verdict.REFUSED, State.OK),
        }
        for answer in EVERY_ANSWER:
            machine = healthy()
            verdict = send(machine, answer, 10.0)
            assert (verdict, machine.state) == expected[answer.kind], answer
            assert machine.reason == ("" if machine.state is State.OK else answer.error), answer
            assert machine.in_flight == 0, answer

    def test_to_the_first_request_ever(self) -> None:
        """Nothing has been accepted yet, so nothing but a 2xx says anything about an event."""
        for answer in EVERY_ANSWER:
            verdict = send(new_machine(), answer, 10.0)
            assert verdict in {Verdict.DELIVERED, Verdict.RETRY_FREE, Verdict.REFUSED_FREE}, answer
            assert (verdict is Verdict.DELIVERED) == (answer.kind is AnswerKind.ACCEPTED), answer

    @pytest.mark.parametrize("closed", [backing_off, held, refusing_everything])
    def test_to_a_probe(self, closed: Callable[[], DestinationMachine]) -> None:
        after_refusal = State.HELD if closed is refusing_everything else State.OK
        after: dict[AnswerKind, State] = {
            AnswerKind.ACCEPTED: State.OK,
            AnswerKind.UNHAPPY: State.BACKING_OFF,
            AnswerKind.SET_UP: State.HELD,
            AnswerKind.REFUSED: after_refusal,
            AnswerKind.TOO_LARGE: after_refusal,
        }
        for answer in EVERY_ANSWER:
            machine = closed()
            due_at = machine.wake_at(0.0)
            assert due_at is not None
            assert send(machine, answer, due_at) is not Verdict.RETRY_CHARGED, answer
            assert machine.state is after[answer.kind], answer
            if machine.state is State.OK:
                assert (machine.limit, machine.reason, machine.since) == (1, "", due_at), answer
            else:
                assert machine.next_probe_at is not None, answer
                assert machine.next_probe_at > due_at, answer

    def test_to_everything_for_an_hour(self) -> None:
        """Then requests become rare, or each is a verdict; and no event is charged an attempt for it."""
        for answer in EVERY_ANSWER:
            requests, charged = self.requests_within(3_600.0, answer)
            assert charged == set(), answer
            is_verdict = answer.kind in {AnswerKind.ACCEPTED, AnswerKind.REFUSED, AnswerKind.TOO_LARGE}
            assert requests == 1_000 if is_verdict else requests < 130, answer

    @staticmethod
    def requests_within(seconds: float, answer: Answer) -> tuple[int, set[Attempt]]:
        """How many requests, at most 1,000, a destination gets with this answer to all; and the charges that stand."""
        machine = healthy()
        now, requests = 0.0, 0
        charged: set[Attempt] = set()
        while now < seconds and requests < 1_000:
            if machine.can_start(now):
                attempt = machine.start(now, 1)
                requests += 1
                now += 0.1
                if machine.finish(attempt, answer, now, 0.5, 1_000) is Verdict.RETRY_CHARGED:
                    charged.add(attempt)
                charged -= set(machine.take_refunds())
            else:
                wake_at = machine.wake_at(now)
                assert wake_at is not None
                now = wake_at
        return requests, charged


class TestCharging:
    def test_an_attempt_is_charged_when_another_was_accepted_in_the_minute_before(self) -> None:
        assert send(healthy(0.0), UNAVAILABLE, 60.0) is Verdict.RETRY_CHARGED
        assert send(healthy(0.0), UNAVAILABLE, 60.1) is Verdict.RETRY_FREE

    def test_the_minute_counts_from_the_beginning_of_the_attempt(self) -> None:
        machine = healthy(0.0)
        attempt = machine.start(59.0, 1)
        assert end(machine, attempt, answer_of_fault(NetworkFault.TIMEOUT), 74.0) is Verdict.RETRY_CHARGED

    def test_an_attempt_is_charged_when_another_was_accepted_while_it_ran(self) -> None:
        machine = healthy(-EVIDENCE_SECONDS - 1)
        failing, passing = machine.start(0.0, 1), machine.start(0.0, 1)
        assert end(machine, passing, OK, 1.0) is Verdict.DELIVERED
        assert end(machine, failing, UNAVAILABLE, 2.0) is Verdict.RETRY_CHARGED

    def test_a_streak_of_five_failures_and_a_failed_probe_take_its_charges_back(self) -> None:
        """They show that the destination was at fault when the events were charged."""
        machine = healthy()
        attempts = [machine.start(1.0, 1) for _ in range(6)]
        assert {end(machine, attempt, UNAVAILABLE, 2.0) for attempt in attempts} == {Verdict.RETRY_CHARGED}
        assert {send(machine, UNAVAILABLE, 2.0) for _ in range(2)} == {Verdict.RETRY_FREE}
        assert machine.take_refunds() == [], "the first probe decides"
        send(machine, UNAVAILABLE, 3.0)
        assert machine.take_refunds() == attempts
        assert {attempt.is_refunded for attempt in attempts} == {True}
        assert machine.take_refunds() == [], "each charge is taken back once"

    def test_events_that_fail_again_never_look_like_a_destination_that_fails(self) -> None:
        """Otherwise a few of them would stop the others for a second, again and again."""
        machine = healthy()
        for second in range(20):
            retry = machine.start(1.0 + second, 1, is_retry=True)
            assert end(machine, retry, UNAVAILABLE, 1.5 + second) is Verdict.RETRY_CHARGED
        assert machine.state is State.OK

    def test_retries_build_a_streak_when_nothing_else_shows_that_the_destination_works(self) -> None:
        machine = healthy()
        for second in range(5):
            retry = machine.start(100.0 + second, 1, is_retry=True)
            assert end(machine, retry, UNAVAILABLE, 100.5 + second) is Verdict.RETRY_FREE
        assert machine.state is State.BACKING_OFF

    @pytest.mark.parametrize("answer", [OK, BAD_REQUEST])
    def test_charges_of_a_streak_stand_when_the_first_probe_is_answered_well(self, answer: Answer) -> None:
        """The destination worked all along: it was a streak of events that fail, which must come to their end."""
        machine = healthy()
        attempts = [machine.start(1.0, 1) for _ in range(5)]
        for attempt in attempts:
            end(machine, attempt, UNAVAILABLE, 2.0)
        send(machine, answer, 3.0)
        close(machine, UNAUTHORIZED, 4.0)
        assert not set(attempts).intersection(machine.take_refunds())

    @pytest.mark.parametrize("answer", [TOO_MANY, answer_of_status(503, 5.0), UNAUTHORIZED])
    def test_a_streak_that_ends_in_a_wait_or_a_hold_takes_its_charges_back(self, answer: Answer) -> None:
        machine = healthy()
        attempt = machine.start(1.0, 1)
        assert end(machine, attempt, UNAVAILABLE, 1.0) is Verdict.RETRY_CHARGED
        close(machine, answer, 2.0)
        assert attempt in machine.take_refunds()

    def test_charges_stand_once_another_call_is_accepted(self) -> None:
        """One bad event among good ones: its failures never make a streak."""
        machine = healthy()
        for second in range(20):
            assert send(machine, UNAVAILABLE, second) is Verdict.RETRY_CHARGED
            assert send(machine, OK, second) is Verdict.DELIVERED
        assert machine.state is State.OK
        assert machine.take_refunds() == []

    def test_in_doubt_single_events_decide(self) -> None:
        """One event in twenty fails, and a batch of fifty has mostly one of them: five in a row are common."""
        machine = healthy()
        for _ in range(5):
            assert send(machine, UNAVAILABLE, 1.0, calls=50) is Verdict.RETRY_CHARGED
        first = machine.start(1.0, 1)
        assert (first.is_probe, machine.state, machine.can_start(1.0)) == (True, State.OK, False)
        assert end(machine, first, UNAVAILABLE, 1.1) is Verdict.RETRY_FREE
        assert machine.limited_by(1.1) is Limit.DESTINATION
        assert send(machine, OK, 1.2) is Verdict.DELIVERED
        assert (machine.probing, machine.limit, machine.take_refunds()) == (False, INITIAL_LIMIT, [])

    def test_two_single_events_that_fail_as_well_end_the_doubt(self) -> None:
        machine = healthy()
        for _ in range(5):
            send(machine, UNAVAILABLE, 1.0, calls=50)
        states = []
        for now in (1.1, 1.2):
            assert send(machine, UNAVAILABLE, now) is Verdict.RETRY_FREE
            states.append(machine.state)
        assert states == [State.OK, State.BACKING_OFF]

    def test_without_evidence_there_is_no_doubt(self) -> None:
        """It has accepted nothing for longer than a minute, or ever: nobody was charged, and five failures will do."""
        machine = healthy(-EVIDENCE_SECONDS - 1)
        for _ in range(5):
            send(machine, UNAVAILABLE, 1.0)
        assert machine.state is State.BACKING_OFF

    def test_refusals_neither_count_as_failures_nor_end_a_streak(self) -> None:
        machine = healthy()
        for _ in range(4):
            send(machine, UNAVAILABLE, 1.0)
            assert send(machine, BAD_REQUEST, 1.0) is Verdict.REFUSED
        assert (machine.state, machine._doubt.failures) == (State.OK, 4)
        send(machine, UNAVAILABLE, 1.0)
        assert machine.probing


class TestSuspicion:
    """One answer is about the batch that got it, until unrelated events get the same."""

    def test_a_batch_that_a_firewall_refuses_is_charged_and_single_events_are_asked(self) -> None:
        machine = healthy()
        assert send(machine, FORBIDDEN, 1.0, calls=50) is Verdict.RETRY_CHARGED
        assert (machine.state, machine.probing, machine.can_start(1.0)) == (State.OK, True, True)
        assert send(machine, OK, 1.1) is Verdict.DELIVERED
        assert (machine.state, machine.probing, machine.take_refunds()) == (State.OK, False, [])

    def test_unrelated_events_that_are_refused_so_as_well_show_that_our_set_up_is_wrong(self) -> None:
        machine = healthy()
        first = machine.start(1.0, 50)
        assert end(machine, first, UNAUTHORIZED, 1.0) is Verdict.RETRY_CHARGED
        assert close(machine, UNAUTHORIZED, 1.1) == [Verdict.RETRY_FREE] * MAX_FAILURES_IN_DOUBT
        assert (machine.state, machine.reason, machine.take_refunds()) == (State.HELD, "401", [first])

    def test_without_evidence_our_set_up_is_wrong_at_once(self) -> None:
        for machine in (new_machine(), healthy(-EVIDENCE_SECONDS - 1)):
            assert send(machine, UNAUTHORIZED, 1.0) is Verdict.RETRY_FREE
            assert machine.state is State.HELD

    def test_events_that_are_refused_so_again_bring_nothing_into_doubt(self) -> None:
        machine = healthy()
        for second in range(20):
            retry = machine.start(1.0 + second, 1, is_retry=True)
            assert end(machine, retry, FORBIDDEN, 1.5 + second) is Verdict.RETRY_CHARGED
        assert not machine.probing

    def test_of_the_events_that_are_asked_one_that_failed_before_does_not_count(self) -> None:
        machine = healthy()
        send(machine, FORBIDDEN, 1.0, calls=50)
        for _ in range(5):
            probe = machine.start(1.0, 1, is_retry=True)
            assert (probe.is_probe, end(machine, probe, FORBIDDEN, 1.0)) == (True, Verdict.RETRY_CHARGED)
        assert machine.state is State.OK

    @pytest.mark.parametrize("answer", [TOO_MANY, answer_of_status(503, 60.0)])
    def test_after_one_answer_that_asks_to_wait_one_more_request_decides(self, answer: Answer) -> None:
        machine = healthy()
        in_flight = machine.start(0.0, 10)
        assert send(machine, answer, 1.0, calls=50) is Verdict.RETRY_CHARGED
        end(machine, in_flight, OK, 1.1)  # it began before
        decider = machine.start(1.2, 50)
        assert (machine.can_start(1.2), machine.limited_by(1.2)) == (False, Limit.DESTINATION)
        assert end(machine, decider, OK, 1.3) is Verdict.DELIVERED
        assert (machine.state, machine.can_start(1.3), machine.take_refunds()) == (State.OK, True, [])
        assert len([machine.start(1.3, 1) for _ in range(INITIAL_LIMIT)]) == INITIAL_LIMIT, "no permit was lost"

    @pytest.mark.parametrize("answer", [TOO_MANY, answer_of_status(503, 60.0)])
    def test_a_decider_that_is_asked_to_wait_closes_the_destination(self, answer: Answer) -> None:
        machine = healthy()
        in_flight = [machine.start(1.0, 50) for _ in range(3)]
        assert {end(machine, attempt, answer, 1.1) for attempt in in_flight} == {Verdict.RETRY_CHARGED}
        assert (machine.state, machine.wanted().is_unrelated) == (State.OK, True)
        assert send(machine, answer, 1.2, calls=50) is Verdict.RETRY_FREE
        assert (machine.state, machine.take_refunds()) == (State.BACKING_OFF, in_flight)

    def test_a_refused_call_decides_that_the_wait_is_not_for_all(self) -> None:
        machine = healthy()
        send(machine, TOO_MANY, 1.0)
        assert send(machine, BAD_REQUEST, 1.1) is Verdict.REFUSED
        assert send(machine, TOO_MANY, 1.2) is Verdict.RETRY_CHARGED, "another one asks, and is the first again"
        assert machine.state is State.OK

    def test_a_decider_that_is_cancelled_leaves_the_decision_to_the_next(self) -> None:
        machine = healthy()
        send(machine, TOO_MANY, 1.0)
        machine.abandon(machine.start(1.0, 1))
        assert machine.can_start(1.0)
        machine.start(1.0, 1)
        assert not machine.can_start(1.0)

    def test_a_request_that_hangs_while_later_ones_are_answered_takes_no_permit(self) -> None:
        machine = healthy()
        for _ in range(4):
            hung = [machine.start(1.0, 1) for _ in range(INITIAL_LIMIT)]
            end(machine, hung.pop(), OK, 1.0)
            send(machine, OK, 1.1)
            for attempt in hung:
                end(machine, attempt, answer_of_fault(NetworkFault.TIMEOUT), 16.0)
            send(machine, OK, 16.0)
        assert machine.limit >= INITIAL_LIMIT


class TestShares:
    def test_calls_of_failed_batches_get_half_of_the_permits(self) -> None:
        machine = healthy()
        allowed = []
        for _ in range(INITIAL_LIMIT // 2):
            allowed.append(machine.wanted().may_resend)
            machine.start(1.0, 1, is_resend=True)
        assert allowed == [True] * (INITIAL_LIMIT // 2)
        assert (machine.wanted().may_resend, machine.can_start(1.0)) == (False, True)

    def test_a_destination_that_answers_them_fast_gives_them_more(self) -> None:
        """Otherwise half of the first limit would be all that they ever get."""
        machine = healthy()
        for number in range(40):
            now = 1.0 + number * 0.01
            in_flight = []
            while machine.can_start(now) and machine.wanted().may_resend:
                in_flight.append(machine.start(now, 1, is_resend=True))
            for attempt in in_flight:
                end(machine, attempt, OK, now + 0.005)
        assert machine.limit > INITIAL_LIMIT

    def test_the_integration_with_the_fewest_requests_in_flight_has_the_next_turn(self) -> None:
        machine = healthy()
        for _ in range(3):
            machine.start(1.0, 1, integration="hanging")
        machine.start(1.0, 1, integration="other")
        assert machine.whose_turn(["hanging", "other"]) == "other"
        assert machine.whose_turn(["hanging", "other", "new"]) == "new"

    def test_of_integrations_with_equally_many_in_flight_the_one_longest_ago_has_the_turn(self) -> None:
        machine = healthy()
        for name in ("first", "second"):
            end(machine, machine.start(1.0, 1, integration=name), OK, 1.0)
        assert machine.whose_turn(["second", "first"]) == "first"

    def test_retries_that_go_alone_get_a_quarter(self) -> None:
        """The company of an event that fails is mostly innocent, and must not wait behind such events."""
        machine = healthy()
        for _ in range(INITIAL_LIMIT // 4):
            assert machine.wanted().may_resend_alone
            machine.start(1.0, 1, is_retry=True, is_resend=True)
        assert (machine.wanted().may_resend_alone, machine.wanted().may_resend) == (False, True)
        machine.start(1.0, 20, is_retry=True, is_resend=True)
        assert machine.wanted().may_resend

    def test_calls_in_flight_are_bounded_as_well_as_requests(self) -> None:
        machine = DestinationMachine(max_in_flight=32, max_batch_bytes=1, max_batch_calls=1_000, now=0.0)
        send(machine, OK, 0.0)
        calls = 0
        while machine.can_start(0.0):
            calls += machine.start(0.0, 900).calls
        assert 4_000 < calls <= MIN_CALLS_IN_FLIGHT
        assert machine.limited_by(0.0) is Limit.CONCURRENCY

    def test_a_batch_larger_than_that_goes_alone(self) -> None:
        machine = DestinationMachine(max_in_flight=32, max_batch_bytes=1, max_batch_calls=9_000, now=0.0)
        send(machine, OK, 0.0)
        machine.start(0.0, 9_000)
        assert not machine.can_start(0.0)

    def test_long_round_trips_have_as_many_calls_in_flight_as_full_speed_needs(self) -> None:
        """Otherwise a destination far away would get fewer calls a second."""
        machine = DestinationMachine(max_in_flight=64, max_batch_bytes=1, max_batch_calls=1_000, now=0.0)
        in_flight: deque[tuple[float, Attempt]] = deque()
        now, most = 0.0, 0
        while now < 20.0:
            while machine.can_start(now):
                in_flight.append((now + 0.3, machine.start(now, 1_000)))
            most = max(most, 1_000 * machine.in_flight)
            now, attempt = in_flight.popleft()
            end(machine, attempt, OK, now)
        assert MIN_CALLS_IN_FLIGHT < most <= 0.3 * FULL_SPEED_CALLS


class TestHanging:
    """A request that takes far longer than others need not keep its permit until the timeout."""

    def test_a_batch_that_later_ones_have_overtaken_is_given_up(self) -> None:
        machine = healthy()
        batch, slow_event = machine.start(1.0, 50), machine.start(1.0, 1)
        overtake(machine, 1.5, times=1)
        assert machine.hanging(10.0) == [], "one may be chance"
        overtake(machine, 1.6, times=1)
        assert machine.hanging(2.9) == [], "it is not long enough"
        assert machine.hanging(3.0) == [batch], "an event that goes alone may be a slow one"
        assert end(machine, batch, HUNG, 3.0) is Verdict.RETRY_CHARGED
        assert (machine.state, machine.probing, machine.limit) == (State.OK, False, INITIAL_LIMIT)
        machine.abandon(slow_event)

    def test_what_is_long_depends_on_how_long_requests_take(self) -> None:
        machine = healthy()
        for second in range(100):
            end(machine, machine.start(float(second), 50), OK, second + 0.5)
        batch = machine.start(200.0, 50)
        overtake(machine, 201.0)
        assert machine.hanging(204.0) == []
        assert machine.hanging(206.0) == [batch]

    def test_when_all_permits_stand_still_the_oldest_makes_room_for_a_single_event(self) -> None:
        machine = healthy()
        batches = [machine.start(1.0 + number / 100, 50) for number in range(INITIAL_LIMIT)]
        assert machine.hanging(10.9) == []
        assert machine.hanging(11.5) == batches[:1]
        assert end(machine, batches[0], HUNG, 11.5) is Verdict.RETRY_CHARGED
        assert (machine.state, machine.probing) == (State.OK, True)
        assert send(machine, OK, 11.6) is Verdict.DELIVERED
        assert not machine.probing

    def test_single_events_that_hang_too_show_that_it_is_the_destination(self) -> None:
        machine = healthy()
        batches = [machine.start(1.0 + number / 100, 50) for number in range(INITIAL_LIMIT)]
        end(machine, batches[0], HUNG, 11.5)
        for now in (12.0, 22.0):
            probe = machine.start(now, 1)
            assert machine.hanging(now + 9.9) == []
            assert machine.hanging(now + 10.0) == [probe]
            assert end(machine, probe, HUNG, now + 10.0) is Verdict.RETRY_FREE
        assert (machine.state, machine.take_refunds()) == (State.BACKING_OFF, [])
        send(machine, UNAVAILABLE, 33.0)
        assert machine.take_refunds() == batches[:1], "the first probe decided"

    def test_a_probe_of_a_closed_destination_has_its_whole_timeout(self) -> None:
        machine = backing_off()
        machine.start(1.0, 1)
        assert machine.hanging(1_000.0) == []

    def test_a_batch_hangs_at_the_start_too(self) -> None:
        machine = new_machine()
        batches = [machine.start(number / 10, 50) for number in range(2)]
        assert machine.hanging(10.0) == batches[:1]


def overtake(machine: DestinationMachine, now: float, times: int = 2) -> None:
    for _ in range(times):
        end(machine, machine.start(now, 1), OK, now + 0.01)


class TestBackingOff:
    def test_probes_come_after_a_wait_that_doubles_up_to_a_minute(self) -> None:
        machine = backing_off(0.0)
        now, waits = 0.0, []
        for _ in range(9):
            wake_at = machine.wake_at(now)
            assert wake_at is not None
            waits.append(wake_at - now)
            now = wake_at
            send(machine, UNAVAILABLE, now)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert machine.since == 0.0, "a failed probe prolongs the state, it does not begin a new one"

    def test_probes_go_on_for_weeks(self) -> None:
        """Doubling a number a thousand times would end in an overflow."""
        machine, now = backing_off(0.0), 0.0
        for _ in range(30 * 24 * 60):
            now = machine.next_probe_at or now
            send(machine, UNAVAILABLE, now)
        assert machine.next_probe_at == now + 60.0

    def test_jitter_shortens_a_backoff_by_a_tenth_at_most(self) -> None:
        machine = new_machine()
        machine.finish(machine.start(0.0, 1), TOO_MANY, 0.0, 0.999, 1_000)
        assert machine.next_probe_at == pytest.approx(0.9, abs=0.001)

    @pytest.mark.parametrize(("asked", "waited"), [(0.0, 1.0), (0.5, 1.0), (17.0, 17.0), (300.0, 300.0), (1e9, 300.0)])
    @pytest.mark.parametrize("status", [429, 503])
    def test_the_wait_that_was_asked_for_is_kept_whatever_the_jitter(
        self, status: int, asked: float, waited: float
    ) -> None:
        machine = healthy()
        close(machine, answer_of_status(status, asked), 0.0)
        assert (machine.state, machine.reason, machine.next_probe_at) == (State.BACKING_OFF, str(status), waited)
        assert not machine.can_start(waited - 0.01)
        assert machine.can_start(waited)

    def test_only_one_probe_is_in_flight_with_one_call(self) -> None:
        machine = backing_off()
        assert (machine.limit, machine.probing) == (0, True)
        with pytest.raises(AssertionError):
            machine.start(1.0, 2)
        probe = machine.start(1.0, 1)
        assert probe.is_probe
        assert machine.limit == 1
        assert machine.next_probe_at is None
        assert not machine.can_start(1_000.0)
        assert machine.wake_at(1.0) is None

    def test_a_success_opens_with_one_request_and_one_more_each_round_trip(self) -> None:
        machine = backing_off()
        send(machine, OK, 1.0)
        limits, now = [], 1.0
        for _ in range(10):
            in_flight = []
            while machine.can_start(now):
                in_flight.append(machine.start(now, 1))
            limits.append(len(in_flight))
            now += 0.2
            for attempt in in_flight:
                end(machine, attempt, OK, now)
        assert limits == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]

    def test_the_backoff_begins_anew_after_a_success(self) -> None:
        machine = backing_off()
        for now in (1.0, 3.0, 7.0):
            send(machine, UNAVAILABLE, now)
        send(machine, OK, 15.0)
        close(machine, TOO_MANY, 16.0)
        assert machine.next_probe_at == 17.0

    def test_a_late_success_opens_what_the_breaker_closed(self) -> None:
        machine = healthy()
        slow = machine.start(0.0, 1)
        for _ in range(STREAK):
            send(machine, UNAVAILABLE, 1.0)
        assert end(machine, slow, OK, 1.5) is Verdict.DELIVERED
        assert (machine.state, machine.limit) == (State.OK, 1)
        assert machine.can_start(1.5)

    @pytest.mark.parametrize("answer", [TOO_MANY, answer_of_status(503, 20.0)])
    def test_a_late_success_does_not_cut_short_a_wait_that_was_asked_for(self, answer: Answer) -> None:
        """Of several requests in flight some still pass when the limit of the rate is reached."""
        machine = healthy()
        slow = machine.start(0.0, 1)
        close(machine, answer, 1.0)
        due_at = machine.next_probe_at
        assert end(machine, slow, OK, 1.5) is Verdict.DELIVERED
        assert machine.state is State.BACKING_OFF
        assert machine.next_probe_at == due_at
        assert machine._doubt.failures == 0

    def test_a_late_request_to_wait_prolongs_the_wait(self) -> None:
        machine = healthy()
        slow = machine.start(0.0, 1)
        close(machine, answer_of_status(429, 10.0), 1.0)
        assert end(machine, slow, answer_of_status(429, 40.0), 2.0) is Verdict.RETRY_FREE
        assert machine.next_probe_at == 42.0

    def test_a_late_request_to_wait_keeps_a_later_success_from_opening(self) -> None:
        machine = healthy()
        slow, slower = machine.start(0.0, 1), machine.start(0.0, 1)
        for _ in range(STREAK):
            send(machine, UNAVAILABLE, 1.0)
        end(machine, slow, answer_of_status(429, 10.0), 1.1)
        end(machine, slower, OK, 1.2)
        assert (machine.state, machine.next_probe_at) == (State.BACKING_OFF, 11.1)

    def test_a_failed_probe_does_not_cut_short_a_wait_that_was_asked_for_meanwhile(self) -> None:
        machine = healthy()
        slow = machine.start(0.0, 1)
        close(machine, TOO_MANY, 1.0)
        probe = machine.start(2.0, 1)
        end(machine, slow, answer_of_status(429, 50.0), 3.0)
        end(machine, probe, UNAVAILABLE, 4.0)
        assert machine.next_probe_at == 53.0

    def test_a_success_ends_every_wait(self) -> None:
        """What was asked for before a probe was accepted bears neither on the next backoff nor on the next hold."""
        machine = healthy()
        slow = machine.start(0.0, 1)
        close(machine, TOO_MANY, 1.0)
        probe = machine.start(2.0, 1)
        end(machine, slow, answer_of_status(429, 50.0), 3.0)
        end(machine, probe, OK, 4.0)
        passing = machine.start(4.0, 1)
        end(machine, passing, OK, 4.1)
        slow = machine.start(5.0, 1)
        machine.abandon(slow)
        close(machine, UNAUTHORIZED, 5.0)
        assert machine.next_probe_at == 6.0

    def test_late_failures_do_not_put_off_the_probe(self) -> None:
        machine = healthy()
        slow = [machine.start(0.0, 1) for _ in range(3)]
        for _ in range(STREAK):
            send(machine, UNAVAILABLE, 1.0)
        for attempt in slow:
            assert end(machine, attempt, UNAVAILABLE, 1.9) is Verdict.RETRY_FREE
        assert machine.next_probe_at == 2.0

    def test_failures_from_before_a_recovery_are_free_and_do_not_close_it_again(self) -> None:
        """They tell about the time of the outage, and time out only now."""
        machine = healthy()
        hung = [machine.start(0.0, 1) for _ in range(6)]
        for _ in range(STREAK):
            send(machine, UNAVAILABLE, 1.0)
        send(machine, OK, 2.0)
        timeout = answer_of_fault(NetworkFault.TIMEOUT)
        assert {end(machine, attempt, timeout, 15.0) for attempt in hung} == {Verdict.RETRY_FREE}
        assert (machine.state, machine._doubt.failures) == (State.OK, 0)

    def test_a_late_set_up_answer_says_what_is_wrong(self) -> None:
        machine = healthy()
        slow = machine.start(0.0, 1)
        for _ in range(STREAK):
            send(machine, UNAVAILABLE, 1.0)
        end(machine, slow, UNAUTHORIZED, 1.5)
        assert (machine.state, machine.reason) == (State.HELD, "401")

    def test_hung_requests_hold_their_permits(self) -> None:
        machine = healthy()
        attempts = [machine.start(0.0, 1) for _ in range(INITIAL_LIMIT)]
        for attempt in attempts[:5]:
            end(machine, attempt, UNAVAILABLE, 1.0)
        for _ in range(MAX_FAILURES_IN_DOUBT):
            send(machine, UNAVAILABLE, 1.0)
        probe = machine.start(2.0, 1)
        assert machine.in_flight == 4
        end(machine, probe, OK, 2.1)
        assert not machine.can_start(2.1), "three late ones are above the limit of 1"
        for attempt in attempts[5:]:
            machine.abandon(attempt)
        assert machine.can_start(2.1)


class TestConcurrency:
    """The limit itself is tried against a model receiver in ``test_concurrency_simulation.py``."""

    def test_a_429_takes_three_tenths_of_the_permits_once_for_all_that_was_under_way(self) -> None:
        machine = healthy()
        full = [machine.start(1.0, 1) for _ in range(INITIAL_LIMIT)]
        for attempt in reversed(full):
            end(machine, attempt, TOO_MANY, 2.0)
        close(machine, TOO_MANY, 2.1)
        recover(machine, 10.0)
        assert machine.limit == 5

    def test_so_does_a_share_of_overload_without_a_wait(self) -> None:
        machine = healthy()
        stay_full(machine, [OK, UNAVAILABLE] * (INITIAL_LIMIT + 1))
        assert machine.limit == 5

    @pytest.mark.parametrize(("accepted_at", "limit"), [(None, 5), (9.0, INITIAL_LIMIT)])
    def test_so_do_timeouts_unless_another_request_was_accepted_meanwhile(
        self, accepted_at: float | None, limit: int
    ) -> None:
        machine = healthy()
        others = machine.start(1.0, 1)
        full = [machine.start(1.0, 1) for _ in range(INITIAL_LIMIT - 1)]
        if accepted_at is not None:
            end(machine, others, OK, accepted_at)
        for attempt in full:
            end(machine, attempt, answer_of_fault(NetworkFault.TIMEOUT), 16.0)
        send(machine, OK, 16.0)
        assert machine.limit == limit

    def test_a_failure_now_and_then_takes_none(self) -> None:
        machine = healthy()
        stay_full(machine, [OK, *[UNAVAILABLE, *[OK] * 24] * 20])
        assert machine.limit >= INITIAL_LIMIT

    @pytest.mark.parametrize("answer", [answer_of_status(500, None), answer_of_fault(NetworkFault.RESET)])
    def test_what_fewer_requests_would_not_have_cured_takes_none(self, answer: Answer) -> None:
        machine = healthy()
        full = [machine.start(1.0, 1) for _ in range(INITIAL_LIMIT)]
        end(machine, full.pop(), answer, 2.0)
        assert machine.limit == INITIAL_LIMIT

    def test_an_overload_of_a_destination_that_has_few_requests_takes_none(self) -> None:
        """Otherwise an outage in a quiet hour would leave one permit, for nothing that permits could cure."""
        machine = healthy()
        for _ in range(4):
            send(machine, UNAVAILABLE, 1.0)
        assert machine.limit == INITIAL_LIMIT

    def test_retries_of_events_that_fail_take_none(self) -> None:
        machine = healthy()
        full = [machine.start(1.0, 1, is_retry=True) for _ in range(INITIAL_LIMIT)]
        end(machine, full.pop(), UNAVAILABLE, 2.0)
        assert machine.limit == INITIAL_LIMIT

    def test_slow_start_ends_at_what_is_left_after_the_fault(self) -> None:
        machine = healthy()
        full = [machine.start(1.0, 1) for _ in range(INITIAL_LIMIT)]
        end(machine, full.pop(), TOO_MANY, 2.0)
        for attempt in full:
            machine.abandon(attempt)
        close(machine, TOO_MANY, 2.1)
        send(machine, OK, 3.5)
        limits = [machine.limit]
        for second in range(4, 12):
            send(machine, OK, float(second))
            limits.append(machine.limit)
        assert limits == [1, 2, 3, 4, 5, 5, 5, 5, 5]


class TestRate:
    def test_a_batch_waits_until_what_was_sent_is_paid_for(self) -> None:
        machine = DestinationMachine(max_in_flight=4, max_batch_bytes=1_000, now=0.0, max_calls_per_second=100)
        send(machine, OK, 0.0, calls=300)
        assert (machine.can_start(2.9), machine.wake_at(0.0), machine.limited_by(0.0)) == (False, 3.0, Limit.RATE)
        assert (machine.can_start(3.0), machine.limited_by(3.0)) == (True, None)

    def test_a_probe_waits_for_both_its_time_and_the_rate(self) -> None:
        machine = DestinationMachine(max_in_flight=4, max_batch_bytes=1_000, now=0.0, max_calls_per_second=100)
        send(machine, TOO_MANY, 0.0, calls=300)
        assert machine.state is State.BACKING_OFF
        assert (machine.next_probe_at, machine.wake_at(0.0)) == (1.0, 3.0)


class TestWhatLimits:
    def test_permits_that_are_all_taken(self) -> None:
        machine = healthy()
        for _ in range(INITIAL_LIMIT):
            machine.start(0.0, 1)
        assert machine.limited_by(0.0) is Limit.DESTINATION, "the limit is still below the most"
        single = DestinationMachine(max_in_flight=1, max_batch_bytes=1_000, now=0.0)
        single.start(0.0, 1)
        assert single.limited_by(0.0) is Limit.CONCURRENCY

    def test_the_state(self) -> None:
        assert new_machine().limited_by(0.0) is None
        assert backing_off().limited_by(100.0) is Limit.BACKING_OFF, "also when a probe may go"
        assert held().limited_by(100.0) is Limit.HELD


class TestHeld:
    def test_probes_come_soon_at_first_and_the_beginning_stays(self) -> None:
        machine = held(0.0)
        for now in (1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0):
            assert machine.wake_at(now - 0.5) == now
            assert send(machine, answer_of_status(403, None), now) is Verdict.RETRY_FREE
        assert (machine.state, machine.since, machine.reason) == (State.HELD, 0.0, "403")

    def test_late_answers_do_not_put_off_the_probe(self) -> None:
        machine = healthy()
        attempts = [machine.start(0.0, 1) for _ in range(6)]
        close(machine, UNAUTHORIZED, 1.0)
        for attempt, answer in zip(attempts, [UNAUTHORIZED, UNAVAILABLE, BAD_REQUEST, BAD_REQUEST], strict=False):
            end(machine, attempt, answer, 5.0)
        assert (machine.state, machine.reason, machine.next_probe_at) == (State.HELD, "401", 2.0)

    def test_an_answer_from_before_the_recovery_does_not_hold_it_again(self) -> None:
        machine = healthy()
        slow = machine.start(0.0, 1)
        close(machine, UNAUTHORIZED, 1.0)
        send(machine, OK, 31.0)
        assert end(machine, slow, UNAUTHORIZED, 32.0) is Verdict.RETRY_FREE
        assert machine.state is State.OK

    def test_a_changed_key_has_to_show_that_it_is_accepted(self) -> None:
        """Otherwise a new key that is wrong, and answered with 400, would dead-letter event after event."""
        machine = held(0.0)
        machine.key_changed(0.0)
        assert {send(machine, BAD_REQUEST, 30.0) for _ in range(5)} == {Verdict.REFUSED_FREE}
        assert (machine.state, machine.reason) == (State.HELD, "refuses_everything")
        send(machine, OK, 60.0)
        assert send(machine, BAD_REQUEST, 61.0) is Verdict.REFUSED

    def test_an_acceptance_of_the_old_key_shows_nothing_about_the_new_one(self) -> None:
        machine = healthy()
        old = machine.start(1.0, 1)
        close(machine, UNAUTHORIZED, 1.0)
        machine.key_changed(1.0)
        assert end(machine, old, OK, 3.0) is Verdict.DELIVERED
        assert send(machine, BAD_REQUEST, 4.0) is Verdict.REFUSED_FREE

    def test_a_key_may_change_while_it_works(self) -> None:
        """Requests on their way have the old key, which may be withdrawn at once: that holds nothing."""
        machine = healthy()
        accepted, unauthorized, refused = (machine.start(1.0, 1) for _ in range(3))
        machine.key_changed(2.0)
        assert end(machine, accepted, OK, 3.0) is Verdict.DELIVERED
        assert end(machine, unauthorized, UNAUTHORIZED, 3.0) is Verdict.RETRY_FREE
        assert end(machine, refused, BAD_REQUEST, 3.0) is Verdict.REFUSED_FREE
        assert machine.state is State.OK
        send(machine, OK, 4.0)
        assert send(machine, BAD_REQUEST, 5.0) is Verdict.REFUSED


class TestRefused:
    def test_a_refusal_counts_when_anything_was_accepted_however_long_ago(self) -> None:
        assert send(healthy(0.0), BAD_REQUEST, 86_400.0) is Verdict.REFUSED

    def test_a_destination_that_refuses_everything_is_held(self) -> None:
        machine = new_machine()
        verdicts = [send(machine, BAD_REQUEST, 1.0) for _ in range(5)]
        assert set(verdicts) == {Verdict.REFUSED_FREE}
        assert (machine.state, machine.reason) == (State.HELD, "refuses_everything")
        assert send(machine, BAD_REQUEST, 31.0) is Verdict.REFUSED_FREE
        assert (machine.state, machine.since, machine.next_probe_at) == (State.HELD, 1.0, 33.0)

    def test_an_acceptance_in_between_shows_that_the_events_are_at_fault(self) -> None:
        machine = new_machine()
        for _ in range(4):
            assert send(machine, BAD_REQUEST, 1.0) is Verdict.REFUSED_FREE
        send(machine, OK, 1.0)
        assert {send(machine, BAD_REQUEST, 2.0) for _ in range(20)} == {Verdict.REFUSED}
        assert machine.state is State.OK

    def test_a_refused_probe_opens_but_does_not_forget_the_streak(self) -> None:
        """Well enough to judge a call; if the next request fails too, it was not well after all."""
        machine = backing_off()
        assert send(machine, BAD_REQUEST, 1.0) is Verdict.REFUSED
        assert (machine.state, machine.limit) == (State.OK, 1)
        assert {send(machine, UNAVAILABLE, 1.0) for _ in range(MAX_FAILURES_IN_DOUBT)} == {Verdict.RETRY_FREE}
        assert machine.state is State.BACKING_OFF


class TestTooLarge:
    def test_a_batch_that_is_too_large_halves_the_learned_size(self) -> None:
        machine = healthy()
        attempt = machine.start(1.0, 500)
        assert end(machine, attempt, TOO_LARGE, 1.0, batch_bytes=480_000) is Verdict.SPLIT
        assert machine.max_batch_bytes == 240_000
        assert machine.state is State.OK

    def test_batches_of_one_size_in_flight_together_halve_it_once(self) -> None:
        machine = healthy()
        attempts = [machine.start(1.0, 500) for _ in range(4)]
        assert {end(machine, attempt, TOO_LARGE, 1.0, batch_bytes=480_000) for attempt in attempts} == {Verdict.SPLIT}
        assert machine.max_batch_bytes == 240_000

    def test_the_learned_size_has_room_for_one_call_of_any_size(self) -> None:
        machine = healthy()
        assert end(machine, machine.start(1.0, 2), TOO_LARGE, 1.0, batch_bytes=900) is Verdict.SPLIT
        assert machine.max_batch_bytes == 33_000

    def test_the_learned_size_never_exceeds_the_configured_one(self) -> None:
        machine = DestinationMachine(max_in_flight=1, max_batch_bytes=20_000, now=0.0)
        end(machine, machine.start(0.0, 2), TOO_LARGE, 0.0, batch_bytes=20_000)
        assert machine.max_batch_bytes == 20_000


class TestPermits:
    def test_two_at_a_time_until_anything_was_accepted(self) -> None:
        """Many, each refused because of one event, would look as if it accepted nothing; one may hang."""
        machine = new_machine()
        first, _hangs = machine.start(0.0, 100), machine.start(0.0, 100)
        assert (machine.limit, machine.can_start(0.0)) == (2, False)
        assert end(machine, first, BAD_REQUEST, 1.0) is Verdict.REFUSED_FREE
        assert (machine.limit, machine.can_start(1.0)) == (2, True)
        send(machine, OK, 2.0)
        assert machine.limit == INITIAL_LIMIT

    def test_no_more_than_the_limit_are_in_flight(self) -> None:
        machine = healthy()
        attempts = [machine.start(0.0, 1) for _ in range(INITIAL_LIMIT)]
        assert not machine.can_start(0.0)
        assert machine.wake_at(0.0) is None, "time alone frees no permit"
        machine.abandon(attempts[0])
        assert machine.can_start(0.0)

    def test_an_attempt_ends_once(self) -> None:
        machine = new_machine()
        attempt = machine.start(0.0, 1)
        machine.abandon(attempt)
        with pytest.raises(KeyError):
            end(machine, attempt, OK, 0.0)

    def test_a_probe_does_not_wait_for_one_of_the_time_before(self) -> None:
        """A single event sent in doubt may hang; what the destination answers to others decides meanwhile."""
        machine = healthy()
        other = machine.start(1.0, 1)
        for _ in range(5):
            send(machine, UNAVAILABLE, 1.0)
        hung = machine.start(1.0, 1)
        assert hung.is_probe
        end(machine, other, OK, 2.0)
        assert machine.can_start(2.0)

    def test_a_cancelled_probe_is_due_again(self) -> None:
        machine = backing_off()
        machine.abandon(machine.start(1.0, 1))
        assert machine.state is State.BACKING_OFF
        assert machine.can_start(1.0)

    def test_a_clock_that_steps_back_raises_nothing(self) -> None:
        machine = healthy(100.0)
        attempt = machine.start(100.0, 1)
        assert end(machine, attempt, UNAVAILABLE, 99.0) is Verdict.RETRY_CHARGED
        close(machine, TOO_MANY, 98.0)
        assert not machine.can_start(97.0)
        assert machine.wake_at(97.0) == 99.0
        assert send(machine, OK, 99.0) is Verdict.DELIVERED
        assert machine.can_start(98.0)
