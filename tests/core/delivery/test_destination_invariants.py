"""What holds for a destination whatever it answers and in whatever order requests end."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.destination import Attempt, DestinationMachine, State, Verdict
from streamer.core.delivery.rate import BURST_SECONDS

MAX_IN_FLIGHT: Final = 4
MAX_RATE: Final = 5.0
MAX_CALLS: Final = 3

common_statuses = st.sampled_from([200, 200, 200, 503, 503, 500, 429, 401, 400, 413])
waits = st.none() | st.floats(0, 1_000)
answers = (
    st.builds(answer_of_status, common_statuses | st.integers(100, 599), waits)
    | st.builds(answer_of_status, st.just(200), st.none())
    | st.builds(answer_of_fault, st.sampled_from(NetworkFault))
)
seconds = st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 31.0, 61.0, 301.0])


class MachineMachine(RuleBasedStateMachine):
    """Sends, answers, cancels, reloads and lets time pass, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.stepped_back = 0.0
        self.machine = DestinationMachine(
            max_in_flight=MAX_IN_FLIGHT, max_batch_bytes=480_000, max_calls_per_second=MAX_RATE, now=self.now
        )
        self.sent: list[tuple[float, int]] = []
        self.in_flight: list[Attempt] = []
        self.probe: Attempt | None = None
        self.charged: set[Attempt] = set()  # since the last 2xx
        self.to_refund: set[Attempt] = set()
        self.accepted_at: float | None = None

    @rule(passed=seconds)
    def time_passes(self, passed: float) -> None:
        self.now += passed

    @rule()
    def clock_steps_back(self) -> None:
        self.now -= 0.01
        self.stepped_back += 0.01

    @precondition(lambda self: self.machine.can_start(self.now))
    @rule(calls=st.integers(1, MAX_CALLS))
    def request_begins(self, calls: int) -> None:
        closed = self.machine.state is not State.OK
        attempt = self.machine.start(self.now, 1 if closed else calls)
        assert attempt.is_probe == closed
        assert len(self.in_flight) < MAX_IN_FLIGHT
        if closed:
            assert self.probe is None, "a second probe in flight"
            self.probe = attempt
        self.in_flight.append(attempt)
        self.sent.append((self.now, attempt.calls))
        assert len(self.in_flight) <= self.machine.limit or closed

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), answer=answers, jitter=st.floats(0, 1, exclude_max=True))
    def request_ends(self, data: st.DataObject, answer: Answer, jitter: float) -> None:
        attempt = self.forget(data)
        state = self.machine.state
        verdict = self.machine.finish(attempt, answer, self.now, jitter, 10_000)
        self.check_verdict(attempt, answer, verdict, state)
        if answer.kind is AnswerKind.ACCEPTED:
            self.charged.clear()
            self.accepted_at = self.now
        if verdict is Verdict.RETRY_CHARGED:
            self.charged.add(attempt)
        if self.machine.state is not state:
            self.probe = None
        if self.machine.state is not State.OK:
            self.to_refund |= self.charged
            self.charged.clear()

    def check_verdict(self, attempt: Attempt, answer: Answer, verdict: Verdict, state: State) -> None:
        assert (verdict is Verdict.DELIVERED) == (answer.kind is AnswerKind.ACCEPTED)
        assert (verdict is Verdict.SPLIT) == (answer.kind is AnswerKind.TOO_LARGE and attempt.calls > 1)
        if verdict is Verdict.RETRY_CHARGED:
            assert answer.kind is AnswerKind.UNHAPPY
            assert answer.status != 429
            assert state is self.machine.state is State.OK
            assert not attempt.is_probe
            assert self.accepted_at is not None
            assert self.accepted_at >= attempt.started_at - 60
        if verdict is Verdict.REFUSED:
            assert self.accepted_at is not None

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def request_is_cancelled(self, data: st.DataObject) -> None:
        self.machine.abandon(self.forget(data))

    def forget(self, data: st.DataObject) -> Attempt:
        attempt = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if attempt is self.probe:
            self.probe = None
        return attempt

    @rule()
    def configuration_changes(self) -> None:
        self.machine.reload(self.now)
        self.probe = None

    @rule()
    def refunds_are_taken(self) -> None:
        """Exactly the charges of streaks that closed it: none that was followed by a 2xx, and none twice."""
        refunds = self.machine.take_refunds()
        assert len(refunds) == len(self.to_refund)
        assert set(refunds) == self.to_refund
        self.to_refund.clear()

    @invariant()
    def permits_do_not_leak(self) -> None:
        assert self.machine.in_flight == len(self.in_flight)

    @invariant()
    def the_limit_stays_between_one_and_the_most(self) -> None:
        if self.machine.state is State.OK:
            assert 1 <= self.machine.limit <= MAX_IN_FLIGHT

    @invariant()
    def no_stretch_of_time_has_more_calls_than_the_rate(self) -> None:
        calls = 0
        for at, count in reversed(self.sent):
            calls += count
            assert calls <= MAX_RATE * (self.now - at + self.stepped_back + BURST_SECONDS) + MAX_CALLS

    @invariant()
    def something_limits_exactly_when_no_request_may_begin(self) -> None:
        limit = self.machine.limited_by(self.now)
        if self.machine.state is State.OK:
            assert (limit is None) == self.machine.can_start(self.now)
        else:
            assert limit is not None
            assert limit.value == self.machine.state.value

    @invariant()
    def a_request_can_begin_sooner_or_later(self) -> None:
        """Nothing in flight, and time passing: within five minutes the destination is asked again."""
        if not self.in_flight:
            wake_at = self.machine.wake_at(self.now)
            assert self.machine.can_start(self.now if wake_at is None else wake_at)
            assert wake_at is None or wake_at <= self.now + self.stepped_back + 300.1

    @invariant()
    def the_reason_is_told_exactly_when_something_is_wrong(self) -> None:
        assert (self.machine.reason == "") == (self.machine.state is State.OK)


TestDestination = MachineMachine.TestCase
