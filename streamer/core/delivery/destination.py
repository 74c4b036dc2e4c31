"""Whether a destination may be sent to, what an answer means for the events of its batch, and who is charged.

Theory of operation. A destination is in one of three states:

- ``ok``: at most ``limit`` requests are in flight. `streamer.core.delivery.concurrency` finds out how many the
  destination can handle. The limit is 2 until anything was accepted. After a recovery it is 1, and grows by one each
  round trip (slow start). With a rate limit, a request may have to wait for that as well.
- ``backing_off``: the destination asked us to wait, or its failures are its own fault (`streamer.core.delivery.doubt`).
  Only probes are sent: one request with a single event, after 1, 2, 4 .. 60 seconds or after the wait it asked for.
- ``held``: our set-up is wrong, or the destination refuses everything. Only probes are sent, after 1, 2, 4 .. 30
  seconds.

A fault of the destination or of ours is never charged to an event. This is the rule of evidence:

- An unhappy answer is charged only if another call was accepted after the attempt began, or in the 60 seconds before.
- A refusal counts against an event only if anything was accepted with the present key.
- When a call that already failed fails again, that says something about the call. It does not count as a consecutive
  failure of the destination.
- Consecutive failures bring the destination into doubt. If they turn out to be its fault, their charges are taken back.

The time between two changes of state is a *term*. An attempt that ends in a later term than it began in is *late*: its
answer describes a time that has passed. `streamer.core.delivery.transitions` has the table of what answers, late or
not, do to the state. Times are monotonic seconds. A clock that steps back a little breaks nothing.

A *bar* (`streamer.core.delivery.bar`) lies over all this: nothing begins until it ends, and then the state goes on.
"""

from typing import Final

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.bar import Bar, Standing
from streamer.core.delivery.concurrency import ConcurrencyLimit
from streamer.core.delivery.doubt import Doubt
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.probing import HELD_PROBE_SECONDS, ProbeSchedule
from streamer.core.delivery.rate import CallRate
from streamer.core.delivery.transitions import Finding, Move, State, move_after

EVIDENCE_SECONDS: Final = 60.0
"""How long before an attempt a 2xx still shows that the destination worked."""
MAX_REFUSALS_WITHOUT_EVIDENCE: Final = 5
"""Refused requests, while nothing was ever accepted, after which the fault is taken to be in our set-up."""
PERMITS_WITHOUT_EVIDENCE: Final = 2
"""Requests in flight until anything was accepted. With more of them, each refused because of one event, the destination
would seem to refuse everything. With one, a request that hangs would stop all others."""
MIN_BATCH_BYTES: Final = 33_000
"""The learned size of a batch never falls below this: one call of Segment's largest size with its envelope."""
REFUSES_EVERYTHING: Final = "refuses_everything"
"""Reason of a destination that is held although each of its answers, taken alone, blames the events."""


