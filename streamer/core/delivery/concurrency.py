"""How many requests a destination is given at a time: found by trying, kept while it serves.

Theory of operation. The limit rises by one a round while requests really fill it and their round trips are no slower
than the base, and it falls for two reasons only:

- The destination *says* that it is overloaded: it asks us to wait, or a tenth of its answers are 503, 504, 408 or come
  too late. Three tenths of the permits go, once for all the requests that were under way, and for 30 seconds the limit
  stays below what failed. A failure now and then says nothing: taking permits for each would leave one in the end.
- Round trips have become slower, and a *trial* shows that it is our doing. Latency alone proves nothing: the receiver,
  the network or the batches may have changed. So three tenths of the permits are taken away for a moment. Requests that
  queue behind one another then become faster by as much, and throughput stays (Little's law): the queue was ours, and
  what the destination holds without one is the old limit x round trip in the trial / round trip before. If that says
  that they queue in the trial as well, the next one follows. If they do not become faster, it was not us: all permits
  come back, and the new round trip is the base from now on.

A trial thus measures the base, so there is one after 5 seconds and then every 30, even without suspicion: a base that
was learnt in a queue cannot last. Between trials the base only falls, when round trips are clearly shorter than it.

Round trips are noisy, ours too: one process on a busy machine sees 2 ms and 20 ms in turn. So nothing is concluded from
single ones, but from the mean of a *round* and its standard error. A round counts accepted requests that took the last
permit, the others say nothing about the limit; it begins when what was under way at the last change has been answered,
and lasts until the answer is clear, one to several times the limit. What stays unclear changes nothing, and differences
below 2 ms are none. Larger batches look slow like a slower receiver; a trial acquits them like it.
"""

import math
from typing import Final, NamedTuple

INITIAL_LIMIT: Final = 8
"""Permits at the start, or half of ``max_in_flight`` where that is less: the first trial needs room on both sides."""
DECREASE: Final = 0.7
"""What is left of the limit in a trial, and after the destination has said that it is overloaded."""
MIN_LIMIT_BY_LATENCY: Final = 2
"""Trials go no lower: with one request at a time, our own pauses between two would be the destination's."""
FIRST_TRIAL_SECONDS: Final = 5.0
"""When the first base, a guess, is measured: the backlog that a start meets wants permits first."""
REMEASURE_SECONDS: Final = 30.0
OVERLOAD_SECONDS: Final = 30.0
"""How long the limit stays below one that the destination has called too much."""
SETTLED_SECONDS: Final = 8.0
"""How long the limit stays at what a trial has found."""

MIN_FAILING_SHARE: Final = 0.1
"""Share of overload among the answers, weighted towards the last fifty, from which on it counts unasked."""

_FAILING_WEIGHT: Final = 0.02
_SLOWER_RATIO: Final = 1.1
_SLOWER_SECONDS: Final = 0.002
"""Round trips are slower when longer than the base by a tenth and this much."""
_MIN_ROUND: Final = 10
_MAX_ROUND: Final = 100
_MAX_TRIAL: Final = 60
"""Answers after which a round, or a trial, ends whatever is unclear; at least one look is taken."""
_SUSPICION_ERRORS: Final = 2.5
_PROOF_ERRORS: Final = 1.5
_CLEAN_ERRORS: Final = 0.5
"""Standard errors of the mean that a finding must be away from the line: to begin a trial, to end it, to grow."""
_HEADROOM: Final = 1.08
"""By how much the limit may exceed what a trial has found: too few permits cost throughput, too many a short queue."""


class _Round:
    """Round trips since the limit was last changed."""

    __slots__ = ("_squares", "_sum", "count", "to_skip")

    def __init__(self, to_skip: int) -> None:
        self.to_skip = to_skip
        """Answers still to come from before."""
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
    """What was before a trial."""

    limit: int
    mean: float
    error: float


class ConcurrencyLimit:
    """The limit of one destination. Times are monotonic seconds."""

    def __init__(self, most: int, now: float) -> None:
        """Begin with `INITIAL_LIMIT` permits or half of ``most``; there are never more than ``most``."""
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

    def begin_slowly(self, now: float) -> None:
        """The destination has recovered: one request in flight, and one more each round trip, up to the limit."""
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
        """Learn from a request that got an answer of an overloaded destination.

        Args:
            started_at: when it began.
            now: when it was answered, or given up.
            was_last: whether it took the last permit.
            asks_to_wait: whether the destination wants fewer requests, in so many words.
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
        """Requests stop for a while: the present round and trial come to nothing."""
        permits = self._limit if self._trial is None else self._trial.limit
        self._trial = None
        self._begin_round(permits)

    def _go_on_slowly(self, started_at: float, now: float) -> None:
        """Once a round trip: at the first answer to a request that began with the present number of permits."""
        if started_at >= self._slow_start_raised_at:
            self._slow_start += 1
            self._slow_start_raised_at = now
            if self._slow_start >= self._limit:
                self._slow_start = self._most

    def _look(self, now: float, *, is_last: bool) -> None:
        """Grow, begin a trial or go on as before, as far as the round is clear."""
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
        """Have requests become faster with fewer of them?"""
        mean = self._round.mean
        gain = trial.mean - _slower_than(mean)
        doubt = _PROOF_ERRORS * math.hypot(trial.error, _SLOWER_RATIO * self._round.error)
        if abs(gain) < doubt and not is_last:
            return
        held = trial.limit * mean / trial.mean
        if gain <= doubt:
            self._settle(trial.limit, now)
        elif held <= self._limit:
            self._try_fewer(now)  # as much faster as there are fewer: these queue as well
        else:
            self._keep_to(round(held * _HEADROOM), now + SETTLED_SECONDS)
            self._settle(self._ceiling, now)

    def _settle(self, limit: int, now: float) -> None:
        """What was measured in the round is the base, and ``limit`` goes with it."""
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
    """From how long a round trip counts as slower than ``seconds``."""
    return seconds * _SLOWER_RATIO + _SLOWER_SECONDS
