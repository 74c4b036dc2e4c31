"""Whose fault it is that requests fail while the destination seemed to work: the destination's, or the events'.

One answer does not tell. Where one event in twenty fails, nearly every batch of fifty fails too, although the
destination works; and a firewall that blocks one event answers 403 for its whole batch. So unrelated events are asked:

- After `MAX_CONSECUTIVE_FAILURES` consecutive failures, after one answer that says our set-up is wrong, or after a
  request that hangs when nothing else shows that the destination works, the destination is *in doubt*: the next
  requests carry a single event each. One that is accepted, or refused, ends the doubt. `MAX_FAILURES_IN_DOUBT` that
  fail show that the destination is at fault.
- After an answer that asks us to wait, one more request may begin, the *decider*, with calls that are unrelated. If it
  is accepted, the wait concerns the batch that was answered so. If it is asked to wait as well, the wait concerns all.

Meanwhile events were charged for these answers. The charges stay open until it is known who was at fault:

- an unrelated call is accepted, or a single event refused: the destination works, so the charges stand;
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
    """What speaks against one destination, and the charges that depend on whether it is true.

    Attributes:
        failures: failed requests since the last accepted one.
        charges_of_wait: the requests that were answered so, and charged.
        suspects_wait: whether a batch was asked to wait, and no request that began later has been accepted yet.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.suspects_wait = False
        self._asks_others = False
        self._failed_single_events = 0
        self._open_charges: list[Attempt] = []
        self.charges_of_wait: list[Attempt] = []
        self._charges_of_backoff: list[Attempt] = []  # the first probe decides about them
        self._refunds: list[Attempt] = []

    @property
    def is_open(self) -> bool:
        """Whether the next requests must carry a single event each."""
        return self._asks_others or self.failures >= MAX_CONSECUTIVE_FAILURES

    def failed(self, *, is_single_event: bool) -> None:
        """Count a failure; ``is_single_event``: the request was sent because of the doubt."""
        self.failures += 1
        self._failed_single_events += is_single_event

    def ask_others(self, *, is_single_event: bool) -> None:
        """An answer may be about all events, or about these; ``is_single_event``: it was sent because of the doubt."""
        self._asks_others = True
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

    def charge_wait(self, attempt: Attempt) -> None:
        """A batch was asked to wait, and charged; the decider says whether that stands."""
        self.suspects_wait = True
        self.charges_of_wait.append(attempt)

    def dispel(self) -> None:
        """The destination works: there are no consecutive failures any more, and the open charges stand."""
        self.failures = self._failed_single_events = 0
        self._asks_others = False
        self._open_charges.clear()

    def dispel_wait(self) -> None:
        """A request that began after the answer which asked for a wait was accepted: the wait is that batch's."""
        self.suspects_wait = False
        self.charges_of_wait.clear()

    def leave_to_probe(self) -> None:
        """The destination backs off because of failures alone; the first probe decides about the open charges."""
        assert not self._charges_of_backoff, "decided when the destination opened"
        self._charges_of_backoff = self._open_charges + self.charges_of_wait
        self._open_charges, self.charges_of_wait = [], []
        self._asks_others = self.suspects_wait = False

    def let_charges_stand(self) -> None:
        """The destination opens again because a probe was answered."""
        self._failed_single_events = 0
        self._charges_of_backoff = []

    def take_charges_back(self) -> None:
        """The destination was at fault, or our set-up: no open charge stands."""
        self._refunds += self._charges_of_backoff + self._open_charges + self.charges_of_wait
        self._charges_of_backoff, self._open_charges, self.charges_of_wait = [], [], []
        self._asks_others = self.suspects_wait = False

    def take_refunds(self) -> list[Attempt]:
        """The attempts whose charge was taken back since the last call."""
        refunds, self._refunds = self._refunds, []
        for attempt in refunds:
            attempt.is_refunded = True
        return refunds
