"""The minute's log line of one integration: what happened since the last one, and how it stands.

It is left out while no record comes or waits and nothing changes: a quiet night is a quiet log.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streamer.core.delivery.limiting import Limit
from streamer.core.records.account import Totals
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline.runner import Runner
from streamer.pipeline.showing import consumer_status
from streamer.status import ConsumerStatus, IntegrationState

_NOTHING: Final = Totals.of([], in_flight=0)


class _State(NamedTuple):
    """What is worth a line when it changes, although no record comes or waits."""

    destination: str
    limited_by: Limit | None
    is_lag_known: bool


class Minute:
    """Compares the present with the moment of the last line."""

    def __init__(self, runner: Runner, *, destination_state: Callable[[], str]) -> None:
        """Begin now.

        Args:
            runner: runs the integration's pipelines.
            destination_state: how the destination stands.
        """
        self._runner = runner
        self._destination_state = destination_state
        self._at = time.monotonic()
        self._totals = _NOTHING
        self._reasons = runner.dead_letter_reasons()
        self._limited: Mapping[Limit, float] = dict(runner.limited.seconds)
        self._state: _State | None = None

    def tell(self, *, is_last: bool = False) -> None:
        """Log what happened since this was last called and had something to say.

        Args:
            is_last: whether the process ends: that nothing is known of the lag then is no news.
        """
        now = time.monotonic()
        totals = self._runner.totals()
        happened = totals.since(self._totals)
        behind = self._behind()
        state = _State(self._destination_state(), self._limited_most(), behind is not None and behind.lag is not None)
        lag = None if behind is None else behind.lag
        is_moving = any((happened.consumed, happened.settled, happened.handed_back, happened.in_flight, lag))
        if is_moving or (state != self._state and not is_last):
            self._write(happened, state, behind, now)
            self._totals, self._reasons = totals, self._runner.dead_letter_reasons()
            self._state = state
        self._at, self._limited = now, dict(self._runner.limited.seconds)

    def _behind(self) -> ConsumerStatus | None:
        """How far it is behind; None: nothing can be said, as while no partition is assigned."""
        with observing("lag", integration=self._runner.name):
            status = consumer_status(self._runner, IntegrationState.RUNNING)
            return status if any(partition.assigned for partition in status.partitions) else None
        return None

    def _write(self, happened: Totals, state: _State, behind: ConsumerStatus | None, now: float) -> None:
        reasons = (self._runner.dead_letter_reasons() - self._reasons).most_common()
        seconds, contact = now - self._at, self._runner.contact
        logger().emit(
            Event.SUMMARY,
            integration=self._runner.name,
            destination=self._runner.subscription.destination,
            destination_state=state.destination,
            limited_by=state.limited_by,
            lag=None if behind is None else behind.lag,
            lag_seconds=None if behind is None else _rounded(behind.lag_seconds(time.time())),
            drain_eta_seconds=None if behind is None else _drain_eta(behind),
            silent_seconds=_rounded(contact.silent_seconds(now)) if contact.is_silent(now) else None,
            seconds=_rounded(seconds),
            consumed_per_second=_rounded(happened.consumed / seconds) if seconds else None,
            settled_per_second=_rounded(happened.settled / seconds) if seconds else None,
            delivered=happened.delivered,
            duplicate=happened.duplicate or None,
            filtered=happened.filtered or None,
            dead_lettered=happened.dead_lettered or None,
            dead_letter_reasons=", ".join(f"{reason} {records}" for reason, records in reasons) or None,
            handed_back=happened.handed_back or None,
            in_flight=happened.in_flight,
        )

    def _limited_most(self) -> Limit | None:
        """What limited the runner longest since the last look."""
        since = {limit: seconds - self._limited[limit] for limit, seconds in self._runner.limited.seconds.items()}
        limit = max(since, key=lambda limit: since[limit])
        return limit if since[limit] > 0 else None


def _drain_eta(behind: ConsumerStatus) -> float | None:
    """Until the last topic is worked off; None: that cannot be said of one of them."""
    topics = {partition.topic for partition in behind.partitions if partition.assigned is not None}
    etas = [behind.drain_eta_seconds.get(topic) for topic in topics]
    known = [eta for eta in etas if eta is not None]
    return _rounded(max(known)) if known and len(known) == len(etas) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
