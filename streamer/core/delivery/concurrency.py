"""How many concurrent requests a destination gets. The limit is found by trying, and adapted while requests are sent.

Theory of operation. The *base* is the round trip of a destination without a queue. The limit rises by one in each
*round* in which requests use all permits and round trips are no slower than the base. It falls for two reasons only:

- The destination is overloaded: it asks us to wait, or a tenth of its answers are 408, 503, 504 or timeouts. Then the
  limit falls by three tenths, once for all requests in flight, and stays below the level that failed for 30 seconds.
  A single failure does not count: if each one cost permits, one permit would be left in the end.
- Round trips have become slower, and a *trial* shows that our requests are the cause. Slower round trips alone do not
  show that, because the receiver, the network or the batches may have changed.

In a trial the limit is lowered by three tenths for a short time, and round trips are compared:

- They become shorter, and the throughput stays. Then our requests queued at the destination. By Little's law it can
  handle without a queue: old limit x round trip in the trial / round trip before. If this is not above the limit of
  the trial, requests still queue, and another trial follows.
- They do not become shorter. Then our requests are not the cause. The old limit is restored, and the present round trip
  is the new base.

A trial thus measures the base. A base measured while requests queue is too long, so there is a trial after 5 seconds
and then every 30 seconds in any case. Between trials the base only falls, when round trips are clearly shorter.

Round trips vary: one process on a busy machine sees 2 ms and 20 ms alternately. So a decision uses the mean of a round
and its standard error, never a single round trip. A round counts accepted requests that took the last permit, because
others say nothing about the limit. It begins when the requests in flight at the last change have been answered, and
ends when the result is clear, after one to several times as many answers as the limit. An unclear result changes
nothing, and differences below 2 ms are ignored. Larger batches look like a slower receiver, and a trial treats them in
the same way.
"""

import math
from typing import Final, NamedTuple

INITIAL_LIMIT: Final = 8
"""Limit at the start, or half of ``max_in_flight`` if that is less: the first trial needs room above and below."""
DECREASE: Final = 0.7
"""Share of the limit that is left in a trial, and after the destination was overloaded."""
MIN_LIMIT_BY_LATENCY: Final = 2
"""Lowest limit of a trial. With one request at a time, our own pauses between requests would distort the result."""
FIRST_TRIAL_SECONDS: Final = 5.0
"""Time until the first trial. Until then the limit may grow, because there is often a backlog at the start."""
REMEASURE_SECONDS: Final = 30.0
"""Time from one trial to the next."""
OVERLOAD_SECONDS: Final = 30.0
"""How long the limit stays below the level at which the destination was overloaded."""
SETTLED_SECONDS: Final = 8.0
"""How long the limit does not rise above the result of a trial."""

MIN_FAILING_SHARE: Final = 0.1
"""Share of overloaded answers, mostly of the last fifty, at which the limit falls although no wait was asked for."""

_FAILING_WEIGHT: Final = 0.02
_SLOWER_RATIO: Final = 1.1
_SLOWER_SECONDS: Final = 0.002
"""Round trips are slower if they exceed the base by a tenth plus this many seconds."""
_MIN_ROUND: Final = 10
_MAX_ROUND: Final = 100
_MAX_TRIAL: Final = 60
"""Answers after which a round, or a trial, ends although its result is unclear. If the limit is higher, it counts."""
_SUSPICION_ERRORS: Final = 2.5
_PROOF_ERRORS: Final = 1.5
_CLEAN_ERRORS: Final = 0.5
"""How many standard errors a mean must differ: to begin a trial, to end it, and to raise the limit."""
_HEADROOM: Final = 1.08
"""Factor by which the limit may exceed the result of a trial: a low limit costs more throughput than a high one."""


class _Round:
    """Round trips since the last change of the limit."""

    __slots__ = ("_squares", "_sum", "count", "to_skip")

    def __init__(self, to_skip: int) -> None:
        self.to_skip = to_skip
        """Answers still to come from requests that began before."""
        self.count = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self._sum += seconds
        self._squares += seconds * seconds

    @property
    def mean(self) -> float:
        return self._sum / self.count

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(max(self._squares / self.count - self.mean**2, 0.0) / (self.count - 1))


class _Trial(NamedTuple):
    """The limit and the round trips before a trial."""

    limit: int
    mean: float
    error: float


