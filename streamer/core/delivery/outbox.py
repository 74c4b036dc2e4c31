"""What goes out next: the calls of one integration that wait for a request.

The unit of sending is a `Shipment`: calls that travel in one request. It comes from a refused batch that is being
bisected, from events whose retry is due (in the groups they were parked in, those that go alone last), or from fresh
calls (cut into batches), in this order: what was read first shall end first, and the company of an event that fails
before that event. The destination leaves half of its permits to calls that did not fail; with one permit, fresh calls
have every second turn.

Probes are chosen far apart, because one event that fails must not be followed by its neighbour: the newest fresh call
first, then calls of other partitions and from other places of the queue.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from streamer.core.delivery.attempt import Attempt, Wanted
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.bisection import Bisection
from streamer.core.delivery.parked import Parked, Released
from streamer.core.records.open_record import OpenRecord

_PROBES_A_ROUND: Final = 3
"""Of so many probes, the last one is a call of a batch that failed, if there is any."""


class Shipment:
    """Calls that travel in one request."""

    __slots__ = ("bisection", "is_resend", "records")

    def __init__(self, records: Sequence[OpenRecord], *, bisection: Bisection[OpenRecord] | None = None) -> None:
        self.records = records
        self.is_resend = False
        """Whether they come from a batch that failed."""
        self.bisection = bisection
        """Set when it is a step in the search for the calls at fault in a refused batch."""

    @property
    def is_retry(self) -> bool:
        """Whether its calls were charged before; they travel among themselves."""
        return self.records[0].attempts > 0

    def calls(self) -> list[OpenRecord]:
        """Its calls, and those that wait for what its answer tells about them."""
        return list(self.records) if self.bisection is None else self.bisection.outstanding()


class Outbox:
    """The calls that are ready, and those that wait for their next attempt."""

    def __init__(self, batcher: Batcher[OpenRecord], parked: Parked) -> None:
        self._batcher = batcher
        self._parked = parked
        self._steps: deque[Shipment] = deque()
        self._retries: deque[Shipment] = deque()
        self._alone: deque[Shipment] = deque()
        self._was_again = False
        self._probes = 0
        self._probed_partitions: set[tuple[str, int]] = set()

    def __iter__(self) -> Iterator[OpenRecord]:
        """Every call that waits, parked ones and those of divided batches included."""
        yield from self._batcher
        yield from self._parked
        for shipment in chain(self._steps, self._retries, self._alone):
            yield from shipment.calls()

    def add(self, records: Collection[OpenRecord], now: float) -> None:
        """Take fresh calls; ``now`` in monotonic seconds."""
        self._batcher.extend(records, now)

    def add_alone(self, record: OpenRecord) -> None:
        """Take a call that failed before a restart. It is sent alone: another failure would delay its company."""
        self._again(Shipment([record]))

    def due_at(self, wanted: Wanted) -> float | None:
        """Monotonic time at which `take` gives a shipment, unless a call comes before; None: nothing waits."""
        if self._lane_of(wanted):
            return -math.inf
        times = [due for due in (self._batcher.due_at(), self._parked.due_at) if due is not None]
        return min(times, default=None)

    def _lane_of(self, wanted: Wanted) -> deque[Shipment] | None:
        """Where the next shipment of a batch that failed comes from; None or an empty one: there is none."""
        if not wanted.may_resend:
            return None
        return self._steps or self._retries or (self._alone if wanted.may_resend_alone else None)

    def take(self, now: float, wanted: Wanted) -> Shipment | None:
        """The next shipment that is due, or any single event for a probe; None when there is none.

        Args:
            now: monotonic time.
            wanted: what the destination lets it carry.
        """
        if wanted.is_probe:
            return self._take_probe()
        self._probed_partitions.clear()
        if wanted.is_unrelated and (newest := self._batcher.take_newest(max_bytes=wanted.max_bytes)) is not None:
            return Shipment(newest.items)
        again = self._lane_of(wanted)
        if again and not (wanted.takes_turns and self._was_again):
            self._was_again = True
            return again.popleft()
        self._was_again = False
        batch = self._batcher.take(now, max_bytes=wanted.max_bytes)
        if batch is not None:
            return Shipment(batch.items)
        return again.popleft() if again else None

    def _take_probe(self) -> Shipment | None:
        """One single event, due or not, as far as possible from those of the probes before."""
        call = self._take_far_call()
        if call is None and self._steps:  # of divided batches: these searches are over
            steps = [shipment.bisection for shipment in self._steps if shipment.bisection is not None]
            self._steps.clear()
            for bisection in steps:
                self.give_up(bisection)
            call = self._take_far_call()
        if call is None:
            return None
        self._probed_partitions.add(_partition_of(call))
        return Shipment([call])

    def _take_far_call(self) -> OpenRecord | None:
        """A call of a partition not probed lately, or else of any; every third time of a batch that failed."""
        share = _place_of_probe(self._probes)
        self._probes += 1
        queued = partial(self._batcher.take_one, share)
        pools: list[Callable[[Callable[[OpenRecord], bool]], OpenRecord | None]] = [queued, self._take_from_lanes]
        if self._probes % _PROBES_A_ROUND == 0:
            pools.reverse()
        for take in pools:
            if (call := take(lambda call: _partition_of(call) not in self._probed_partitions)) is not None:
                return call
        self._probed_partitions.clear()
        for take in pools:
            if (call := take(lambda _: True)) is not None:
                return call
        return None

    def _take_from_lanes(self, suits: Callable[[OpenRecord], bool]) -> OpenRecord | None:
        for lane in (self._steps, self._retries, self._alone):
            for shipment in lane:
                call = None if shipment.bisection is not None else next(filter(suits, shipment.records), None)
                if call is None:
                    continue
                lane.remove(shipment)
                others = [other for other in shipment.records if other is not call]
                if others:
                    self._again(Shipment(others))
                return call
        return None

    def put_back(self, records: Sequence[OpenRecord], *, was_probe: bool = False) -> None:
        """Calls are sent again, uncharged. Events charged earlier stay together; that of a probe goes to the end."""
        if any(record.charges for record in records):
            self._again(Shipment(records))
        else:
            self._batcher.put_back(records, was_probe=was_probe)

    def put_back_halves(self, records: Sequence[OpenRecord]) -> None:
        """A batch was too large for one request: it is sent again in halves."""
        middle = (len(records) + 1) // 2
        for half in (records[:middle], records[middle:]):
            if half:
                self._again(Shipment(half))

    def park(self, records: Sequence[OpenRecord], due: float, charged_by: Attempt) -> list[OpenRecord]:
        """Charged events wait until ``due``.

        Returns:
            Events that are over a cap of what may be parked: given up, the most tried first.
        """
        self._parked.park(records, due, charged_by)
        return self._parked.take_overflow()

    def parked_until(self, record: OpenRecord) -> float | None:
        """Monotonic time of the next attempt of an event that is parked; None: it is not parked."""
        return self._parked.parked_until(record)

    def release_due(self, now: float) -> list[OpenRecord]:
        """Make the parked events ready whose time has come; returns those of them that were no load meanwhile."""
        return self._release(self._parked.take_due(now))

    def release_refunded(self, attempts: Collection[Attempt]) -> list[OpenRecord]:
        """Make the parked events ready that these attempts had charged; returns those that were no load meanwhile."""
        return self._release(self._parked.take_refunded(attempts))

    def take_parked(self, records: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Remove and return those of ``records`` that are parked because they failed alone."""
        return self._parked.take(records)

    def go_on(self, bisection: Bisection[OpenRecord]) -> None:
        """Send the next step of a bisection; when it is over, the calls that it leaves undecided."""
        step = bisection.next()
        if step is None or any(record.ledger.is_fenced for record in step):
            self.give_up(bisection)
        else:
            self._again(Shipment(step, bisection=bisection))

    def give_up(self, bisection: Bisection[OpenRecord], *, but_for: Iterable[OpenRecord] = ()) -> None:
        """A bisection is finished, or the destination is unhappy: undecided calls are sent like any other.

        Args:
            bisection: the search.
            but_for: calls that are dealt with otherwise.
        """
        excepted = set(map(id, but_for))
        undecided = [record for record in of_living(bisection.outstanding()) if id(record) not in excepted]
        if undecided:
            self.put_back(undecided)

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended."""
        self._batcher.discard(lambda record: record.ledger.is_fenced)
        self._parked.drop_fenced()
        shipments = [*self._steps, *self._retries, *self._alone]
        for lane in (self._steps, self._retries, self._alone):
            lane.clear()
        for shipment in shipments:
            living = of_living(shipment.records)
            if len(living) == len(shipment.records):
                self._again(shipment)
            elif shipment.bisection is not None:
                self.give_up(shipment.bisection)
            elif living:
                self._again(Shipment(living))

    def _again(self, shipment: Shipment) -> None:
        shipment.is_resend = True
        if shipment.bisection is not None or not shipment.is_retry:
            self._steps.append(shipment)
        else:
            (self._retries if len(shipment.records) > 1 else self._alone).append(shipment)

    def _release(self, groups: Iterable[Released]) -> list[OpenRecord]:
        were_no_load: list[OpenRecord] = []
        for group in groups:
            self._again(Shipment(group.records))
            if group.were_alone:
                were_no_load += group.records
        return were_no_load


def of_living(records: Iterable[OpenRecord]) -> list[OpenRecord]:
    """Those whose assignment has not ended."""
    return [record for record in records if not record.ledger.is_fenced]


def _partition_of(call: OpenRecord) -> tuple[str, int]:
    return call.ledger.topic, call.ledger.partition


def _place_of_probe(number: int) -> float:
    """Where in the queue to take a probe: 1, 1/2, 1/4, 3/4, 1/8 ..; from 0, the oldest call, to 1, the newest."""
    if not number:
        return 1.0
    place, weight = 0.0, 0.5
    while number:
        place += weight * (number & 1)
        number >>= 1
        weight /= 2
    return place
