"""Whether a destination may be sent to, what an answer means for the events of its batch, and who is charged.

Theory of operation. A destination is in one of three states:

- ``ok``: up to ``limit`` requests are in flight, as many as `streamer.core.delivery.concurrency` finds that it holds;
  2 until anything was accepted; after a recovery 1, then one more each round trip (slow start). With a rate limit, a
  request may have to wait for that too.
- ``backing_off``: it is unhappy: it asked us to wait, or failed 5 times in a row and then to single events, too.
  Nothing is sent but one probe, after 1, 2, 4 .. 60 seconds or the wait that was asked for.
- ``held``: our set-up is wrong, or it refuses whatever it is sent. Nothing is sent but one probe every 30 seconds.

A fault of the destination or of ours is never a verdict on an event, hence the rule of evidence: an unhappy answer is
charged only if another call was accepted after the attempt began or in the 60 seconds before, and a refusal counts only
if anything was accepted with the present key. A call charged before that fails again is no failure in a
row: it tells of itself. After five failures in a row the destination is in doubt: where one event in twenty fails,
so does nearly every batch of fifty. Then the next request carries a single event, and another one if that fails; only
after both is it unhappy. The charges of a streak of failures that ends in another state than ``ok`` are taken back,
unless the first probe is accepted: then the destination worked all along, and the streak was one of events that fail.

The time between two changes of state is a *term*. An attempt that ends in another term than it began in is late, and
tells about a time that has passed. All that a late answer can do is: end ``backing_off`` or ``held`` when accepted,
unless the destination asked us to wait; make or prolong such a wait; and turn ``backing_off`` into ``held``, because it
says what is wrong. Times are monotonic seconds; a clock that steps back a little breaks nothing.
"""

import enum
from dataclasses import dataclass
from typing import Final

from streamer.core.delivery.answers import MAX_RETRY_AFTER_SECONDS, Answer, AnswerKind
from streamer.core.delivery.concurrency import ConcurrencyLimit
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.rate import CallRate

EVIDENCE_SECONDS: Final = 60.0
"""How long before an attempt a 2xx still shows that the destination worked."""
MAX_FAILURES_IN_ROW: Final = 5
"""Unhappy answers without a 2xx between them, at which the destination is in doubt."""
MAX_FAILURES_IN_DOUBT: Final = 2
"""Single events that may fail then, before it is taken for unhappy."""
MAX_REFUSALS_WITHOUT_EVIDENCE: Final = 5
"""Refused batches, nothing ever accepted, at which the fault is taken to be in our set-up."""
PERMITS_WITHOUT_EVIDENCE: Final = 2
"""Requests in flight until anything was accepted. More, each refused because of one event, would look as if nothing
were; a single one that hangs would stop all others."""
HELD_PROBE_SECONDS: Final = 30.0
MAX_BACKOFF_SECONDS: Final = 60.0
"""Longest wait before a probe, unless the destination asks for more. The first is 1 second; each is twice the last."""
MIN_BATCH_BYTES: Final = 33_000
"""The learned size of a batch never falls below this: one call of Segment's largest size with its envelope."""
REFUSES_EVERYTHING: Final = "refuses_everything"
"""Reason of a destination that is held although its answers, each by itself, blame the events."""

_MAX_DOUBLINGS: Final = 6
_BACKOFF_JITTER_SHARE: Final = 0.1
"""A backoff is up to this share shorter than documented; a wait that the destination asked for never is."""


class State(enum.StrEnum):
    """Whether a destination is sent to; see the theory of operation."""

    OK = "ok"
    BACKING_OFF = "backing_off"
    HELD = "held"


