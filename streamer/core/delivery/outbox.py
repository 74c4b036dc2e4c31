"""What goes out next: the calls of one integration that wait for a request.

The unit of sending is a `Shipment`: calls that travel in one request. It comes from fresh calls (cut into batches),
from events whose retry is due (in the groups they were parked in), or from a refused batch that is being bisected.
Retries are sent before fresh calls.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from streamer.core.delivery.attempt import Attempt
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.bisection import Bisection
from streamer.core.delivery.parked import Parked, Released
from streamer.core.records.open_record import OpenRecord


class Shipment:
    """Calls that travel in one request."""

    __slots__ = ("bisection", "records")

    def __init__(self, records: Sequence[OpenRecord], *, bisection: Bisection[OpenRecord] | None = None) -> None:
        self.records = records
        self.bisection = bisection
        """Set when it is a step in the search for the calls at fault in a refused batch."""

    @property
    def is_retry(self) -> bool:
        """Whether its calls were charged before; they travel among themselves."""
        return bool(self.records[0].charges)

    def calls(self) -> list[OpenRecord]:
        """Its calls, and those that wait for what its answer tells about them."""
        return list(self.records) if self.bisection is None else self.bisection.outstanding()


class Outbox:
    """The calls that are ready, and those that wait for their next attempt."""

    def __init__(self, batcher: Batcher[OpenRecord], parked: Parked) -> None:
        self._batcher = batcher
        self._parked = parked
        self._urgent: deque[Shipment] = deque()

    def __iter__(self) -> Iterator[OpenRecord]:
        """Every call that waits, parked ones and those of divided batches included."""
        yield from self._batcher
        yield from self._parked
        for shipment in self._urgent:
            yield from shipment.calls()

    def add(self, records: Collection[OpenRecord], now: float) -> None:
        """Take fresh calls; ``now`` in monotonic seconds."""
        self._batcher.extend(records, now)

    def add_alone(self, record: OpenRecord) -> None:
        """Take a call that failed before a restart. It is sent alone: another failure would delay its company."""
        self._urgent.append(Shipment([record]))

    def due_at(self) -> float | None:
        """Monotonic time at which `take` gives a shipment, unless a call comes before; None: nothing waits."""
        if self._urgent:
            return -math.inf
        times = [due for due in (self._batcher.due_at(), self._parked.due_at) if due is not None]
        return min(times, default=None)

    def take(self, now: float, *, max_bytes: int) -> Shipment | None:
        """The next shipment that is due; None when there is none.

        Args:
            now: monotonic time.
            max_bytes: largest batch that the destination takes.
        """
        if self._urgent:
            return self._urgent.popleft()
        batch = self._batcher.take(now, max_bytes=max_bytes)
        return Shipment(batch.items) if batch is not None else None

    def take_probe(self) -> Shipment | None:
        """One single event, due or not. Each is a different one: `put_back` puts that of a failed probe at the end."""
        while (fresh := self._batcher.take_one()) is None and self._urgent:
            shipment = self._urgent.popleft()
            if shipment.bisection is not None:
                self.give_up(shipment.bisection)
                continue
            first, *others = shipment.records
            if others:
                self._urgent.append(Shipment(others))
            return Shipment([first])
        return Shipment([fresh]) if fresh is not None else None

    def put_back(self, records: Sequence[OpenRecord], *, was_probe: bool = False) -> None:
        """Calls are sent again, uncharged. Events charged earlier stay together; that of a probe goes to the end."""
        if any(record.charges for record in records):
            self._urgent.append(Shipment(records))
        else:
            self._batcher.put_back(records, at_end=was_probe)

    def put_back_halves(self, records: Sequence[OpenRecord]) -> None:
        """A batch was too large for one request: it is sent again in halves."""
        middle = (len(records) + 1) // 2
        self._urgent.extend(Shipment(half) for half in (records[:middle], records[middle:]) if half)

    def park(self, records: Sequence[OpenRecord], due: float, charged_by: Attempt) -> list[OpenRecord]:
        """Charged events wait until ``due``.

        Returns:
            Events that are over a cap of what may be parked: given up, the most tried first.
        """
        self._parked.park(records, due, charged_by)
        return self._parked.take_overflow()

    def release_due(self, now: float) -> list[OpenRecord]:
        """Make the parked events ready whose time has come; returns those of them that were no load meanwhile."""
        return self._release(self._parked.take_due(now))

    def release_refunded(self, attempts: Collection[Attempt]) -> list[OpenRecord]:
        """Make the parked events ready that these attempts had charged; returns those that were no load meanwhile."""
        return self._release(self._parked.take_refunded(attempts))

    def go_on(self, bisection: Bisection[OpenRecord]) -> None:
        """Send the next step of a bisection; when it is over, the calls that it leaves undecided."""
        step = bisection.next()
        if step is None or any(record.ledger.is_fenced for record in step):
            self.give_up(bisection)
        else:
            self._urgent.append(Shipment(step, bisection=bisection))

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
        shipments, self._urgent = self._urgent, deque()
        for shipment in shipments:
            living = of_living(shipment.records)
            if len(living) == len(shipment.records):
                self._urgent.append(shipment)
            elif shipment.bisection is not None:
                self.give_up(shipment.bisection)
            elif living:
                self._urgent.append(Shipment(living))

    def _release(self, groups: Iterable[Released]) -> list[OpenRecord]:
        were_no_load: list[OpenRecord] = []
        for group in groups:
            self._urgent.append(Shipment(group.records))
            if group.were_alone:
                were_no_load += group.records
        return were_no_load


def of_living(records: Iterable[OpenRecord]) -> list[OpenRecord]:
    """Those whose assignment has not ended."""
    return [record for record in records if not record.ledger.is_fenced]