class ConcurrencyLimit:
    """The limit of one destination. Times are monotonic seconds."""

    def __init__(self, most: int, now: float) -> None:
        """Begin with a limit of `INITIAL_LIMIT`, or half of ``most`` if that is less; ``most`` is never exceeded."""
        self._most = most
        self._limit = min(INITIAL_LIMIT, max(most // 2, 1))
        self._ceiling = most
        self._kept_until = now
        self._lowered_at = -math.inf
        self._slow_start = most
        self._slow_start_raised_at = now
        self._base: float | None = None
        self._measured_at = now - REMEASURE_SECONDS + FIRST_TRIAL_SECONDS
        self._trial: _Trial | None = None
        self._failing_share = 0.0
        self._round = _Round(0)

    @property
    def permits(self) -> int:
        """Requests that may be in flight now, at least 1."""
        return min(self._limit, self._slow_start)

    @property
    def base_seconds(self) -> float:
        """The round trip without a queue, as far as it is known; 0.0: not yet."""
        return self._base or 0.0

    def begin_slowly(self, now: float) -> None:
        """Start slowly after a recovery: one request in flight, one more after each round trip, up to the limit."""
        self._slow_start = 1
        self._slow_start_raised_at = now

    def answered(self, started_at: float, now: float, *, was_last: bool) -> None:
        """Learn from an accepted request.

        Args:
            started_at: when it began.
            now: when it was answered.
            was_last: whether it took the last permit.
        """
        self._failing_share *= 1 - _FAILING_WEIGHT
        if self._slow_start < self._limit:
            self._go_on_slowly(started_at, now)
            return
        if not was_last:
            return
        if self._round.to_skip:
            self._round.to_skip -= 1
            return
        self._round.add(now - started_at)
        longest = max(_MAX_ROUND if self._trial is None else _MAX_TRIAL, self._limit)
        is_last_look = self._round.count >= longest
        if not is_last_look and self._round.count % max(self._limit, _MIN_ROUND):
            return
        if self._trial is None:
            self._look(now, is_last=is_last_look)
        else:
            self._judge(self._trial, now, is_last=is_last_look)

    def overloaded(self, started_at: float, now: float, *, was_last: bool, asks_to_wait: bool) -> None:
        """Learn from an answer of an overloaded destination.

        Args:
            started_at: when it began.
            now: when it was answered, or given up.
            was_last: whether it took the last permit.
            asks_to_wait: whether the destination asks for fewer requests.
        """
        self._failing_share += _FAILING_WEIGHT * (1 - self._failing_share)
        if not was_last or started_at <= self._lowered_at:
            return
        if not asks_to_wait and self._failing_share < MIN_FAILING_SHARE:
            return
        self.interrupt()
        self._lowered_at = now
        self._keep_to(max(self._limit - 1, 1), now + OVERLOAD_SECONDS)
        self._begin_round(max(int(self._limit * DECREASE), 1))

    def interrupt(self) -> None:
        """Give up the present round and trial, because requests stop for some time."""
        permits = self._limit if self._trial is None else self._trial.limit
        self._trial = None
        self._begin_round(permits)

    def _go_on_slowly(self, started_at: float, now: float) -> None:
        """Add a permit once each round trip: at the first answer to a request that began after the last addition."""
        if started_at >= self._slow_start_raised_at:
            self._slow_start += 1
            self._slow_start_raised_at = now
            if self._slow_start >= self._limit:
                self._slow_start = self._most

    def _look(self, now: float, *, is_last: bool) -> None:
        """Raise the limit, begin a trial, or change nothing, depending on the round."""
        mean, error = self._round.mean, self._round.error
        if self._base is None or _slower_than(mean + _SUSPICION_ERRORS * error) < self._base:
            self._base = mean
        excess = mean - _slower_than(self._base)
        is_clean = excess < (0 if is_last else -_CLEAN_ERRORS * error)
        is_slower = excess > (1 if is_last else _SUSPICION_ERRORS) * error
        is_due = (is_clean or is_last) and now - self._measured_at >= REMEASURE_SECONDS
        if is_slower or is_due:
            self._try_fewer(now)
        elif is_clean:
            self._grow(now)
        elif is_last:
            self._begin_round(self._limit)

    def _try_fewer(self, now: float) -> None:
        fewer = int(self._limit * DECREASE)
        if fewer < MIN_LIMIT_BY_LATENCY:
            self._settle(self._limit, now)
        else:
            self._trial = _Trial(self._limit, self._round.mean, self._round.error)
            self._begin_round(fewer)

    def _judge(self, trial: _Trial, now: float, *, is_last: bool) -> None:
        """End the trial if its result is clear: whether round trips have become shorter with fewer requests."""
        mean = self._round.mean
        gain = trial.mean - _slower_than(mean)
        doubt = _PROOF_ERRORS * math.hypot(trial.error, _SLOWER_RATIO * self._round.error)
        if abs(gain) < doubt and not is_last:
            return
        held = trial.limit * mean / trial.mean
        if gain <= doubt:
            self._settle(trial.limit, now)
        elif held <= self._limit:
            self._try_fewer(now)  # requests still queue
        else:
            self._keep_to(round(held * _HEADROOM), now + SETTLED_SECONDS)
            self._settle(self._ceiling, now)

    def _settle(self, limit: int, now: float) -> None:
        """End a trial: the round trips of this round are the new base, and ``limit`` is in force."""
        self._base, self._measured_at = self._round.mean, now
        self._trial = None
        self._begin_round(limit)

    def _grow(self, now: float) -> None:
        if now >= self._kept_until:
            self._ceiling = self._most
        self._begin_round(max(self._limit, min(self._limit + 1, self._ceiling)))

    def _keep_to(self, ceiling: int, until: float) -> None:
        self._ceiling = ceiling
        self._kept_until = max(self._kept_until, until)

    def _begin_round(self, permits: int) -> None:
        self._round = _Round(to_skip=self._limit)
        self._limit = permits


def _slower_than(seconds: float) -> float:
    """The round trip from which on requests count as slower than ``seconds``."""
    return seconds * _SLOWER_RATIO + _SLOWER_SECONDS
