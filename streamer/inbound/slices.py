"""The calls that wait for a transaction: in the order of their arrival, handed out in slices."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from streamer.core.inbound.call import Call, Ignored, Rejected
from streamer.core.model import Record
from streamer.core.records.ledger import PartitionLedger

MAX_SLICE_CALLS: Final = 500
MAX_SLICE_BYTES: Final = 2 << 20
"""Calls and bytes of one transaction: a tenth of a second or so, which is how long it keeps other writers waiting."""


class Taken:
    """A record on its way to the directory. Slotted and mutable: there is one for each record."""

    __slots__ = ("call", "ledger", "record")

    def __init__(self, record: Record, ledger: PartitionLedger) -> None:
        self.record = record
        self.ledger = ledger
        self.call: Call | Ignored | Rejected | None = None
        """What it holds; None: it was not read yet. A rejected one may still be found to be a duplicate."""


class Slices:
    """All calls of one pipeline that wait. Those of a partition stay in order, whatever is put back."""

    def __init__(self) -> None:
        self._waiting: deque[Taken] = deque()
        self._max_calls = MAX_SLICE_CALLS

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Taken]:
        return iter(self._waiting)

    def add(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Let records of one partition wait."""
        self._waiting.extend([Taken(record, ledger) for record in records])

    def put_back(self, slice_: Sequence[Taken]) -> None:
        """These are tried again, before all others."""
        self._waiting.extendleft(taken for taken in reversed(slice_) if not taken.ledger.is_fenced)

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended."""
        self._waiting = deque(taken for taken in self._waiting if not taken.ledger.is_fenced)

    def next(self) -> list[Taken]:
        """The calls that came first, as many as fit into one transaction, and at least one."""
        slice_: list[Taken] = []
        size = 0
        while self._waiting and len(slice_) < self._max_calls:
            first = self._waiting[0]
            size += len(first.record.value or b"")
            if slice_ and size > MAX_SLICE_BYTES:
                break
            self._waiting.popleft()
            if not first.ledger.is_fenced:
                slice_.append(first)
        return slice_

    def narrow(self, max_calls: int) -> None:
        """Hand out at most so many at a time, because one of them is at fault."""
        self._max_calls = max(max_calls, 1)

    def widen(self) -> None:
        """A slice was applied: hand out more at a time again."""
        self._max_calls = min(2 * self._max_calls, MAX_SLICE_CALLS)
