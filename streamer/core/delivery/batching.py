"""Batches of calls, limited in bytes, number and age.

Fresh calls wait in one queue. A batch is taken from its front when there is enough for a full batch, or when the oldest
call has waited as long as ``linger`` allows. Calls that come back without a charge are sent before fresh ones. They
stay together as one batch, because a retry must not travel in a larger batch than it failed in. They are divided only
if the limit of a batch has fallen meanwhile.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
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
        self._last_added_at = -math.inf
        self._waiting_since = -math.inf  # when the linger time of the oldest fresh call began

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._returned))

    def __iter__(self) -> Iterator[T]:
        """The waiting items, in the order in which they would be sent."""
        for group in self._returned:
            yield from group
        yield from self._fresh

    @property
    def bytes(self) -> int:
        """Bytes of all waiting calls with a comma each, without envelopes."""
        return self._fresh_bytes + self._returned_bytes

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

    def put_back(self, items: Collection[T], *, at_end: bool = False) -> None:
        """Return items that were taken.

        Args:
            items: what to send again.
            at_end: False: they go to the front, due at once, as a batch of their own. True: they go behind all other
                items, among the fresh ones, so that the next probe carries a different item.
        """
        if not items:
            return
        if at_end:
            self._fresh.extend(items)
            self._fresh_bytes += _bytes_of(items)
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

    def take_one(self) -> T | None:
        """The next item alone, due or not, for a probe; None: there is no item."""
        if self._returned:
            item = self._returned[0].popleft()
            self._returned_bytes -= item.size + _COMMA_BYTES
            if not self._returned[0]:
                self._returned.popleft()
            return item
        if not self._fresh:
            return None
        item = self._fresh.popleft()
        self._fresh_bytes -= item.size + _COMMA_BYTES
        return item

    def due_at(self) -> float | None:
        """Monotonic time from which `take` returns a batch, in the past if one is due now; None: nothing waits."""
        if self._returned or self._is_full(self._max_bytes):
            return self._last_added_at
        return self._waiting_since + self._linger_seconds if self._fresh else None

    def discard(self, predicate: Callable[[T], bool]) -> list[T]:
        """Remove and return the items for which ``predicate`` is true, for instance those of a revoked partition."""
        groups = list(self._returned)
        fresh = self._fresh
        self._clear()
        discarded: list[T] = []
        kept_groups = [_separate(group, predicate, discarded) for group in groups]
        for kept in reversed(kept_groups):
            self.put_back(kept)
        self._fresh = _separate(fresh, predicate, discarded)
        self._fresh_bytes = _bytes_of(self._fresh)
        return discarded

    def drain(self) -> list[T]:
        """Remove and return all items, in the order in which they would have been sent."""
        items = [item for group in self._returned for item in group]
        items += self._fresh
        self._clear()
        return items

    def _clear(self) -> None:
        self._fresh = deque()
        self._returned = deque()
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


def _separate(items: Iterable[T], predicate: Callable[[T], bool], discarded: list[T]) -> deque[T]:
    """The items to keep. The others are appended to ``discarded``."""
    kept: deque[T] = deque()
    for item in items:
        (discarded if predicate(item) else kept).append(item)
    return kept
