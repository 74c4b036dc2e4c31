"""Records in slices: how many are dealt with before the event loop gets its turn."""

from collections.abc import Iterator, Sequence
from typing import Final

from streamer.core.model import Record

MAX_SLICE_RECORDS: Final = 200
MAX_SLICE_BYTES: Final = 256_000
"""Records and bytes of a slice: a few milliseconds."""


def slices(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records, in slices of at least one record."""
    start = 0
    while start < len(records):
        end = _end(records, start)
        yield records[start:end]
        start = end


def _end(records: Sequence[Record], start: int) -> int:
    """Where the slice that begins at ``start`` ends: after so many records or bytes, and at least one record."""
    value_bytes = 0
    end = min(start + MAX_SLICE_RECORDS, len(records))
    for index in range(start, end):
        value = records[index].value
        value_bytes += len(value) if value is not None else 0
        if value_bytes > MAX_SLICE_BYTES:
            return index + 1
    return end
