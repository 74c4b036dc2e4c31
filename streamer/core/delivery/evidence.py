"""Who is charged for an answer: the calls that it was given to, or nobody, because it tells about the destination.

A fault of the destination or of ours is never charged to an event. This is the rule of evidence:

- Whatever a batch is answered with, other than a refusal, it is charged only if another call was accepted after the
  attempt began, or in the 60 seconds before. Without that, the answer is about the destination.
- A refusal counts against an event only if anything was accepted with the present key.
- When a call that already failed fails again, that says something about the call, and nothing about the destination.
- Any other failure brings the destination into doubt (`streamer.core.delivery.doubt`): unrelated events are asked. If
  they fail too, the charges are taken back.
"""

from typing import Final, NamedTuple

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.doubt import Doubt
from streamer.core.delivery.permits import MIN_OVERTAKEN
from streamer.core.delivery.transitions import Finding

EVIDENCE_SECONDS: Final = 60.0
"""How long before an attempt a 2xx still shows that the destination worked."""
MAX_REFUSALS_WITHOUT_EVIDENCE: Final = 5
"""Refused requests, while nothing was ever accepted, after which the fault is taken to be in our set-up."""


class Judgement(NamedTuple):
    """What an answer means."""

    verdict: Verdict
    """What becomes of the calls."""
    finding: Finding
    """What it shows about the destination."""
    overload: Attempt | None = None
    """A request that would not have failed, perhaps, with fewer at a time."""


