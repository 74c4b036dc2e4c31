"""Which calls of a refused batch are at fault, found with few requests.

A destination gives one answer for a whole batch. Of a group that is known to hold a guilty call, the *suspects*, one
half is sent:

- refused: the suspects shrink to that half, and nothing is known about the other one, which joins the *unknown*;
- accepted: that half is delivered, and the guilty call is in the other half, which therefore is not sent as a whole.

A call is guilty only when it was refused alone. Then the unknown are sent as one batch, and become the suspects if they
are refused. One guilty call among ``n`` costs at most ``ceil(log2(n)) + 2`` requests, each further one as many again.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Bisection(Generic[T]):
    """The search through one batch that was refused as a whole.

    Ask `next` for the calls to send, report `accepted` or `refused`, and repeat until `next` gives None. It can be left
    at any time, for instance when the destination turns unhappy: `outstanding` are the calls without a verdict then.
    """

    def __init__(self, calls: Sequence[T], *, evidence: bool) -> None:
        """Begin with the calls of a refused batch.

        Args:
            calls: the whole batch.
            evidence: whether the destination has accepted anything since its configuration was loaded. If it has not, a
                refusal proves nothing. Calls are then sent alone, in turn, until one is accepted, and those refused
                before that are not guilty yet. If none is accepted the search ends with all of them outstanding.
        """
        self.guilty: list[T] = []
        self._evidence = evidence
        self._suspects = list(calls)
        self._unknown: list[T] = []
        self._tried_alone = 0  # how many of the suspects were refused alone before there was any evidence
        self._trial = self._choose_trial()

    def next(self) -> Sequence[T] | None:
        """The calls to send as one batch; the same until their answer is reported. None: the search has ended."""
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
            # Either the first of the suspects, or, when there are none, all of the unknown.
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
