"""Whether a destination may be sent to, what an answer means for the events of its batch, and who is charged.

Theory of operation. A destination is in one of three states:

- ``ok``: at most ``limit`` requests are in flight. `streamer.core.delivery.concurrency` finds out how many the
  destination can handle. The limit is 2 until anything was accepted. After a recovery it is 1, and grows by one each
  round trip (slow start). With a rate limit, a request may have to wait for that as well.
- ``backing_off``: the destination asked us to wait, or its failures are its own fault.
  Only probes are sent: one request with a single event, after 1, 2, 4 .. 60 seconds or after the wait it asked for.
- ``held``: our set-up is wrong, or the destination refuses everything. Only probes are sent, after 1, 2, 4 .. 30
  seconds.

`streamer.core.delivery.evidence` says what an answer means for the calls that it was given to, and whose fault it is.

The time between two changes of state is a *term*. An attempt that ends in a later term than it began in is *late*: its
answer describes a time that has passed. `streamer.core.delivery.transitions` has the table of what answers, late or
not, do to the state. Times are monotonic seconds. A clock that steps back a little breaks nothing.

A *bar* (`streamer.core.delivery.bar`) lies over all this: nothing begins until it ends, and then the state goes on.
"""

from collections.abc import Collection
from typing import Final

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.bar import Bar, Standing
from streamer.core.delivery.evidence import Evidence, Judgement
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.permits import Permits
from streamer.core.delivery.probing import HELD_PROBE_SECONDS, ProbeSchedule
from streamer.core.delivery.transitions import Finding, Move, State, move_after

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
        max_batch_bytes: largest batch to send; lowered when the destination says 413.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        max_batch_bytes: int,
        max_batch_calls: int = 1,
        now: float,
        max_calls_per_second: float | None = None,
        held_probe_seconds: float = HELD_PROBE_SECONDS,
    ) -> None:
        """Begin in ``ok``.

        Args:
            max_in_flight: most requests in flight, however many the destination could handle.
            max_batch_bytes: largest batch.
            max_batch_calls: most calls of a batch.
            now: monotonic time.
            max_calls_per_second: see `CallRate`; None: any rate.
            held_probe_seconds: longest wait before a probe while held.
        """
        assert max_in_flight >= 1, "a destination without permits is never sent to"
        self.state = State.OK
        self.since = now
        self.reason = ""
        self.max_batch_bytes = max_batch_bytes
        self._permits = Permits(
            most=max_in_flight, max_batch_calls=max_batch_calls, max_calls_per_second=max_calls_per_second, now=now
        )
        self._concurrency = self._permits.concurrency
        self._term = 0
        self._key_since_term = 0
        self._evidence = Evidence()
        self._doubt = self._evidence.doubt
        self._probe: Attempt | None = None
        self._decider: Attempt | None = None  # its answer says whether a wait is asked of all
        self._schedule = ProbeSchedule(now, held_probe_seconds)
        self._bar = Bar()

    @property
    def standing(self) -> Standing:
        """How it stands for whoever looks: while barred with a reason it is held, whatever was answered before."""
        return self._bar.over(Standing(self.state, self.since, self.reason))

    @property
    def in_flight(self) -> int:
        """Requests begun and not ended."""
        return len(self._permits)

    @property
    def limit(self) -> int:
        """Permits in force: what the destination can handle or slow start allows. Not ok: 1 during a probe, else 0."""
        if self.standing.state is not State.OK:
            return int(self._probe is not None)
        return self._permits.limit(accepts=self._evidence.accepts)

    @property
    def probing(self) -> bool:
        """Whether the next attempt would be a probe, which carries exactly one call."""
        return self.state is not State.OK or self._doubt.is_open

    @property
    def next_probe_at(self) -> float | None:
        """Monotonic time at which a probe is due; None when ok, while one is in flight, and while barred."""
        is_awaited = self.state is not State.OK and self._probe is None and not self._bar.is_shut
        return self._schedule.due if is_awaited else None

    def can_start(self, now: float) -> bool:
        """Whether a request may begin. Requests that are late hold their permits, so they can delay even a probe."""
        wake_at = self.wake_at(now)
        return wake_at is not None and wake_at <= now

    def wake_at(self, now: float) -> float | None:
        """The time, ``now`` or later, from which `can_start` is true; None if time alone will not make it so."""
        if self._bar.is_shut:
            return None
        if self.probing:
            has_permit, due = self._probe is None and self.in_flight < self._permits.most, self._schedule.due
        else:
            has_permit, due = self._has_permit, now
        return max(due, self._permits.opens_at(now)) if has_permit else None

    @property
    def _has_permit(self) -> bool:
        """Whether a batch may begin as far as those in flight are concerned."""
        return self.in_flight < self.limit and self._permits.has_room and self._decider is None

    def limited_by(self, now: float) -> Limit | None:
        """What keeps all requests but probes from beginning now; None: nothing does."""
        state = self.standing.state
        if state is not State.OK:
            return Limit.HELD if state is State.HELD else Limit.BACKING_OFF
        if self.probing or self._decider is not None or self._bar.is_shut:
            return Limit.DESTINATION
        if not self._has_permit:
            return Limit.DESTINATION if self.in_flight >= self.limit < self._permits.most else Limit.CONCURRENCY
        return None if self.can_start(now) else Limit.RATE

    def wanted(self) -> Wanted:
        """What the next request may carry."""
        return Wanted(
            max_bytes=self.max_batch_bytes,
            is_probe=self.probing,
            is_unrelated=self._doubt.suspects_wait,
            may_resend=self.probing or self._permits.may_resend(self.limit),
            may_resend_alone=self.probing or self._permits.may_resend_alone(self.limit),
            takes_turns=self.limit == 1,
        )

    def whose_turn(self, waiting: Collection[str]) -> str:
        """Which of the integrations that wait for a permit gets the next one; see `Permits.whose_turn`."""
        return self._permits.whose_turn(waiting)

    def start(
        self, now: float, calls: int, *, is_retry: bool = False, is_resend: bool = False, integration: str = ""
    ) -> Attempt:
        """Take a permit for a request.

        Args:
            now: monotonic time.
            calls: how many it carries.
            is_retry: whether all of them were charged before.
            is_resend: whether they come from a batch that failed.
            integration: whose calls they are.
        """
        assert self.can_start(now), f"no permit: {self.state}, {self.in_flight} in flight"
        assert calls == 1 if self.probing else calls >= 1, f"{calls} calls in state {self.state}"
        attempt = Attempt(now, self.probing, calls, self._term, is_retry, is_resend, integration)
        if attempt.is_probe:
            self._probe = attempt
        if self._doubt.suspects_wait:
            self._decider = attempt
        self._permits.take(attempt, self.limit, now)
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
        is_decider = attempt is self._decider
        self.abandon(attempt)
        if answer.kind is AnswerKind.TOO_LARGE and attempt.calls > 1:
            self.max_batch_bytes = min(self.max_batch_bytes, max(MIN_BATCH_BYTES, batch_bytes // 2))
            return Verdict.SPLIT
        is_late = attempt.term != self._term
        verdict, finding, overload = self._judge(attempt, answer, now, is_late=is_late, is_decider=is_decider)
        if self.state is State.OK and not is_late:
            self._learn_concurrency(attempt, answer, now, overload)
        move = move_after(finding, self.state, is_late=is_late, asked_to_wait=self._schedule.asked_to_wait)
        reason = REFUSES_EVERYTHING if finding is Finding.REFUSES_EVERYTHING else answer.error
        self._make(move, reason, answer, now, jitter)
        return verdict

    def abandon(self, attempt: Attempt) -> None:
        """Give the permit of a cancelled request back; nothing is learnt. A probe that was due is due again."""
        self._permits.give_back(attempt)
        self._probe = None if attempt is self._probe else self._probe
        self._decider = None if attempt is self._decider else self._decider

    def hanging(self, now: float) -> list[Attempt]:
        """The requests that need not be waited for any longer; see `Permits.hanging`."""
        return self._permits.hanging(self.limit, now) if self.state is State.OK else []

    def take_refunds(self) -> list[Attempt]:
        """The attempts whose charge is taken back, each once: the destination was at fault.

        Only the charge is taken back. Their calls still go again in the smaller groups made for the retry.
        """
        return self._doubt.take_refunds()

    def bar(self, reason: str, now: float) -> None:
        """Let nothing begin, probes included, until `unbar`; what is in flight is late. See `Bar.shut`."""
        self._bar.shut(reason, now)
        self._begin_term(self.state, self.reason, now)

    def unbar(self) -> None:
        """End the bar, if there is one. The state goes on as it was before."""
        self._bar.open()

    def probe_now(self, now: float) -> None:
        """If it is held, have it probed at once: an operator says that our set-up was corrected."""
        if self.state is State.HELD:
            self._schedule.hasten(now)

    def key_changed(self, now: float) -> None:
        """Forget that anything was accepted, because that was with another key; what is in flight is late.

        Until something is accepted with the new key, a refusal says nothing about an event.
        """
        self._begin_term(self.state, self.reason, now)
        self._evidence.forget_key()
        self._key_since_term = self._term

    def has_present_key(self, attempt: Attempt) -> bool:
        """Whether a request was made with the key that is in use now."""
        return attempt.term >= self._key_since_term

    def _judge(self, attempt: Attempt, answer: Answer, now: float, *, is_late: bool, is_decider: bool) -> Judgement:
        is_current = self.state is State.OK and not is_late
        match answer.kind:
            case AnswerKind.ACCEPTED:
                self._evidence.accepted(now, has_present_key=self.has_present_key(attempt), is_decider=is_decider)
                return Judgement(Verdict.DELIVERED, Finding.ACCEPTS)
            case AnswerKind.UNHAPPY | AnswerKind.SET_UP:
                return self._evidence.failed(
                    attempt, answer, is_current=is_current, is_late=is_late, is_decider=is_decider
                )
            case AnswerKind.TOO_LARGE | AnswerKind.REFUSED:
                return self._evidence.refused(attempt, is_current=is_current, is_decider=is_decider)

    def _learn_concurrency(self, attempt: Attempt, answer: Answer, now: float, overload: Attempt | None) -> None:
        if answer.kind is AnswerKind.ACCEPTED:
            self._permits.accepted(attempt, now)
            self._concurrency.answered(attempt.started_at, now, was_last=attempt.took_last_permit)
        elif overload is not None:
            self._concurrency.overloaded(
                overload.started_at, now, was_last=overload.took_last_permit, asks_to_wait=answer.asks_to_wait
            )

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
        self._probe = self._decider = None
        self._concurrency.interrupt()
        if state is not self.state:
            self.since = now
        self.state = state
        self.reason = reason
