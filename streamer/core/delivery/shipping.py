"""What goes out next, and what becomes of calls whose request has an answer.

The shell borrows a permit, takes the next shipment, makes the request, and reports the answer here. A shipment that
was not accepted goes back into the outbox, waits for its next attempt, is divided to find the call at fault, or becomes
dead letters. Whatever ends here ends through `Custody`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.bisection import Bisection
from streamer.core.delivery.found import Found, OpenStage
from streamer.core.delivery.outbox import Outbox, Shipment, of_living
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter

BAD_REQUEST: Final = 400

MAX_EQUAL_AT_ONCE: Final = 1_000
"""Most records that share a verdict in one turn of the event loop; the others do once one of these has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that was not accepted."""

    attempt: Attempt
    verdict: Verdict
    answer: Answer
    began_at: float
    """Seconds since the epoch."""
    now: float
    """Monotonic seconds."""
    jitter: float
    """A draw from [0, 1), made by the caller."""


@dataclass(slots=True, kw_only=True)
class Aftermath:
    """What the shell has to do after a failure: write letters, log lines."""

    letters: list[PendingLetter] = field(default_factory=list)
    attempts: int = 0
    """Failed attempts of the most tried of the charged calls; 0: none was charged, or none waits."""
    wait_seconds: float = 0.0
    """How long the charged calls wait for their next attempt."""
    is_split: bool = False
    """Whether a refused batch is divided from now on, to find the calls at fault."""


class Shipping:
    """The calls of one integration from intake to their end."""

    def __init__(self, outbox: Outbox, policy: RetryPolicy, custody: Custody) -> None:
        """Begin with nothing to send.

        Args:
            outbox: what goes next.
            policy: when a charged event is sent again.
            custody: where records end.
        """
        self._outbox = outbox
        self._policy = policy
        self._custody = custody
        self._in_requests: set[Shipment] = set()

    @property
    def requests(self) -> int:
        """Requests without an answer."""
        return len(self._in_requests)

    def in_requests(self) -> Iterator[OpenRecord]:
        """The calls of requests without an answer."""
        for shipment in self._in_requests:
            yield from shipment.records

    def add(self, calls: Sequence[OpenRecord], now: float) -> None:
        """Take calls of one partition, fresh or charged by an earlier owner of it; ``now`` in monotonic seconds."""
        if calls and calls[0].ledger.knows_attempts:
            for call in calls:
                if call.attempts:
                    self._outbox.add_alone(call)
            calls = [call for call in calls if not call.attempts]
        if calls:
            self._outbox.add(calls, now)

    def calls(self) -> Iterator[OpenRecord]:
        """Every call between intake and its end: in a request, waiting for one, parked, or in a divided batch."""
        yield from self._outbox
        for shipment in self._in_requests:
            yield from shipment.calls()

    def find(self, message_id: str) -> list[Found]:
        """Where the records with a messageId are, the one that goes by itself first; empty: none is open."""
        call = self._custody.find(message_id)
        if call is None or call.ledger.is_fenced:
            return []
        due = self._outbox.parked_until(call)
        if any(call is other for other in self.in_requests()):
            stage = OpenStage.IN_REQUEST
        else:
            stage = OpenStage.WAITING if due is None else OpenStage.PARKED
        attached = (other for other in call.attached or () if not other.ledger.is_fenced)
        return [Found(call, stage, due), *(Found(other, OpenStage.ATTACHED, None) for other in attached)]

    def due_at(self, wanted: Wanted) -> float | None:
        """Monotonic time at which `next` gives a shipment, unless a call comes before; None: nothing waits."""
        return self._outbox.due_at(wanted)

    def release_due(self, now: float) -> None:
        """Make the parked events ready whose time has come."""
        self._custody.unpark(self._outbox.release_due(now))

    def release_refunded(self, attempts: Sequence[Attempt]) -> None:
        """These failures turned out to be the destination's fault: nothing is charged, and no call waits for them."""
        self._custody.unpark(self._outbox.release_refunded(attempts))

    def next(self, now: float, wanted: Wanted) -> Shipment | None:
        """The next shipment, in a request from now on; None when none is due.

        Args:
            now: monotonic time.
            wanted: what the destination lets it carry.
        """
        shipment = self._outbox.take(now, wanted)
        if shipment is not None:
            shipment.records = self._custody.newest(shipment.records)
            self._in_requests.add(shipment)
        return shipment

    def release_overtaken(self, now: float) -> None:
        """Parked events for which a newer one waits make way for it now; ``now`` in monotonic seconds."""
        overtaken = self._custody.take_overtaken()
        if overtaken:
            parked = self._outbox.take_parked(overtaken)
            self._custody.unpark(parked)
            self._outbox.add(parked, now)

    def answered(self, shipment: Shipment) -> None:
        """The request of a shipment has ended, in whichever way."""
        self._in_requests.discard(shipment)

    def accepted(
        self, shipment: Shipment, calls_by_ledger: Mapping[PartitionLedger, Sequence[OpenRecord]], now: float
    ) -> None:
        """The destination has accepted a shipment, and the receipts of its calls are written.

        Args:
            shipment: what was accepted.
            calls_by_ledger: its calls.
            now: monotonic seconds.
        """
        for successor in self._custody.deliver(calls_by_ledger):
            self.add([successor], now)
        if shipment.bisection is not None:
            shipment.bisection.accepted()
            self._outbox.go_on(shipment.bisection)

    def failed(self, shipment: Shipment, failure: Failure) -> Aftermath:
        """The destination has not accepted a shipment: decide what becomes of each of its calls."""
        failure.attempt.error = failure.answer.error
        for call in shipment.records:
            call.failures += 1
        calls, successors = self._custody.keep_ours(shipment.records)
        calls, newer = self._custody.keep_newest(calls)
        for successor in (*successors, *newer):
            self.add([successor], failure.now)
        aftermath = Aftermath()
        is_refused = failure.verdict in {Verdict.REFUSED, Verdict.REFUSED_FREE}
        if shipment.bisection is not None and not (is_refused and calls):
            self._outbox.give_up(shipment.bisection, but_for=calls)
        match failure.verdict:
            case _ if not calls:
                pass
            case Verdict.RETRY_CHARGED:
                self._charge(calls, failure, aftermath)
            case Verdict.RETRY_FREE:
                self._outbox.put_back(calls, was_probe=failure.attempt.is_probe)
            case Verdict.REFUSED | Verdict.REFUSED_FREE:
                self._refused(calls, shipment.bisection, failure, aftermath)
            case Verdict.SPLIT:
                self._outbox.put_back_halves(calls)
        return aftermath

    def written(self, letter: PendingLetter, now: float) -> list[PendingLetter]:
        """The broker has confirmed a dead letter; ``now`` in monotonic seconds.

        Returns:
            Those of the records that waited for its call, and whose call is the same: they share its verdict.
        """
        equal = self._custody.take_equal(letter, MAX_EQUAL_AT_ONCE)
        for successor in self._custody.dead_letter(letter):
            if letter.opened is not None and successor.body == letter.opened.body:
                equal.append(successor)  # the others wait for it
            else:
                self.add([successor], now)
        return letter.shared_by(equal)

    def drop_fenced(self, now: float) -> None:
        """Forget calls whose assignment has ended, but for those in a request; ``now`` in monotonic seconds."""
        self._outbox.drop_fenced()
        for successor in self._custody.release_fenced(list(self.in_requests())):
            self.add([successor], now)

    def _charge(self, calls: Sequence[OpenRecord], failure: Failure, aftermath: Aftermath) -> None:
        """Charge each event one attempt, and let it wait for the next one in smaller company.

        A batch that is asked to wait for the first time stays together: if the destination is busy after all, dividing
        it would make more requests.
        """
        for call in calls:
            call.charge(failure.attempt, failure.began_at)
        attempts = max(call.attempts for call in calls)
        plan = self._policy.after_failure(len(calls), attempts, failure.jitter)
        if plan is None:
            aftermath.letters += _letters_of(calls, DeadLetterReason.RETRIES_EXHAUSTED, failure.answer)
            return
        wait = max(plan.wait_seconds, failure.answer.retry_after_seconds or 0.0)
        aftermath.attempts, aftermath.wait_seconds = attempts, wait
        due = failure.now + wait
        group_size = len(calls) if failure.answer.asks_to_wait and attempts == 1 else plan.group_size
        for start in range(0, len(calls), group_size):
            group = calls[start : start + group_size]
            if failure.attempt.calls == 1:
                self._custody.park(group)
            overflow = self._outbox.park(group, due, failure.attempt)
            self._custody.unpark(overflow)
            aftermath.letters += _letters_of(overflow, DeadLetterReason.RETRIES_EXHAUSTED, failure.answer)

    def _refused(
        self,
        calls: Sequence[OpenRecord],
        bisection: Bisection[OpenRecord] | None,
        failure: Failure,
        aftermath: Aftermath,
    ) -> None:
        """Find the calls at fault. A refusal proves a fault only where the destination is known to accept calls."""
        answer, is_proof = failure.answer, failure.verdict is Verdict.REFUSED
        reason = DeadLetterReason.REJECTED_400 if answer.status == BAD_REQUEST else DeadLetterReason.REJECTED_4XX
        if bisection is not None:
            known = len(bisection.guilty)
            bisection.refused()
            aftermath.letters += _letters_of(of_living(bisection.guilty[known:]), reason, answer)
            self._outbox.go_on(bisection)
        elif len(calls) > 1:
            aftermath.is_split = True
            self._outbox.go_on(Bisection(calls, evidence=is_proof))
        elif is_proof:
            aftermath.letters += _letters_of(calls, reason, answer)
        else:
            self._outbox.put_back(calls, was_probe=True)


def _letters_of(calls: Sequence[OpenRecord], reason: DeadLetterReason, answer: Answer) -> list[PendingLetter]:
    is_exhausted = reason is DeadLetterReason.RETRIES_EXHAUSTED
    detail = (
        f"every attempt failed while the destination accepted other calls; the last one: {answer.error}"
        if is_exhausted
        else f"the destination refused this call alone with HTTP status {answer.status}, and accepts others"
    )
    return [
        PendingLetter(
            record=call.record,
            ledger=call.ledger,
            reason=reason,
            stage=Stage.DELIVER,
            detail=detail,
            error_class="UnhappyError" if is_exhausted else "RefusedError",
            opened=call,
            http_status=answer.status,
        )
        for call in calls
    ]
