"""The mass guard: a wrong dialect or a bad deployment must not empty a topic into its dead letters.

One guard watches one stage. Records are mapped as fast as they are read, and delivered much later. In one window for
both stages, the refused calls of a long backlog would stand side by side, without the records that passed in between.

Two things trip it: the share of bad records among the last `WINDOW`, and a *surge*. Without the second one, records
that are all bad from some moment on would be let through until they are a share of the window. A surge is the longest
stretch of the latest records of which, from its first one on, more than ``max_ratio`` were bad. `MIN_BAD` bad ones are
allowed in it; it trips the guard when more than ``max_ratio`` of the others are bad. So the 21st of records that are
all bad trips it, and nothing does while each stretch of ``MIN_BAD / max_ratio`` records keeps to ``max_ratio``.

A record that was set aside is known by its place while it is in the window: read again after a restart or a rebalance,
it is the same one. `MassGuard.to_json` is what has to be remembered for that over a restart. When an operator releases
the guard, the records in the window are *pardoned*: read again, they do not trip it once more.
"""

import itertools
from collections import deque
from typing import Any, Final

from streamer.core.model import Record

WINDOW: Final = 200
"""How many of the last records a guard looks at."""

MIN_BAD: Final = 20
"""With fewer bad records the guard never trips, whatever the ratio."""

Place = tuple[str, int, int, int]
"""Topic, partition, offset and time of a record: with the time, a topic made again has other ones."""


def place_of(record: Record) -> Place:
    """The place by which a record is known."""
    return record.topic, record.partition, record.offset, record.timestamp


def _place(found: object) -> Place | None:
    match found:
        case [str(topic), int(partition), int(offset), int(timestamp)]:
            return topic, partition, offset, timestamp
    return None


class MassGuard:
    """Watches the share of an integration's records that one stage sets aside."""

    def __init__(self, max_ratio: float, remembered: object = None) -> None:
        """Begin with what another guard has seen.

        Args:
            max_ratio: in (0, 1]; 1 switches the guard off.
            remembered: what `to_json` gave, maybe damaged; without it the window is empty.
        """
        self._max_ratio = max_ratio
        self._window: deque[Place | None] = deque(maxlen=WINDOW)
        self._places: set[Place] = set()
        self._pardoned: frozenset[Place] = frozenset()
        self._surge_bad = self._surge_seen = 0
        self._tripping_surge: tuple[int, int] | None = None
        for entry in remembered if isinstance(remembered, list) else ():
            match entry:
                case int(passed):
                    self.passed(passed)
                case [str(topic), int(partition), int(offset), int(timestamp)]:
                    self._set_aside((topic, partition, offset, timestamp))
                case {"surge": [int(bad), int(seen)]}:  # the last entry: a surge may be longer than the window
                    self._surge_bad, self._surge_seen = bad, seen
                case {"pardoned": [*places]}:
                    self._pardoned = frozenset(place for place in map(_place, places) if place is not None)

    @property
    def bad(self) -> int:
        """Records set aside among the last `WINDOW`."""
        return len(self._places)

    @property
    def seen(self) -> int:
        """How many records the window holds."""
        return len(self._window)

    def passed(self, records: int) -> None:
        """Note records that were mapped, or calls that were delivered."""
        self._note_surge(0, records)
        if records >= WINDOW or not self._places:  # nothing to forget one by one
            self._window.extend(itertools.repeat(None, min(records, WINDOW)))
            self._places.clear()
            return
        for _ in range(records):
            self._note(None)

    def set_aside(self, record: Record) -> None:
        """Note a record that is about to be dead-lettered; one that is in the window already does not count again."""
        self._set_aside(place_of(record))

    def knows(self, record: Record) -> bool:
        """Whether a record was set aside and is in the window."""
        return place_of(record) in self._places

    @property
    def is_tripped(self) -> bool:
        """Whether so many of the last records were set aside that the fault cannot be theirs."""
        return self.evidence is not None

    @property
    def evidence(self) -> tuple[int, int] | None:
        """How many records were set aside, and of how many, if it is tripped."""
        if self.bad >= MIN_BAD and self.bad > self._max_ratio * self.seen:
            return self.bad, self.seen
        return self._tripping_surge

    def to_json(self) -> list[Any]:
        """The window from its oldest record on: places of those set aside, numbers of those that passed; the surge."""
        entries: list[Any] = []
        passed = 0
        for place in self._window:
            if place is None:
                passed += 1
                continue
            if passed:
                entries.append(passed)
            entries.append(list(place))
            passed = 0
        if passed:
            entries.append(passed)
        if self._pardoned:
            entries.append({"pardoned": [list(place) for place in sorted(self._pardoned)]})
        return [*entries, {"surge": [self._surge_bad, self._surge_seen]}] if self._surge_bad else entries

    def pardon(self) -> None:
        """An operator has seen what is in the window and lets it be set aside: count anew, and never count it again."""
        self._pardoned = frozenset(self._places)
        self._window.clear()
        self._places.clear()
        self._surge_bad = self._surge_seen = 0
        self._tripping_surge = None

    def _set_aside(self, place: Place) -> None:
        if place not in self._places and place not in self._pardoned:
            self._note(place)
            self._note_surge(1, 1)

    def _note_surge(self, bad: int, seen: int) -> None:
        self._surge_bad += bad
        self._surge_seen += seen
        if self._surge_bad <= self._max_ratio * self._surge_seen:
            self._surge_bad = self._surge_seen = 0
        elif self._surge_bad - MIN_BAD > self._max_ratio * (self._surge_seen - MIN_BAD):
            self._tripping_surge = self._surge_bad, self._surge_seen

    def _note(self, place: Place | None) -> None:
        if len(self._window) == WINDOW and (oldest := self._window[0]) is not None:
            self._places.discard(oldest)
        self._window.append(place)
        if place is not None:
            self._places.add(place)


def pardoned(remembered: object) -> list[Any]:
    """What a guard has seen (`MassGuard.to_json`), after an operator has released it."""
    guard = MassGuard(1.0, remembered)
    guard.pardon()
    return guard.to_json()
