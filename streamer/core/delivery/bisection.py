"""Which calls of a refused batch are at fault, found with few requests.

A destination gives one answer for a whole batch. The *suspects* are a group of calls of which at least one is guilty.
Half of them are sent:

- refused: this half are the suspects now. Nothing is known about the other half, which joins the *unknown*.
- accepted: this half is delivered. A guilty call is in the other half, so that one is not sent as a whole.

A call is guilty only if it was refused alone. Then the unknown are sent as one batch, and become the suspects if they
are refused. To find one guilty call among ``n`` takes at most ``ceil(log2(n)) + 2`` requests, and so does each further
one.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Bisection(Generic[T]):
    """The search through one batch that was refused as a whole.

    Ask `next` for the calls to send, report `accepted` or `refused`, and repeat until `next` returns None. The search
    can be given up at any time, for instance when the destination becomes unhappy. Then `outstanding` are the calls
    without a verdict.

    Attributes:
        guilty: the calls found so far.
    """

    def __init__(self, calls: Sequence[T], *, evidence: bool) -> None:
        """Begin with the calls of a refused batch.

        Args:
            calls: the whole batch.
            evidence: whether the destination has accepted anything with the present key. If not, a refusal proves
                nothing. Then each call is sent alone until one is accepted; the calls refused before that are not
                guilty yet. If none is accepted, the search ends and all calls are outstanding.
        """
        self.guilty: list[T] = []
        self._evidence = evidence
        self._suspects = list(calls)
        self._unknown: list[T] = []
        self._tried_alone = 0  # suspects that were refused alone before there was evidence
        self._trial = self._choose_trial()

    def next(self) -> Sequence[T] | None:
        """The calls to send as one batch, the same until their answer is reported; None: the search has ended."""
        return self._trial or None

    def outstanding(self) -> list[T]:
        """The calls that are neither accepted nor guilty."""
        return self._suspects + self._unknown

    def accepted(self) -> None:
        """Report that the destination accepted the calls of `next`."""
        if not self._evidence:
            del self._suspects[self._tried_alone]
            self._evidence = True
        elif self._suspects:
            del self._suspects[: len(self._trial)]
        else:
            self._unknown = []
        self._trial = self._choose_trial()

    def refused(self) -> None:
        """Report that the destination refused the calls of `next`."""
        if not self._evidence:
            self._tried_alone += 1
        else:
            # The trial was the first half of the suspects or, if there were none, all of the unknown.
            self._unknown = self._suspects[len(self._trial) :] + (self._unknown if self._suspects else [])
            if len(self._trial) == 1:
                self.guilty += self._trial
                self._suspects = []
            else:
                self._suspects = self._trial
        self._trial = self._choose_trial()

    def _choose_trial(self) -> list[T]:
        if not self._evidence:
            return self._suspects[self._tried_alone : self._tried_alone + 1]
        if self._suspects:
            return self._suspects[: max(1, len(self._suspects) // 2)]
        return self._unknown
