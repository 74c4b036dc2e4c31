"""Batches of calls, limited in bytes, number and age.

Fresh calls wait in one queue. A batch is taken from its front when there is enough for a full batch, or when the oldest
call has waited as long as ``linger`` allows. Calls that come back without a charge are sent before fresh ones. They
stay together as one batch, because a retry must not travel in a larger batch than it failed in. They are divided only
if the limit of a batch has fallen meanwhile. A call that was sent alone as a probe, and comes back, is set aside until
batches are sent again, so that each probe carries a different call as long as there is one.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, Protocol, TypeVar


class HasSize(Protocol):
    """Anything that can be put into a batch."""

    @property
    def size(self) -> int:
        """Length of the serialised call, in bytes."""


T = TypeVar("T", bound=HasSize)

_COMMA_BYTES: Final = 1
"""Between two calls. It is counted for each call, so a body is one byte smaller than `Batch.bytes`."""


@dataclass(slots=True)
class Batch(Generic[T]):
    """The items of one request and the length of its body: envelope, calls and commas."""

    items: list[T]
    bytes: int


class Batcher(Generic[T]):
    """The items that are ready to be sent to one destination.

    The batcher has no limit for what waits in it. The caller limits `bytes` and the length.
    """

    def __init__(self, *, max_bytes: int, max_calls: int, linger_seconds: float, envelope_bytes: int) -> None:
        """Begin empty.

        Args:
            max_bytes: most bytes of a batch, envelope included.
            max_calls: most calls of a batch.
            linger_seconds: how long a fresh call waits for others to fill its batch; 0: not at all.
            envelope_bytes: length of a body without calls.
        """
        self._max_bytes = max_bytes
        self._max_calls = max_calls
        self._linger_seconds = linger_seconds
        self._envelope_bytes = envelope_bytes
        self._fresh: deque[T] = deque()
        self._fresh_bytes = 0
        self._returned: deque[deque[T]] = deque()  # groups that came back; none is empty
        self._returned_bytes = 0
        self._probed: deque[T] = deque()  # was sent alone; none of it is in the other queues
        self._last_added_at = -math.inf
        self._waiting_since = -math.inf  # when the linger time of the oldest fresh call began

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._returned)) + len(self._probed)

    def __iter__(self) -> Iterator[T]:
        """The waiting items, in the order in which they would be sent."""
        for group in self._returned:
            yield from group
        yield from self._fresh
        yield from self._probed

    @property
    def bytes(self) -> int:
        """Bytes of all waiting calls with a comma each, without envelopes."""
        return self._fresh_bytes + self._returned_bytes + _bytes_of(self._probed)

    def add(self, item: T, now: float) -> None:
        """Add a fresh item; ``now`` in monotonic seconds."""
        if not self._fresh:
            self._waiting_since = now
        self._fresh.append(item)
        self._fresh_bytes += item.size + _COMMA_BYTES
        self._last_added_at = now

    def extend(self, items: Collection[T], now: float) -> None:
        """Add several fresh items; cheaper than calling `add` for each."""
        if not self._fresh:
            self._waiting_since = now
        self._fresh.extend(items)
        self._fresh_bytes += _bytes_of(items)
        self._last_added_at = now

    def put_back(self, items: Collection[T], *, was_probe: bool = False) -> None:
        """Return items that were taken.

        Args:
            items: what to send again.
            was_probe: False: they go to the front, due at once, as a batch of their own. True: they go behind all other
                items, so that the next probe carries a different one.
        """
        if not items:
            return
        if was_probe:
            self._probed.extend(items)
        else:
            self._returned.appendleft(deque(items))
            self._returned_bytes += _bytes_of(items)

    def take(self, now: float, *, max_bytes: int, force: bool = False) -> Batch[T] | None:
        """The next batch that is due; None: none is due.

        Args:
            now: monotonic time.
            max_bytes: the largest batch that the destination takes; the configured limit holds if that is less. An item
                that is larger than the limit travels alone.
            force: take fresh items even if their batch is neither full nor old enough.
        """
        max_bytes = min(max_bytes, self._max_bytes)
        if self._probed:
            self._fresh.extend(self._probed)
            self._fresh_bytes += _bytes_of(self._probed)
            self._probed.clear()
        if self._returned:
            batch = self._cut(self._returned[0], max_bytes)
            self._returned_bytes -= batch.bytes - self._envelope_bytes
            if not self._returned[0]:
                self._returned.popleft()
            return batch
        is_due = force or now >= self._waiting_since + self._linger_seconds or self._is_full(max_bytes)
        if not self._fresh or not is_due:
            return None
        batch = self._cut(self._fresh, max_bytes)
        self._fresh_bytes -= batch.bytes - self._envelope_bytes
        self._waiting_since = self._last_added_at
        return batch

    def take_newest(self, *, max_bytes: int) -> Batch[T] | None:
        """A batch of the newest fresh items, due or not; None: there are none."""
        self._fresh.reverse()
        batch = self._cut(self._fresh, min(max_bytes, self._max_bytes)) if self._fresh else None
        self._fresh.reverse()
        if batch is not None:
            batch.items.reverse()
            self._fresh_bytes -= batch.bytes - self._envelope_bytes
        return batch

    def take_one(self, share: float, suits: Callable[[T], bool]) -> T | None:
        """One item alone, due or not, for a probe: a fresh one rather than one that came back.

        Args:
            share: where in the queue to look first: from 0, the oldest item, to 1, the newest.
            suits: whether an item may be taken.

        Returns:
            None: no item suits.
        """
        item = _take_from(self._fresh, share, suits)
        if item is not None:
            self._fresh_bytes -= item.size + _COMMA_BYTES
            return item
        for group in reversed(self._returned):
            item = _take_from(group, share, suits)
            if item is not None:
                self._returned_bytes -= item.size + _COMMA_BYTES
                if not group:
                    self._returned.remove(group)
                return item
        return _take_from(self._probed, 0.0, suits)

    def due_at(self) -> float | None:
        """Monotonic time from which `take` returns a batch, in the past if one is due now; None: nothing waits."""
        if self._returned or self._is_full(self._max_bytes):
            return self._last_added_at
        return self._waiting_since + self._linger_seconds if self._fresh or self._probed else None

    def discard(self, predicate: Callable[[T], bool]) -> list[T]:
        """Remove and return the items for which ``predicate`` is true, for instance those of a revoked partition."""
        groups = list(self._returned)
        fresh, probed = self._fresh, self._probed
        self._clear()
        discarded: list[T] = []
        kept_groups = [_separate(group, predicate, discarded) for group in groups]
        for kept in reversed(kept_groups):
            self.put_back(kept)
        self._fresh = _separate(fresh, predicate, discarded)
        self._fresh_bytes = _bytes_of(self._fresh)
        self._probed = _separate(probed, predicate, discarded)
        return discarded

    def drain(self) -> list[T]:
        """Remove and return all items, in the order in which they would have been sent."""
        items = list(self)
        self._clear()
        return items

    def _clear(self) -> None:
        self._fresh = deque()
        self._returned = deque()
        self._probed = deque()
        self._fresh_bytes = self._returned_bytes = 0

    def _is_full(self, max_bytes: int) -> bool:
        return len(self._fresh) >= self._max_calls or self._fresh_bytes + self._envelope_bytes > max_bytes

    def _cut(self, queue: deque[T], max_bytes: int) -> Batch[T]:
        """Take the largest batch that the limits allow from the front of ``queue``, at least one item."""
        items: list[T] = []
        total = self._envelope_bytes
        while queue and len(items) < self._max_calls:
            item_bytes = queue[0].size + _COMMA_BYTES
            if items and total + item_bytes > max_bytes:
                break
            total += item_bytes
            items.append(queue.popleft())
        return Batch(items, total)


def _bytes_of(items: Collection[T]) -> int:
    return sum([item.size for item in items]) + _COMMA_BYTES * len(items)


def _take_from(queue: deque[T], share: float, suits: Callable[[T], bool]) -> T | None:
    """The nearest item before or at ``share`` of the queue that suits, else the last one that does."""
    items = list(queue)
    first = min(int(share * len(items)), len(items) - 1)
    for index in chain(range(first, -1, -1), range(len(items) - 1, first, -1)):
        item = items[index]
        if suits(item):
            del queue[index]
            return item
    return None


def _separate(items: Iterable[T], predicate: Callable[[T], bool], discarded: list[T]) -> deque[T]:
    """The items to keep. The others are appended to ``discarded``."""
    kept: deque[T] = deque()
    for item in items:
        (discarded if predicate(item) else kept).append(item)
    return kept
