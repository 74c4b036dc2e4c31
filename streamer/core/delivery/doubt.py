"""Whose fault consecutive failures are: the destination's, or that of the events that failed.

Failures alone do not tell. Where one event in twenty fails, nearly every batch of fifty fails too, although the
destination works. So after `MAX_CONSECUTIVE_FAILURES` consecutive failures the destination is *in doubt*, and the next
requests carry a single event each. One that is accepted, or refused, ends the doubt. `MAX_FAILURES_IN_DOUBT` that fail
show that the destination is at fault.

Meanwhile events were charged for these failures. The charges stay open until it is known who was at fault:

- a call is accepted, or a single event refused: the destination works, so the charges stand;
- the destination asks us to wait, or is held: the fault is not the events', so the charges are taken back;
- it backs off because of failures alone: the first probe decides. If the probe is answered, the destination worked all
  along, and the charges stand. If it fails too, they are taken back.
"""

from typing import Final

from streamer.core.delivery.attempt import Attempt

MAX_CONSECUTIVE_FAILURES: Final = 5
"""Consecutive failures after which the destination is in doubt."""
MAX_FAILURES_IN_DOUBT: Final = 2
"""Requests with a single event that may fail then, before the destination is taken to be at fault."""


class Doubt:
    """The consecutive failures of one destination, and the charges that depend on them.

    Attributes:
        failures: failed requests since the last accepted one.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._failed_single_events = 0
        self._open_charges: list[Attempt] = []
        self._charges_of_backoff: list[Attempt] = []  # the first probe decides about them
        self._refunds: list[Attempt] = []

    @property
    def is_open(self) -> bool:
        """Whether the next requests must carry a single event each."""
        return self.failures >= MAX_CONSECUTIVE_FAILURES

    def failed(self, *, is_single_event: bool) -> None:
        """Count a failure; ``is_single_event``: the request was sent because of the doubt."""
        self.failures += 1
        self._failed_single_events += is_single_event

    def blames_destination(self, *, has_evidence: bool) -> bool:
        """Whether the failures are the destination's fault.

        Args:
            has_evidence: whether anything else shows that the destination works. If not, nobody was charged, and there
                is nothing to find out with single events.
        """
        return self._failed_single_events >= MAX_FAILURES_IN_DOUBT or (self.is_open and not has_evidence)

    def charge(self, attempt: Attempt) -> None:
        """The events of this attempt were charged; the charge is open."""
        self._open_charges.append(attempt)

    def dispel(self) -> None:
        """The destination works: there are no consecutive failures any more, and the open charges stand."""
        self.failures = self._failed_single_events = 0
        self._open_charges.clear()

    def leave_to_probe(self) -> None:
        """The destination backs off because of failures alone; the first probe decides about the open charges."""
        assert not self._charges_of_backoff, "decided when the destination opened"
        self._charges_of_backoff, self._open_charges = self._open_charges, []

    def let_charges_stand(self) -> None:
        """The destination opens again because a probe was answered."""
        self._failed_single_events = 0
        self._charges_of_backoff = []

    def take_charges_back(self) -> None:
        """The destination was at fault, or our set-up: no open charge stands."""
        self._refunds += self._charges_of_backoff + self._open_charges
        self._charges_of_backoff, self._open_charges = [], []

    def take_refunds(self) -> list[Attempt]:
        """The attempts whose charge was taken back since the last call."""
        refunds, self._refunds = self._refunds, []
        for attempt in refunds:
            attempt.is_refunded = True
        return refunds