class Evidence:
    """What the answers of one destination have shown so far.

    Attributes:
        accepts: whether anything was accepted with the present key.
        last_accepted_at: monotonic time of the last 2xx; None before the first.
        doubt: whether something speaks against the destination, and the charges that depend on it.
    """

    def __init__(self) -> None:
        self.accepts = False
        self.last_accepted_at: float | None = None
        self.doubt = Doubt()
        self._refusals_without_evidence = 0

    def accepted(self, now: float, *, has_present_key: bool, is_decider: bool) -> None:
        """A request was accepted.

        Args:
            now: when it was answered, in monotonic seconds.
            has_present_key: whether the destination's key is still the one it was made with.
            is_decider: whether it was the first one to begin after a batch was asked to wait.
        """
        self.last_accepted_at = now
        self.doubt.dispel()
        if is_decider:
            self.doubt.dispel_wait()
        if has_present_key:
            self.accepts = True
            self._refusals_without_evidence = 0

    def refused(self, attempt: Attempt, *, is_current: bool, is_decider: bool) -> Judgement:
        """A request was refused; ``is_current``: the destination was ok all the time."""
        verdict = Verdict.REFUSED if self.accepts else Verdict.REFUSED_FREE
        if not self.accepts:
            self._refusals_without_evidence += 1
            if self._refusals_without_evidence >= MAX_REFUSALS_WITHOUT_EVIDENCE:
                return Judgement(verdict, Finding.REFUSES_EVERYTHING)
        if attempt.is_probe and is_current:
            self.doubt.dispel()
        if is_decider:
            self.doubt.dispel_wait()
        return Judgement(verdict, Finding.JUDGES)

    def failed(
        self, attempt: Attempt, answer: Answer, *, is_current: bool, is_late: bool, is_decider: bool
    ) -> Judgement:
        """A request was neither accepted nor refused.

        Args:
            attempt: the request.
            answer: how it ended.
            is_current: whether the destination has been ok since it began. Else nobody is charged.
            is_late: whether the state has changed since it began.
            is_decider: whether it was the first one to begin after a batch was asked to wait.
        """
        if answer.asks_to_wait:
            return self._asked_to_wait(attempt, is_current=is_current, is_decider=is_decider)
        if is_late:
            is_set_up = answer.kind is AnswerKind.SET_UP
            return Judgement(Verdict.RETRY_FREE, Finding.SET_UP_IS_WRONG if is_set_up else Finding.FAILS)
        if answer.kind is AnswerKind.SET_UP:
            return self._set_up_seems_wrong(attempt, is_current=is_current)
        overload = None
        if not self._tells_about_calls(attempt, is_current=is_current):
            self.doubt.failed(is_single_event=attempt.is_probe)
            if answer.error == NetworkFault.HUNG and attempt.overtaken < MIN_OVERTAKEN:
                self.doubt.ask_others(is_single_event=False)
            if is_current and answer.tells_overload and not self._hung_alone(attempt, answer):
                overload = attempt
        return self._charge_unless_blamed(attempt, Finding.IS_AT_FAULT, overload, is_current=is_current)

    def forget_key(self) -> None:
        """The destination has another key: until something is accepted with it, a refusal says nothing about a call."""
        self.accepts = False

    def _set_up_seems_wrong(self, attempt: Attempt, *, is_current: bool) -> Judgement:
        if not is_current or not self._has_seen_it_work(attempt):
            return Judgement(Verdict.RETRY_FREE, Finding.SET_UP_IS_WRONG)
        if not self._tells_about_calls(attempt, is_current=is_current):
            self.doubt.ask_others(is_single_event=attempt.is_probe)
        return self._charge_unless_blamed(attempt, Finding.SET_UP_IS_WRONG, None, is_current=is_current)

    def _charge_unless_blamed(
        self, attempt: Attempt, blame: Finding, overload: Attempt | None, *, is_current: bool
    ) -> Judgement:
        if self.doubt.blames_destination(has_evidence=self._has_seen_it_work(attempt)):
            return Judgement(Verdict.RETRY_FREE, blame, overload)
        if not self._is_suspect(attempt, is_current=is_current):
            return Judgement(Verdict.RETRY_FREE, Finding.FAILS, overload)
        self.doubt.charge(attempt)
        return Judgement(Verdict.RETRY_CHARGED, Finding.FAILS, overload)

    def _asked_to_wait(self, attempt: Attempt, *, is_current: bool, is_decider: bool) -> Judgement:
        if self._tells_about_calls(attempt, is_current=is_current):
            self.doubt.charge(attempt)
            return Judgement(Verdict.RETRY_CHARGED, Finding.FAILS)
        if self._is_suspect(attempt, is_current=is_current) and not is_decider:
            self.doubt.charge_wait(attempt)
            return Judgement(Verdict.RETRY_CHARGED, Finding.FAILS)
        self.doubt.failed(is_single_event=attempt.is_probe)
        asked = [attempt, *self.doubt.charges_of_wait]
        overload = max(asked, key=lambda asking: asking.took_last_permit) if is_current else None
        return Judgement(Verdict.RETRY_FREE, Finding.ASKS_TO_WAIT, overload)

    def _has_seen_it_work(self, attempt: Attempt) -> bool:
        """Whether another call was accepted about when the attempt was made."""
        return self.last_accepted_at is not None and self.last_accepted_at >= attempt.started_at - EVIDENCE_SECONDS

    def _is_suspect(self, attempt: Attempt, *, is_current: bool) -> bool:
        """Whether the calls of an attempt that failed may be at fault.

        A single event that is sent because of a doubt stands for the destination, unless it failed before.
        """
        return is_current and self._has_seen_it_work(attempt) and (attempt.is_retry or not attempt.is_probe)

    def _tells_about_calls(self, attempt: Attempt, *, is_current: bool) -> bool:
        """Whether its calls failed before, so that another failure says nothing about the destination."""
        return attempt.is_retry and self._is_suspect(attempt, is_current=is_current)

    def _hung_alone(self, attempt: Attempt, answer: Answer) -> bool:
        """Whether it hung while another request was accepted: then it may have hung because of its calls.

        A destination with too many requests becomes slower first; that is what `ConcurrencyLimit` looks at.
        """
        is_timeout = answer.error == NetworkFault.TIMEOUT
        return is_timeout and self.last_accepted_at is not None and self.last_accepted_at >= attempt.started_at
