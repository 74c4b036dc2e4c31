"""One tap: it chooses calls of the batches that pass, makes lines of them, and keeps these until somebody takes them.

Delivery does not wait for a tap and must not notice one, so everything that a tap does is bounded: lines a second,
calls decoded a second, bytes of lines that wait. What is beyond a bound is counted, and the tap says so.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson

from streamer.core.model import Json
from streamer.core.records.open_record import OpenRecord
from streamer.core.tapping.conditions import Condition
from streamer.core.tapping.lines import (
    BATCH_FIELDS,
    RECORD_FIELDS,
    AnsweredBatch,
    known_of,
    line_of,
    names_of,
    tally_line,
)

DEFAULT_RATE: Final = 10.0

MAX_RATE: Final = 1_000.0
"""Most lines a second that a tap can ask for."""

MAX_LOOKS_PER_SECOND: Final = 2_000.0
"""Most calls that are decoded a second. It bounds what a condition costs that most calls may match."""

MAX_QUEUED_BYTES: Final = 1 << 20
"""Lines that wait for their reader. Further ones are lost and counted."""

MAX_CONDITIONS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TapRequest:
    """What somebody wants to see.

    Raises:
        ValueError: it is more than a tap can do.
    """

    integrations: frozenset[str] = frozenset()
    """Empty: all."""
    conditions: Sequence[Condition] = ()
    """A call has to match all of them."""
    rate: float = DEFAULT_RATE
    """Most lines a second."""
    shows_values: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 < self.rate <= MAX_RATE:
            raise ValueError(f"the rate is not above 0 and at most {MAX_RATE:.0f} a second")
        if len(self.conditions) > MAX_CONDITIONS:
            raise ValueError(f"more than {MAX_CONDITIONS} conditions")

    @property
    def reveals_values(self) -> bool:
        """Whether its lines tell something about values: by showing them, or by which calls they are."""
        return self.shows_values or any(condition.reveals_values for condition in self.conditions)


@dataclass(slots=True)
class _Budget:
    """So many a second, and at most those of one second at once."""

    per_second: float
    left: float
    at: float
    """Up to when it was filled, in monotonic seconds."""

    @property
    def _most(self) -> float:
        return max(self.per_second, 1.0)

    def refill(self, now: float) -> None:
        """``now`` in monotonic seconds."""
        self.left = min(self.left + (now - self.at) * self.per_second, self._most)
        self.at = now

    def take(self) -> bool:
        """Use one, if there is one."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Tap:
    """What one reader gets to see."""

    def __init__(self, request: TapRequest, now: float) -> None:
        """Begin; ``now`` in monotonic seconds."""
        self._request = request
        self._of_batch = [condition for condition in request.conditions if condition.field in BATCH_FIELDS]
        self._of_record = [condition for condition in request.conditions if condition.field in RECORD_FIELDS]
        self._of_call = [condition for condition in request.conditions if condition.needs_call]
        self._lines_left = _Budget(request.rate, 1.0, now)  # not a second's worth, so that who comes again gets no more
        self._looks_left = _Budget(MAX_LOOKS_PER_SECOND, MAX_LOOKS_PER_SECOND, now)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self.passed = 0
        """Calls of the integrations that were asked for."""
        self.shown = 0
        self.lost = 0
        """Lines that the reader was too slow for."""
        self.skipped = 0
        """Calls that no look was left for, so that nobody knows whether they match."""

    def offer(self, batch: AnsweredBatch, now: float) -> bool:
        """Look at the calls of a batch; ``now`` in monotonic seconds.

        Returns:
            Whether there are lines to take.
        """
        request = self._request
        if request.integrations and batch.integration not in request.integrations:
            return bool(self._queue)
        self.passed += len(batch.records)
        self._lines_left.refill(now)
        self._looks_left.refill(now)
        if self._lines_left.left >= 1.0:
            for known, call in self._matching(batch):
                self._lines_left.take()
                self._put(line_of(known, call, shows_values=request.shows_values))
                if self._lines_left.left < 1.0:
                    break
        return bool(self._queue)

    def take(self) -> bytes:
        """The lines that wait; b"": there are none."""
        lines = b"".join(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return lines

    def tally(self) -> bytes:
        """A line: what the tap has seen and shown since it began."""
        return tally_line({"passed": self.passed, "shown": self.shown, "lost": self.lost, "skipped": self.skipped})

    def _put(self, line: bytes) -> None:
        if self._queued_bytes + len(line) > MAX_QUEUED_BYTES:
            self.lost += 1
            return
        self._queue.append(line)
        self._queued_bytes += len(line)
        self.shown += 1

    def _matching(self, batch: AnsweredBatch) -> Iterator[tuple[dict[str, Json], Json]]:
        """The calls that match: what is known of each without decoding it, and the decoded call."""
        for record in self._candidates(batch):
            if not all(condition.may_match(record.body) for condition in self._of_call):
                continue
            if not all(condition.matches(RECORD_FIELDS[condition.field](record)) for condition in self._of_record):
                continue
            if not self._looks_left.take():
                self.skipped += 1
                continue
            call = orjson.loads(record.body)
            if not self._of_call or self._matches(call):
                yield known_of(batch, record), call

    def _matches(self, call: Json) -> bool:
        named = {**call, **names_of(call)}
        return all(condition.matches_in(named) for condition in self._of_call)

    def _candidates(self, batch: AnsweredBatch) -> Iterable[OpenRecord]:
        """The calls to look at: without conditions on single calls, a sample of as many as may be shown."""
        records = batch.records
        if not all(condition.matches(BATCH_FIELDS[condition.field](batch)) for condition in self._of_batch):
            return ()
        if self._of_record or self._of_call:
            return records
        return islice(records, 0, None, max(len(records) // int(self._lines_left.left), 1))
