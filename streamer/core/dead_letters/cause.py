"""What is wrong with dead letters, and whose they are: the groups in which ``streamer dlq why`` counts them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from streamer.core.dead_letters.dead_letter import DeadLetter
from streamer.core.dead_letters.detail import alike
from streamer.core.model import Record

PRODUCER_HEADERS: Final = ("client.id", "producer", "ce_source", "app")
"""Headers that name the producer of a record; the first one that it has counts. Kafka itself keeps no such name."""

UNKNOWN: Final = "unknown"
"""Stands for a producer that no header names."""

MAX_CAUSES: Final = 10_000
"""Most groups; what would make more is counted as `OTHERS`."""

MAX_PRODUCER_CHARACTERS: Final = 100

_alike = lru_cache(maxsize=4_096)(alike)


class Cause(NamedTuple):
    """What the dead letters of a group have in common."""

    integration: str
    reason: str
    detail: str
    """As `alike` writes it; empty: the dead letters go without a detail."""
    producer: str
    """``header=value``, or `UNKNOWN`."""


OTHERS: Final = Cause("others", "others", "", UNKNOWN)
"""Everything beyond `MAX_CAUSES`."""


class Causes:
    """Finds the cause of each dead letter."""

    def __init__(self, headers: Sequence[str] = PRODUCER_HEADERS, *, max_causes: int = MAX_CAUSES) -> None:
        """Begin; ``headers`` name the producer, the first one that a record has counts."""
        self._headers = headers
        self._max_causes = max_causes
        self._known: set[Cause] = set()

    def cause_of(self, record: Record, letter: DeadLetter) -> Cause:
        """In which group a dead letter is counted."""
        cause = Cause(letter.integration, letter.reason, _alike(letter.detail), producer_of(record, self._headers))
        if cause in self._known:
            return cause
        if len(self._known) >= self._max_causes:
            return OTHERS
        self._known.add(cause)
        return cause


def producer_of(record: Record, headers: Sequence[str] = PRODUCER_HEADERS) -> str:
    """Who wrote a record, as far as one of some headers says so: ``header=value``, else `UNKNOWN`."""
    found = {name: value for name, value in record.headers if value and name in headers}
    for name in headers:
        if name in found:
            return f"{name}={found[name].decode(errors='replace')[:MAX_PRODUCER_CHARACTERS]}"
    return UNKNOWN