class Verdict(enum.StrEnum):
    """What to do with the calls of an attempt that has ended."""

    DELIVERED = "delivered"
    """Settle their records."""
    RETRY_CHARGED = "retry_charged"
    """Each is charged one attempt: park them as the `RetryPolicy` says. `take_refunds` may take the charge back."""
    RETRY_FREE = "retry_free"
    """The fault is not theirs: ready again, nothing charged."""
    REFUSED = "refused"
    """Bisect; dead-letter a call that was alone."""
    REFUSED_FREE = "refused_free"
    """Refused without evidence that the destination accepts anything: ready again, nothing charged."""
    SPLIT = "split"
    """Too large for one request: send them again in halves. ``max_batch_bytes`` has been lowered."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Attempt:
    """One request in flight. Compared and hashed by identity, so that its calls can be kept under it, weakly too."""

    started_at: float
    is_probe: bool
    calls: int
    term: int
    """Number of the term in which it began."""
    is_retry: bool = False
    """Whether its calls were charged before: then its failure says little about the destination."""
    took_last_permit: bool = False
    """Whether the limit was reached with it."""
    is_refunded: bool = False
    """Whether its charge was taken back."""


class DestinationMachine:
    """State, permits and evidence of one destination.

    Before a request ask `can_start` and take a permit with `start`; give it back with exactly one of `finish` and
    `abandon`.

    Attributes:
        state: the current state.
        since: monotonic time at which the state began.
        reason: error of the last fault that led to the state or kept it; "" when ok.
        failures_in_row: unhappy answers since the last 2xx, late ones apart.
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
            max_in_flight: most requests in flight, whatever the destination could hold.
            max_batch_bytes: largest batch.
            now: monotonic time.
            max_calls_per_second: see `CallRate`; None: any rate.
            held_probe_seconds: how often it is probed while held.
        """
        assert max_in_flight >= 1, "a destination without permits is never sent to"
        self.state = State.OK
        self.since = now
        self.reason = ""
        self.failures_in_row = 0
        self.last_accepted_at: float | None = None
        self.max_batch_bytes = max_batch_bytes
        self._max_in_flight = max_in_flight
        self._held_probe_seconds = held_probe_seconds
        self._in_flight: set[Attempt] = set()
        self._concurrency = ConcurrencyLimit(max_in_flight, now)
        self._rate = None if max_calls_per_second is None else CallRate(max_calls_per_second, now)
        self._term = 0
        self._accepts = False  # anything accepted with the present key
        self._key_since_term = 0
        self._refusals_without_evidence = 0
        self._probe: Attempt | None = None
        self._probe_due = now
        self._failed_probes = 0
        self._asked_to_wait = False
        self._failures_in_doubt = 0
        self._charged: list[Attempt] = []  # since the last 2xx
        self._in_doubt: list[Attempt] = []  # charged in the streak that led to backing off; the first probe decides
        self._refunds: list[Attempt] = []

    @property
    def in_flight(self) -> int:
        """Requests begun and not ended."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """Permits in force: what it holds, or slow start allows, when ok; else 1 while a probe is in flight, and 0."""
        if self.state is not State.OK:
            return int(self._probe is not None)
        return self._concurrency.permits if self._accepts else min(PERMITS_WITHOUT_EVIDENCE, self._concurrency.permits)

    @property
    def probing(self) -> bool:
        """Whether the next attempt would be a probe, which carries exactly one call."""
        return self.state is not State.OK or self.failures_in_row >= MAX_FAILURES_IN_ROW

    @property
    def next_probe_at(self) -> float | None:
        """Monotonic time at which a probe is due; None when ok, and while one is in flight."""
        return self._probe_due if self.state is not State.OK and self._probe is None else None

    def can_start(self, now: float) -> bool:
        """Whether a request may begin. Requests that are late hold their permits, so they can delay even a probe."""
        wake_at = self.wake_at(now)
        return wake_at is not None and wake_at <= now

    def wake_at(self, now: float) -> float | None:
        """The time, ``now`` or later, from which `can_start` is true; None if time alone will not make it so."""
        if self.probing:
            has_permit, due = self._probe is None and self.in_flight < self._max_in_flight, self._probe_due
        else:
            has_permit, due = self.in_flight < self.limit, now
        if not has_permit:
            return None
        return max(now, due if self._rate is None else max(due, self._rate.opens_at))

    def limited_by(self, now: float) -> Limit | None:
        """What keeps all requests but probes from beginning now; None: nothing does."""
        if self.state is not State.OK:
            return Limit.HELD if self.state is State.HELD else Limit.BACKING_OFF
        if self.probing:
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
        match answer.kind:
            case AnswerKind.ACCEPTED:
                return self._on_accepted(attempt, now)
            case AnswerKind.UNHAPPY:
                return self._on_unhappy(attempt, answer, now, jitter)
            case AnswerKind.SET_UP:
                return self._on_set_up(attempt, answer, now)
            case AnswerKind.TOO_LARGE if attempt.calls > 1:
                self.max_batch_bytes = min(self.max_batch_bytes, max(MIN_BATCH_BYTES, batch_bytes // 2))
                return Verdict.SPLIT
            case AnswerKind.TOO_LARGE | AnswerKind.REFUSED:
                return self._on_refused(attempt, now)

    def abandon(self, attempt: Attempt) -> None:
        """Give the permit of a cancelled request back; nothing is learnt. A probe that was due is due again."""
        self._in_flight.remove(attempt)  # KeyError: ended twice, or of another machine
        if attempt is self._probe:
            self._probe = None

    def take_refunds(self) -> list[Attempt]:
        """The attempts whose charge is taken back, each once: their streak was the destination's fault.

        Only the charge is taken back: the smaller groups in which their calls go again stay as they are.
        """
        refunds, self._refunds = self._refunds, []
        for attempt in refunds:
            attempt.is_refunded = True
        return refunds

    def key_changed(self) -> None:
        """Forget that anything was accepted, because that was with another key; call it before a probe of ``held``.

        Until something is accepted with the new key, a refusal says nothing about an event.
        """
        assert self.state is State.HELD, "keys are read again only before a probe of a held destination"
        assert self._probe is None, "the probe in flight has the old key"
        self._accepts = False
        self._key_since_term = self._term

    def _is_late(self, attempt: Attempt) -> bool:
        return attempt.term != self._term

    def _on_accepted(self, attempt: Attempt, now: float) -> Verdict:
        self.last_accepted_at = now
        self._end_doubt()
        if attempt.term >= self._key_since_term:
            self._accepts = True
            self._refusals_without_evidence = 0
        if self.state is State.OK:
            if not self._is_late(attempt):
                self._concurrency.answered(attempt.started_at, now, was_last=attempt.took_last_permit)
        elif not (self._is_late(attempt) and self._asked_to_wait):
            self._failed_probes = 0
            self._open(now)
        return Verdict.DELIVERED

    def _end_doubt(self) -> None:
        """It worked all along: what was charged stays charged."""
        self.failures_in_row = self._failures_in_doubt = 0
        self._charged.clear()

    def _on_unhappy(self, attempt: Attempt, answer: Answer, now: float, jitter: float) -> Verdict:
        late = self._is_late(attempt)
        if late and not answer.asks_to_wait:
            return Verdict.RETRY_FREE
        is_ok = self.state is State.OK
        has_evidence = (
            self.last_accepted_at is not None and self.last_accepted_at >= attempt.started_at - EVIDENCE_SECONDS
        )
        is_charged = is_ok and not attempt.is_probe and not answer.asks_to_wait and has_evidence
        if not (is_charged and attempt.is_retry):  # an event that fails again tells of itself, not of the destination
            self.failures_in_row += 1
            if answer.tells_overload and is_ok and not late:
                self._concurrency.overloaded(
                    attempt.started_at, now, was_last=attempt.took_last_permit, asks_to_wait=answer.asks_to_wait
                )
        self._failures_in_doubt += attempt.is_probe
        is_given_up = self.failures_in_row >= MAX_FAILURES_IN_ROW and not has_evidence
        if late and not is_ok:
            self._asked_to_wait = True
            self._probe_due = max(self._probe_due, now + self._backoff_seconds(answer, jitter))
        elif not is_ok or answer.asks_to_wait or is_given_up or self._failures_in_doubt >= MAX_FAILURES_IN_DOUBT:
            self._back_off(answer, now, jitter)
        elif is_charged:
            self._charged.append(attempt)
            return Verdict.RETRY_CHARGED
        return Verdict.RETRY_FREE

    def _on_set_up(self, attempt: Attempt, answer: Answer, now: float) -> Verdict:
        if self.state is State.BACKING_OFF or not self._is_late(attempt):
            self._close(State.HELD, answer.error, now, self._held_probe_seconds)
        return Verdict.RETRY_FREE

    def _on_refused(self, attempt: Attempt, now: float) -> Verdict:
        if not self._accepts:
            self._refusals_without_evidence += 1
        if not self._is_late(attempt):
            if self._refusals_without_evidence >= MAX_REFUSALS_WITHOUT_EVIDENCE:
                self._close(State.HELD, REFUSES_EVERYTHING, now, self._held_probe_seconds)
            elif self.state is not State.OK:
                self._open(now)  # it is well enough to judge a call
            elif attempt.is_probe:
                self._end_doubt()
        return Verdict.REFUSED if self._accepts else Verdict.REFUSED_FREE

    def _back_off(self, answer: Answer, now: float, jitter: float) -> None:
        in_doubt: list[Attempt] = []
        if self.state is State.BACKING_OFF:
            self._failed_probes += 1
        elif not answer.asks_to_wait:
            in_doubt, self._charged = self._charged, in_doubt
        self._close(State.BACKING_OFF, answer.error, now, self._backoff_seconds(answer, jitter))
        self._asked_to_wait = answer.asks_to_wait
        self._in_doubt = in_doubt

    def _backoff_seconds(self, answer: Answer, jitter: float) -> float:
        documented = min(2.0 ** min(self._failed_probes, _MAX_DOUBLINGS), MAX_BACKOFF_SECONDS)
        asked = min(answer.retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        return max(documented * (1 - _BACKOFF_JITTER_SHARE * jitter), asked)

    def _open(self, now: float) -> None:
        self._begin_term(State.OK, "", now)
        self._in_doubt = []
        self._concurrency.begin_slowly(now)
        self._probe_due = now
        self._asked_to_wait = False

    def _close(self, state: State, reason: str, now: float, wait_seconds: float) -> None:
        self._begin_term(state, reason, now)
        self._probe_due = max(self._probe_due, now + wait_seconds)
        self._refunds += self._in_doubt + self._charged
        self._in_doubt, self._charged = [], []

    def _begin_term(self, state: State, reason: str, now: float) -> None:
        self._term += 1
        self._probe = None
        self._failures_in_doubt = 0
        self._concurrency.interrupt()
        if state is not self.state:
            self.since = now
        self.state = state
        self.reason = reason
