"""The faults in force: which one a request meets, since when each runs, and how many requests it hit."""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from streamer.core.model import Json
from streamer.devkit.sandbox.faults import Action, Fault, FaultsError

MAX_FAULTS: Final = 1_000
"""Most faults of one script."""

_NOTHING: Final = Action()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFault:
    """A fault in force, at one moment."""

    number: int
    """Tells it from all other faults of this script, for `FaultScript.end`."""
    fault: Fault
    age_seconds: float
    requests: int
    """How many requests it hit."""
    ends_in_seconds: float | None
    """None: time does not end it."""
    times_left: int | None
    """How many more requests it hits; None: no number ends it."""


@dataclass(slots=True)
class _Armed:
    """A fault in force, with its counts so far. Times in monotonic seconds."""

    number: int
    fault: Fault
    started_at: float
    ends_at: float
    matched: int = 0
    happened: int = 0

    def happens(self, path: str, calls: Sequence[Json]) -> bool:
        if not self.fault.match.holds(path, calls):
            return False
        self.matched += 1
        if self.matched % self.fault.match.every:
            return False
        self.happened += 1
        return True

    def is_over(self, now: float) -> bool:
        return now >= self.ends_at or self.happened == self.fault.times

    def does_as(self, fault: Fault) -> bool:
        """Whether it does the same to the same requests, for however long."""
        return (self.fault.match, self.fault.action) == (fault.match, fault.action)

    def shown(self, now: float) -> RunningFault:
        times = self.fault.times
        return RunningFault(
            number=self.number,
            fault=self.fault,
            age_seconds=now - self.started_at,
            requests=self.happened,
            ends_in_seconds=None if self.fault.for_seconds is None else self.ends_at - now,
            times_left=None if times is None else times - self.happened,
        )


class FaultScript:
    """The faults in force.

    Args:
        faults: the faults to begin with.
        clock: monotonic seconds, for ``for_seconds``.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._armed: list[_Armed] = []
        self.add(*faults)

    @property
    def in_force(self) -> list[Fault]:
        """The faults that may still happen, in the order in which they are tried."""
        return [running.fault for running in self.running]

    @property
    def running(self) -> list[RunningFault]:
        """The same, with what became of them so far."""
        now = self._clock()
        self._armed = [armed for armed in self._armed if not armed.is_over(now)]
        return [armed.shown(now) for armed in self._armed]

    def add(self, *faults: Fault) -> None:
        """Add faults behind those in force.

        Raises:
            FaultsError: there would be more than `MAX_FAULTS`; none was added.
        """
        self._make_room(len(faults))
        self._armed += map(self._arm, faults)

    def play(self, fault: Fault) -> int:
        """Put a fault before those in force, in the place of one that does the same; returns its number.

        Raises:
            FaultsError: there would be more than `MAX_FAULTS`; it was not added.
        """
        others = [armed for armed in self._armed if not armed.does_as(fault)]
        if len(others) == len(self._armed):
            self._make_room(1)
            others = self._armed
        armed = self._arm(fault)
        self._armed = [armed, *others]
        return armed.number

    def end(self, number: int) -> bool:
        """End one fault; False: it had ended already."""
        kept = [armed for armed in self._armed if armed.number != number]
        found, self._armed = len(kept) < len(self._armed), kept
        return found

    def set(self, *faults: Fault) -> None:
        """Replace the faults in force. Raises as `add` does; the old faults are removed in any case."""
        self.clear()
        self.add(*faults)

    def clear(self) -> None:
        """Remove all faults: from now on, answer as Segment does."""
        self._armed = []

    def decide(self, path: str, calls: Sequence[Json]) -> Action:
        """What happens to this request. Counts the request."""
        if not self._armed:
            return _NOTHING
        now, latency_seconds = self._clock(), 0.0
        for armed in self._armed:
            if armed.is_over(now) or not armed.happens(path, calls):
                continue
            action = armed.fault.action
            latency_seconds += action.latency_seconds
            if not action.only_waits:
                return replace(action, latency_seconds=latency_seconds)
        return Action(latency_seconds=latency_seconds)

    def _make_room(self, number: int) -> None:
        if len(self.in_force) + number > MAX_FAULTS:
            raise FaultsError(f"there would be more than {MAX_FAULTS} faults; remove some first")

    def _arm(self, fault: Fault) -> _Armed:
        now = self._clock()
        return _Armed(next(self._numbers), fault, now, now + (fault.for_seconds or float("inf")))
