"""Notes that say which dead letters were redriven, kept in the dead-letter topics themselves.

After records were written back, a note is appended to the partition of their dead letters: a record whose header lists
their offsets. It is behind them in the same partition, so retention never deletes it before them, and there may be any
number of notes. The position of a consumer group cannot replace them: it expires a week after its last commit, while
dead letters often stay longer, and its metadata has no room for the gaps that selections leave.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from streamer.core.model import Record

NOTE_HEADER: Final = "streamer.redriven"
"""Marks a note, and lists offsets of its own partition: ``3,7-12``."""


def note_header(offsets: Collection[int]) -> tuple[str, bytes]:
    """The header of a note that the dead letters at these offsets were redriven."""
    return NOTE_HEADER, ",".join(_spans(sorted(offsets))).encode()


def read_note(record: Record) -> list[range] | None:
    """The offsets that a note lists, all below its own; None: the record is not a note."""
    listed = dict(record.headers).get(NOTE_HEADER)
    if listed is None:
        return None
    spans = []
    try:
        for span in listed.split(b","):
            first, _, last = span.partition(b"-")
            # A damaged note may list offsets of records behind it; these are ignored.
            spans.append(range(int(first), min(int(last or first) + 1, record.offset)))
    except ValueError:
        return None
    return spans


def _spans(offsets: Sequence[int]) -> Iterator[str]:
    """Consecutive offsets as spans: ``3``, ``7-12``."""
    begin = 0
    for end in range(1, len(offsets) + 1):
        if end == len(offsets) or offsets[end] != offsets[end - 1] + 1:
            first, last = offsets[begin], offsets[end - 1]
            yield f"{first}" if first == last else f"{first}-{last}"
            begin = end
