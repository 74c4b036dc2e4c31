"""Which offsets are read at all: everything, or of each partition a stretch that was decided beforehand (a replay)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NO_END: Final = 1 << 63
"""Above every offset."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is read of each partition. With bounds, records outside of them are never opened."""

    bounds: Mapping[tuple[str, int], tuple[int, int]] | None = None
    """By topic and partition: the first offset, and the one after the last. Of other partitions nothing is read. None:
    everything is read."""

    def begin(self, topic: str, partition: int) -> int | None:
        """Where a partition begins of which nothing is stored; None: not decided here."""
        return None if self.bounds is None else self.bounds.get((topic, partition), (0, 0))[0]

    def end(self, topic: str, partition: int) -> int:
        """Nothing is read from this offset on."""
        return NO_END if self.bounds is None else self.bounds.get((topic, partition), (0, 0))[1]


EVERYTHING: Final = Window()
