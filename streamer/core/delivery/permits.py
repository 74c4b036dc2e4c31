"""How many requests of one destination may be in flight, and whose turn is next.

A permit is one request. Three limits hold at once: the requests that the destination can handle
(`streamer.core.delivery.concurrency`), the calls in flight, and the calls a second, if a rate is configured. Permits
have shares: calls of batches that failed get half of them, so that calls which hang until their timeout, or a long
search for refused calls, leave the other half to fresh ones. Of that half, retries that go alone get one half, because
the company of a failing event is mostly innocent. Integrations that wait for a permit take turns.

A request is *overdue* when it takes `OVERDUE_FACTOR` times as long as requests usually do. An overdue batch that others
have overtaken *hangs*: it need not keep its permit until the timeout. Nothing can overtake while all permits are in
overdue batches, or while a probe keeps the others waiting. Then the oldest, or the probe, is given up after
`MAX_STANDSTILL_SECONDS`, so that another event can be asked.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final

from streamer.core.delivery.attempt import Attempt
from streamer.core.delivery.concurrency import ConcurrencyLimit
from streamer.core.delivery.rate import CallRate

PERMITS_WITHOUT_EVIDENCE: Final = 2
"""Requests in flight until anything was accepted. With more of them, each refused because of one event, the destination
would seem to refuse everything. With one, a request that hangs would stop all others."""
MIN_CALLS_IN_FLIGHT: Final = 5_000
"""Calls that may be in flight however short a round trip is. What is in flight at a kill is sent again, so there are no
more of them than a destination needs that answers in less than 0.1 s."""
FULL_SPEED_CALLS: Final = 65_000
"""Calls a second that the limit of calls in flight leaves room for when round trips are longer. One process makes no
more of them."""

MIN_OVERTAKEN: Final = 2
"""Accepted requests that began after an overdue batch, from which on it counts as hanging."""
OVERDUE_FACTOR: Final = 10
"""How many times the usual round trip an overdue request takes at least."""
MIN_OVERDUE_SECONDS: Final = 2.0
"""A request that takes less is never overdue, however short round trips are."""
MAX_STANDSTILL_SECONDS: Final = 10.0
"""How long all permits may be in overdue batches, or longer where round trips are. It is long because a destination
that pauses as a whole mostly goes on, and what is given up by then is sent twice."""

_WEIGHT: Final = 0.05
"""That of the latest round trip in the usual one."""


class Permits:
    """The requests in flight of one destination. Times are monotonic seconds."""

    def __init__(self, *, most: int, max_batch_calls: int, max_calls_per_second: float | None, now: float) -> None:
        """Begin with none in flight.

        Args:
            most: most requests in flight, however many the destination could handle.
            max_batch_calls: most calls of a batch.
            max_calls_per_second: see `CallRate`; None: any rate.
            now: monotonic time.
        """
        self.most = most
        self.concurrency = ConcurrencyLimit(most, now)
        self._max_batch_calls = max_batch_calls
        self._rate = None if max_calls_per_second is None else CallRate(max_calls_per_second, now)
        self._taken: set[Attempt] = set()
        self._calls = 0
        self._round_trip = 0.0
        self._turns = 0
        self._last_turns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def limit(self, *, accepts: bool) -> int:
        """Requests that may be in flight now; ``accepts``: whether the destination ever accepted anything."""
        permits = self.concurrency.permits
        return permits if accepts else min(PERMITS_WITHOUT_EVIDENCE, permits)

    @property
    def has_room(self) -> bool:
        """Whether another batch keeps the calls in flight below their limit; one batch may be in flight in any case."""
        most = max(MIN_CALLS_IN_FLIGHT, int(FULL_SPEED_CALLS * self.concurrency.base_seconds))
        return not self._taken or self._calls + self._max_batch_calls <= most

    def opens_at(self, now: float) -> float:
        """When the rate lets another request begin, not before ``now``."""
        return now if self._rate is None else max(now, self._rate.opens_at)

    def may_resend(self, limit: int) -> bool:
        """Whether calls of a batch that failed may have another one of ``limit`` permits."""
        return sum(attempt.is_resend for attempt in self._taken) < max(limit // 2, 1)

    def may_resend_alone(self, limit: int) -> bool:
        """Whether an event whose retry goes alone may have another one of ``limit`` permits."""
        alone = sum(attempt.is_retry and attempt.calls == 1 for attempt in self._taken)
        return alone < max(limit // 4, 1) and self.may_resend(limit)

    def accepted(self, attempt: Attempt, now: float) -> None:
        """A request was accepted at ``now``; it has overtaken those in flight that began before it."""
        seconds = now - attempt.started_at
        self._round_trip += (seconds - self._round_trip) * (_WEIGHT if self._round_trip else 1.0)
        for other in self._taken:
            other.overtaken += other.started_at < attempt.started_at

    def hanging(self, limit: int, now: float) -> list[Attempt]:
        """The requests to wait for no longer.

        An event that goes alone may be a slow one. It has its whole timeout, unless it is a probe.

        Args:
            limit: requests that may be in flight now.
            now: monotonic time.
        """
        longest = OVERDUE_FACTOR * self._round_trip
        overdue = [each for each in self._taken if now - each.started_at >= max(longest, MIN_OVERDUE_SECONDS)]
        hanging = [each for each in overdue if each.calls > 1 and each.overtaken >= MIN_OVERTAKEN]
        if hanging or not overdue:
            return hanging
        probes = [each for each in overdue if each.is_probe]
        batches = [each for each in overdue if each.calls > 1] if len(overdue) >= limit else []
        oldest = min(probes or batches, key=lambda each: each.started_at, default=None)
        is_long_enough = oldest is not None and now - oldest.started_at >= max(longest, MAX_STANDSTILL_SECONDS)
        return [oldest] if oldest is not None and is_long_enough else []

    def whose_turn(self, waiting: Collection[str]) -> str:
        """Which of the integrations that wait gets the next permit: the one with the fewest requests in flight.

        Of several with equally few, it is the one whose last turn is longest ago.
        """
        in_flight = Counter(attempt.integration for attempt in self._taken)
        return min(waiting, key=lambda name: (in_flight[name], self._last_turns.get(name, -1)))

    def take(self, attempt: Attempt, limit: int, now: float) -> None:
        """One of ``limit`` permits is in use for a request that begins now."""
        self._taken.add(attempt)
        self._turns += 1
        self._last_turns[attempt.integration] = self._turns
        self._calls += attempt.calls
        is_share_used = attempt.is_resend and not self.may_resend(limit)
        attempt.took_last_permit = len(self._taken) >= limit or is_share_used or not self.has_room
        if self._rate is not None:
            self._rate.spend(attempt.calls, now)

    def give_back(self, attempt: Attempt) -> None:
        """The request has ended.

        Raises:
            KeyError: it has ended before, or is another destination's.
        """
        self._taken.remove(attempt)
        self._calls -= attempt.calls
