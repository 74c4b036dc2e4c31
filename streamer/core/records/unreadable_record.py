"""What stands in the place of a record whose bytes cannot be read, so that it has an outcome like any other."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """An offset of a batch that cannot be read: a `streamer.core.model.Record` with a place, and nothing else.

    There is one for each offset of the batch. Those that compaction has removed cannot be told from the others.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    """That of its batch, in milliseconds since the epoch; -1: not known."""
    key: None = None
    value: None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
