"""The open offsets of one partition, and the position below which none is open.

Offsets are followed, never counted: holes (compaction, transaction markers) need no handling, because an offset that
never arrived is never open.
"""

from collections.abc import Iterable, Sequence

from streamer.core.model import Record


class Offsets:
    """Which offsets are open. Every method costs O(1) per record."""

    __slots__ = ("next", "open")

    def __init__(self, position: int) -> None:
        self.next = position
        """The lowest offset that may still arrive."""
        self.open: dict[int, int] = {}
        """Offset and timestamp of the open records, ascending. It is never larger than what is open."""

    @property
    def position(self) -> int:
        """The lowest open offset; where nothing is open, the next one."""
        return next(iter(self.open)) if self.open else self.next

    def add(self, records: Sequence[Record], end: int) -> None:
        """Open records in ascending order; nothing below ``end`` will arrive after them."""
        self.open.update({record.offset: record.timestamp for record in records})
        self.next = end

    def settle(self, offsets: Iterable[int]) -> None:
        """Close offsets. KeyError when one of them is not open: it was settled twice, or never opened."""
        for offset in offsets:
            del self.open[offset]