class DestinationMachine:
    """State, permits and evidence of one destination.

    Before a request ask `can_start` and take a permit with `start`. Give it back with exactly one of `finish` and
    `abandon`.

    Attributes:
        state: the current state.
        since: monotonic time at which the state began.
        reason: error of the last fault that led to the state or kept it; "" when ok.
        last_accepted_at: monotonic time of the last 2xx; None before the first.
        max_batch_bytes: largest batch to send; lowered when the destination says 413.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        max_batch_bytes: int,
        now: float,
        max_calls_per_second: float | None = None,
        held_probe_seconds: float = HELD_PROBE_SECONDS,
    ) -> None:
        """Begin in ``ok``.

        Args:
            max_in_flight: most requests in flight, however many the destination could handle.
            max_batch_bytes: largest batch.
            now: monotonic time.
            max_calls_per_second: see `CallRate`; None: any rate.
            held_probe_seconds: longest wait before a probe while held.
        """
        assert max_in_flight >= 1, "a destination without permits is never sent to"
        self.state = State.OK
        self.since = now
        self.reason = ""
        self.last_accepted_at: float | None = None
        self.max_batch_bytes = max_batch_bytes
        self._max_in_flight = max_in_flight
        self._in_flight: set[Attempt] = set()
        self._concurrency = ConcurrencyLimit(max_in_flight, now)
        self._rate = None if max_calls_per_second is None else CallRate(max_calls_per_second, now)
        self._term = 0
        self._accepts = False  # anything accepted with the present key
        self._key_since_term = 0
        self._refusals_without_evidence = 0
        self._doubt = Doubt()
        self._probe: Attempt | None = None
        self._schedule = ProbeSchedule(now, held_probe_seconds)
        self._bar = Bar()

    @property
    def standing(self) -> Standing:
        """How it stands for whoever looks: while barred with a reason it is held, whatever was answered before."""
        return self._bar.over(Standing(self.state, self.since, self.reason))

    @property
    def in_flight(self) -> int:
        """Requests begun and not ended."""
        return len(self._in_flight)

    @property
    def failures_in_row(self) -> int:
        """Unhappy answers since the last 2xx, without late ones."""
        return self._doubt.failures

    @property
    def limit(self) -> int:
        """Permits in force: what the destination can handle or slow start allows. Not ok: 1 during a probe, else 0."""
        if self.standing.state is not State.OK:
            return int(self._probe is not None)
        return self._concurrency.permits if self._accepts else min(PERMITS_WITHOUT_EVIDENCE, self._concurrency.permits)

    @property
    def probing(self) -> bool:
        """Whether the next attempt would be a probe, which carries exactly one call."""
        return self.state is not State.OK or self._doubt.is_open

    @property
    def next_probe_at(self) -> float | None:
        """Monotonic time at which a probe is due; None when ok, and while one is in flight."""
        return self._schedule.due if self.state is not State.OK and self._probe is None else None

    def can_start(self, now: float) -> bool:
        """Whether a request may begin. Requests that are late hold their permits, so they can delay even a probe."""
        wake_at = self.wake_at(now)
        return wake_at is not None and wake_at <= now

    def wake_at(self, now: float) -> float | None:
        """The time, ``now`` or later, from which `can_start` is true; None if time alone will not make it so."""
        if self._bar.is_shut:
            return None
        if self.probing:
            has_permit, due = self._probe is None and self.in_flight < self._max_in_flight, self._schedule.due
        else:
            has_permit, due = self.in_flight < self.limit, now
        if not has_permit:
            return None
        return max(now, due if self._rate is None else max(due, self._rate.opens_at))

    def limited_by(self, now: float) -> Limit | None:
        """What keeps all requests but probes from beginning now; None: nothing does."""
        state = self.standing.state
        if state is not State.OK:
            return Limit.HELD if state is State.HELD else Limit.BACKING_OFF
        if self.probing or self._bar.is_shut:
            return Limit.DESTINATION
        if self.in_flight >= self.limit:
            return Limit.DESTINATION if self.limit < self._max_in_flight else Limit.CONCURRENCY
        return None if self.can_start(now) else Limit.RATE

    def start(self, now: float, calls: int, *, is_retry: bool = False) -> Attempt:
        """Take a permit for a request with this many calls; ``is_retry``: all of them were charged before."""
        assert self.can_start(now), f"no permit: {self.state}, {self.in_flight} in flight"
        assert calls == 1 if self.probing else calls >= 1, f"{calls} calls in state {self.state}"
        attempt = Attempt(now, self.probing, calls, self._term, is_retry)
        self._in_flight.add(attempt)
        attempt.took_last_permit = self.in_flight >= self.limit
        if attempt.is_probe:
            self._probe = attempt
        if self._rate is not None:
            self._rate.spend(calls, now)
        return attempt

    def finish(self, attempt: Attempt, answer: Answer, now: float, jitter: float, batch_bytes: int) -> Verdict:
        """Give the permit back, learn from the answer, and say what becomes of the calls.

        Args:
            attempt: what `start` returned.
            answer: how the request ended.
            now: monotonic time.
            jitter: a draw from [0, 1), made by the caller.
            batch_bytes: size of the batch as sent, before compression.
        """
        self.abandon(attempt)
        if answer.kind is AnswerKind.TOO_LARGE and attempt.calls > 1:
            self.max_batch_bytes = min(self.max_batch_bytes, max(MIN_BATCH_BYTES, batch_bytes // 2))
            return Verdict.SPLIT
        is_late = self._is_late(attempt)
        match answer.kind:
            case AnswerKind.ACCEPTED:
                verdict, finding = self._on_accepted(attempt, now)
            case AnswerKind.UNHAPPY:
                verdict, finding = self._on_unhappy(attempt, answer, now)
            case AnswerKind.SET_UP:
                verdict, finding = Verdict.RETRY_FREE, Finding.SET_UP_IS_WRONG
            case AnswerKind.TOO_LARGE | AnswerKind.REFUSED:
                verdict, finding = self._on_refused(attempt)
        move = move_after(finding, self.state, is_late=is_late, asked_to_wait=self._schedule.asked_to_wait)
        reason = REFUSES_EVERYTHING if finding is Finding.REFUSES_EVERYTHING else answer.error
        self._make(move, reason, answer, now, jitter)
        return verdict

    def abandon(self, attempt: Attempt) -> None:
        """Give the permit of a cancelled request back; nothing is learnt. A probe that was due is due again."""
        self._in_flight.remove(attempt)  # KeyError: ended twice, or of another machine
        if attempt is self._probe:
            self._probe = None

    def take_refunds(self) -> list[Attempt]:
        """The attempts whose charge is taken back, each once: the destination was at fault.

        Only the charge is taken back. Their calls still go again in the smaller groups made for the retry.
        """
        return self._doubt.take_refunds()

    def bar(self, reason: str, now: float) -> None:
        """Let nothing begin, probes included, until `unbar`. What is in flight ends as it ends, and is late.

        Args:
            reason: why; "": whether there is a reason is not known yet.
            now: monotonic time.
        """
        self._bar.shut(reason, now)
        self._begin_term(self.state, self.reason, now)

    def unbar(self) -> None:
        """End the bar, if there is one. The state goes on as it was before."""
        self._bar.open()

    def key_changed(self) -> None:
        """Forget that anything was accepted, because that was with another key; call it while held or barred.

        Until something is accepted with the new key, a refusal says nothing about an event.
        """
        assert self.standing.state is State.HELD, "keys are read again only while nothing but a probe may begin"
        assert self._probe is None, "the probe in flight has the old key"
        self._accepts = False
        self._key_since_term = self._term

    def _is_late(self, attempt: Attempt) -> bool:
        return attempt.term != self._term

    def _on_accepted(self, attempt: Attempt, now: float) -> tuple[Verdict, Finding]:
        self.last_accepted_at = now
        self._doubt.dispel()
        if attempt.term >= self._key_since_term:
            self._accepts = True
            self._refusals_without_evidence = 0
        if self.state is State.OK and not self._is_late(attempt):
            self._concurrency.answered(attempt.started_at, now, was_last=attempt.took_last_permit)
        return Verdict.DELIVERED, Finding.ACCEPTS

    def _on_unhappy(self, attempt: Attempt, answer: Answer, now: float) -> tuple[Verdict, Finding]:
        is_late = self._is_late(attempt)
        if is_late and not answer.asks_to_wait:
            return Verdict.RETRY_FREE, Finding.FAILS
        has_evidence = (
            self.last_accepted_at is not None and self.last_accepted_at >= attempt.started_at - EVIDENCE_SECONDS
        )
        is_chargeable = self.state is State.OK and has_evidence and not attempt.is_probe and not answer.asks_to_wait
        if not (is_chargeable and attempt.is_retry):
            self._doubt.failed(is_single_event=attempt.is_probe)
            if answer.tells_overload and self.state is State.OK and not is_late:
                self._concurrency.overloaded(
                    attempt.started_at, now, was_last=attempt.took_last_permit, asks_to_wait=answer.asks_to_wait
                )
        if answer.asks_to_wait:
            return Verdict.RETRY_FREE, Finding.ASKS_TO_WAIT
        if self._doubt.blames_destination(has_evidence=has_evidence):
            return Verdict.RETRY_FREE, Finding.IS_AT_FAULT
        if not is_chargeable:
            return Verdict.RETRY_FREE, Finding.FAILS
        self._doubt.charge(attempt)
        return Verdict.RETRY_CHARGED, Finding.FAILS

    def _on_refused(self, attempt: Attempt) -> tuple[Verdict, Finding]:
        if self._accepts:
            verdict = Verdict.REFUSED
        else:
            verdict = Verdict.REFUSED_FREE
            self._refusals_without_evidence += 1
            if self._refusals_without_evidence >= MAX_REFUSALS_WITHOUT_EVIDENCE:
                return verdict, Finding.REFUSES_EVERYTHING
        if attempt.is_probe and self.state is State.OK and not self._is_late(attempt):
            self._doubt.dispel()
        return verdict, Finding.JUDGES

    def _make(self, move: Move, reason: str, answer: Answer, now: float, jitter: float) -> None:
        match move:
            case Move.STAY:
                pass
            case Move.RECOVER | Move.OPEN:
                self._doubt.let_charges_stand()
                self._schedule.open(now, is_recovery=move is Move.RECOVER)
                self._begin_term(State.OK, "", now)
                self._concurrency.begin_slowly(now)
            case Move.BACK_OFF:
                if self.state is State.OK and not answer.asks_to_wait:
                    self._doubt.leave_to_probe()
                else:
                    self._doubt.take_charges_back()
                self._schedule.back_off(answer, now, jitter, is_probe_failed=self.state is State.BACKING_OFF)
                self._begin_term(State.BACKING_OFF, reason, now)
            case Move.PROLONG:
                self._schedule.prolong(answer, now, jitter)
            case Move.HOLD:
                self._doubt.take_charges_back()
                self._schedule.hold(now, is_probe_failed=self.state is State.HELD)
                self._begin_term(State.HELD, reason, now)

    def _begin_term(self, state: State, reason: str, now: float) -> None:
        self._term += 1
        self._probe = None
        self._concurrency.interrupt()
        if state is not self.state:
            self.since = now
        self.state = state
        self.reason = reason
