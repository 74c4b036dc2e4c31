"""What holds for a destination whatever it answers and in whatever order requests end."""

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.doubt import MAX_CONSECUTIVE_FAILURES
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.rate import BURST_SECONDS
from streamer.core.delivery.transitions import State

MAX_IN_FLIGHT: Final = 4
MAX_RATE: Final = 5.0
MAX_CALLS: Final = 3

ACCEPTED: Final = answer_of_status(200, None)
UNAVAILABLE: Final = answer_of_status(503, None)
TOO_MANY: Final = answer_of_status(429, None)
UNAUTHORIZED: Final = answer_of_status(401, None)
BAD_REQUEST: Final = answer_of_status(400, None)
HUNG: Final = answer_of_fault(NetworkFault.HUNG)

common_statuses = st.sampled_from([200, 200, 200, 503, 503, 500, 429, 401, 400, 413])
waits = st.none() | st.floats(0, 1_000)
answers = (
    st.builds(answer_of_status, common_statuses | st.integers(100, 599), waits)
    | st.just(ACCEPTED)
    | st.builds(answer_of_fault, st.sampled_from(NetworkFault))
)
seconds = st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 31.0, 61.0, 301.0])


class MachineMachine(RuleBasedStateMachine):
    """Sends, answers, cancels, bars, changes the key and lets time pass, in any order.

    The model of refunds: a charge made while the destination is ok is open until something decides about it. An
    accepted call, or a refused probe, shows that the destination worked: open charges stand. A hold, or a wait that is
    asked of all, shows that it did not: they are taken back. Failures alone show neither: then the first probe decides.
    A charge for a wait stands only once a request is accepted, or refused, that began later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.stepped_back = 0.0
        self.machine = DestinationMachine(
            max_in_flight=MAX_IN_FLIGHT, max_batch_bytes=480_000, max_calls_per_second=MAX_RATE, now=self.now
        )
        self.sent: list[tuple[float, int]] = []
        self.in_flight: list[Attempt] = []
        self.late: set[Attempt] = set()  # in flight since before the last change
        self.probe: Attempt | None = None
        self.failures = 0  # unhappy answers since the last 2xx
        self.others_are_asked = False
        self.asked: set[Attempt] = set()  # were asked to wait, and it is not decided for whom that counts
        self.decider: Attempt | None = None
        self.charged: set[Attempt] = set()  # open charges, while it is ok
        self.undecided: set[Attempt] = set()  # open charges, while it is backing off
        self.to_refund: set[Attempt] = set()
        self.accepted_at: float | None = None
        self.has_evidence = False  # that the present key is accepted
        self.with_old_key: set[Attempt] = set()
        self.bar: str | None = None

    @rule(passed=seconds)
    def time_passes(self, passed: float) -> None:
        self.now += passed

    @rule()
    def clock_steps_back(self) -> None:
        self.now -= 0.01
        self.stepped_back += 0.01

    @precondition(lambda self: self.machine.can_start(self.now))
    @rule(calls=st.integers(1, MAX_CALLS), is_retry=st.booleans())
    def request_begins(self, calls: int, *, is_retry: bool = False) -> None:
        assert self.bar is None
        probing = self.machine.probing
        if self.machine.state is State.OK:
            assert not probing or self.failures >= MAX_CONSECUTIVE_FAILURES or self.others_are_asked
            assert probing or self.decider is None, "one request decides at a time"
        else:
            assert probing
        attempt = self.machine.start(self.now, 1 if probing else calls, is_retry=is_retry)
        assert attempt.is_probe == probing
        assert len(self.in_flight) < MAX_IN_FLIGHT
        if probing:
            assert self.probe is None, "a second probe in flight"
            self.probe = attempt
        if self.asked:
            self.decider = attempt
        self.in_flight.append(attempt)
        self.sent.append((self.now, attempt.calls))
        assert len(self.in_flight) <= self.machine.limit or probing

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), answer=answers, jitter=st.floats(0, 1, exclude_max=True))
    def request_ends(self, data: st.DataObject, answer: Answer, jitter: float) -> None:
        self.end(self.forget(data), answer, jitter)

    @rule(answer=st.sampled_from([UNAVAILABLE, UNAVAILABLE, TOO_MANY, BAD_REQUEST]))
    def requests_fail(self, answer: Answer) -> None:
        """As many as bring the destination into doubt, as far as it lets them begin. Random answers seldom do that."""
        for _ in range(MAX_CONSECUTIVE_FAILURES):
            if self.machine.can_start(self.now):
                self.request_begins(1)
                self.end(self.in_flight.pop(), answer, 0.0)

    @precondition(lambda self: self.machine.wake_at(self.now) is not None)
    @rule(answer=st.sampled_from([ACCEPTED, ACCEPTED, UNAVAILABLE, TOO_MANY, UNAUTHORIZED, BAD_REQUEST, HUNG]))
    def next_request_is_answered_at_once(self, answer: Answer) -> None:
        """As soon as one may begin, for a probe after its wait: so a machine goes through many states in few steps."""
        self.now = max(self.now, self.machine.wake_at(self.now) or 0.0)
        self.request_begins(1)
        self.end(self.in_flight.pop(), answer, 0.0)

    def end(self, attempt: Attempt, answer: Answer, jitter: float) -> None:
        before = self.machine.state
        is_late = attempt in self.late
        verdict = self.machine.finish(attempt, answer, self.now, jitter, 10_000)
        self.check_verdict(attempt, answer, verdict, before)
        self.note_evidence(attempt, answer, verdict, before)
        after = self.machine.state
        self.forget_roles(attempt)
        if after is not before:
            self.begin_term()
        assert self.bar is None or attempt in self.late, "begun before the bar, or begun in spite of it"
        if after is State.OK:
            if before is not State.OK:
                self.undecided.clear()
            return
        charged = self.charged | self.asked
        if before is State.OK and after is State.BACKING_OFF and not answer.asks_to_wait:
            self.undecided = charged
        elif after is not before or (attempt.is_probe and not is_late):
            self.to_refund |= charged | self.undecided
            self.undecided = set()
        else:
            return
        self.charged = set()
        self.asked, self.others_are_asked = set(), False

    def forget_roles(self, attempt: Attempt) -> None:
        """It has ended, and neither probes nor decides any more."""
        self.probe = None if attempt is self.probe else self.probe
        self.decider = None if attempt is self.decider else self.decider

    def note_evidence(self, attempt: Attempt, answer: Answer, verdict: Verdict, before: State) -> None:
        """What the answer of an attempt shows about the charges that are open."""
        if answer.kind is AnswerKind.ACCEPTED:
            self.decide_wait(attempt)
            self.failures = 0
            self.others_are_asked = False
            self.charged.clear()
            self.accepted_at = self.now
            self.has_evidence |= attempt not in self.with_old_key
        elif answer.kind is AnswerKind.UNHAPPY:
            self.failures += 1
            self.others_are_asked |= before is State.OK and answer.error == NetworkFault.HUNG
        elif answer.kind is AnswerKind.SET_UP:
            self.others_are_asked |= before is State.OK
        elif verdict is not Verdict.SPLIT and before is self.machine.state is State.OK:
            self.decide_wait(attempt)
            if attempt.is_probe and attempt not in self.late:
                self.failures = 0
                self.others_are_asked = False
                self.charged.clear()
        if verdict is Verdict.RETRY_CHARGED:
            if answer.asks_to_wait and not attempt.is_retry:
                self.asked.add(attempt)
            else:
                self.charged.add(attempt)

    def decide_wait(self, attempt: Attempt) -> None:
        if attempt is self.decider:
            self.asked = set()

    def begin_term(self) -> None:
        """Whatever is in flight tells about a time that has passed."""
        self.late.update(self.in_flight)
        self.probe = self.decider = None

    def check_verdict(self, attempt: Attempt, answer: Answer, verdict: Verdict, state: State) -> None:
        assert (verdict is Verdict.DELIVERED) == (answer.kind is AnswerKind.ACCEPTED)
        assert (verdict is Verdict.SPLIT) == (answer.kind is AnswerKind.TOO_LARGE and attempt.calls > 1)
        if verdict is Verdict.RETRY_CHARGED:
            assert answer.kind in {AnswerKind.UNHAPPY, AnswerKind.SET_UP}
            assert state is self.machine.state is State.OK
            assert attempt.is_retry or not attempt.is_probe
            assert attempt.is_retry or not (answer.asks_to_wait and attempt is self.decider), (
                "that is the destination's"
            )
            assert self.accepted_at is not None
            assert self.accepted_at >= attempt.started_at - 60
        if verdict is Verdict.REFUSED:
            assert self.has_evidence

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def request_is_cancelled(self, data: st.DataObject) -> None:
        attempt = self.forget(data)
        self.machine.abandon(attempt)
        self.forget_roles(attempt)

    def forget(self, data: st.DataObject) -> Attempt:
        return self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))

    @rule(reason=st.sampled_from(["", "unknown_write_key", "wrong_region"]))
    def it_is_barred(self, reason: str) -> None:
        self.machine.bar(reason, self.now)
        self.bar = reason
        self.begin_term()

    @rule()
    def it_is_unbarred(self) -> None:
        before = (self.machine.state, self.machine.since, self.machine.reason)
        self.machine.unbar()
        self.bar = None
        assert self.machine.standing == before, "it goes on where it was"

    @rule()
    def key_changes(self) -> None:
        self.machine.key_changed(self.now)
        self.begin_term()
        self.has_evidence = False
        self.with_old_key.update(self.in_flight)

    def teardown(self) -> None:
        self.refunds_are_taken()

    @rule()
    def refunds_are_taken(self) -> None:
        """Exactly the charges that the model takes back, and none twice."""
        refunds = self.machine.take_refunds()
        assert len(refunds) == len(self.to_refund)
        assert set(refunds) == self.to_refund
        self.to_refund.clear()

    @invariant()
    def what_is_waited_for_no_longer_is_in_flight_and_no_probe_of_a_closed_destination(self) -> None:
        hanging = self.machine.hanging(self.now + 100.0)
        assert set(hanging) <= set(self.in_flight)
        assert self.machine.state is State.OK or not hanging

    @invariant()
    def permits_do_not_leak(self) -> None:
        assert self.machine.in_flight == len(self.in_flight)

    @invariant()
    def the_limit_stays_between_one_and_the_most(self) -> None:
        if self.machine.standing.state is State.OK:
            assert 1 <= self.machine.limit <= MAX_IN_FLIGHT

    @invariant()
    def no_stretch_of_time_has_more_calls_than_the_rate(self) -> None:
        calls = 0
        for at, count in reversed(self.sent):
            calls += count
            assert calls <= MAX_RATE * (self.now - at + self.stepped_back + BURST_SECONDS) + MAX_CALLS

    @invariant()
    def something_limits_exactly_when_no_batch_may_begin(self) -> None:
        """A probe is no batch: the state, or the doubt, limits although a probe may begin."""
        limit = self.machine.limited_by(self.now)
        state = self.machine.standing.state
        if state is State.OK:
            if self.machine.probing or self.bar is not None:
                assert limit is Limit.DESTINATION
            else:
                assert (limit is None) == self.machine.can_start(self.now)
        else:
            assert limit is not None
            assert limit.value == state.value

    @invariant()
    def a_request_can_begin_sooner_or_later(self) -> None:
        """Nothing in flight, and time passing: within five minutes the destination is asked again."""
        if not self.in_flight and self.bar is None:
            wake_at = self.machine.wake_at(self.now)
            assert self.machine.can_start(self.now if wake_at is None else wake_at)
            assert wake_at is None or wake_at <= self.now + self.stepped_back + 300.1

    @invariant()
    def the_reason_is_told_exactly_when_something_is_wrong(self) -> None:
        assert (self.machine.reason == "") == (self.machine.state is State.OK)
        assert (self.machine.standing.reason == "") == (self.machine.standing.state is State.OK)

    @invariant()
    def nothing_begins_while_it_is_barred(self) -> None:
        if self.bar is not None:
            assert self.machine.wake_at(self.now) is None
            assert not self.machine.can_start(self.now + 1_000)
        if self.bar:
            assert self.machine.standing.state is State.HELD
            assert (self.machine.standing.reason, self.machine.limit) == (self.bar, 0)


TestDestination = MachineMachine.TestCase
TestDestination.settings = settings(max_examples=200)
