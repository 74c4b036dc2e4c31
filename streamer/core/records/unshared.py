"""Receipts on their way to the topic: what waits, what is given up when there is too much, and what is then missing."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from streamer.core.records.receipt_record import Gap

MAX_UNSHARED: Final = 200_000
"""Most receipts that wait; some 25 MB. At 1,000 events a second, the topic may be away for three minutes."""

MAX_GAPS: Final = 10_000
"""Most partitions of which is remembered what is missing."""


class Noted(NamedTuple):
    """What one request has delivered of one partition; the names are those of `ReceiptBatch`.

    One for each batch on the hot path, therefore a tuple.
    """

    integration: str
    destination_name: str
    destination: str
    topic: str
    partition: int
    delivered_at: float
    batch_events: int
    attempt: int
    status: int
    replay_id: int
    offsets: Sequence[int]
    digests: Sequence[bytes]


class Unshared:
    """A queue of one process, oldest first. What is taken from it stays here until it is written or put back."""

    def __init__(self, max_receipts: int = MAX_UNSHARED) -> None:
        self.noted = 0
        """Entries that were ever noted."""
        self.gone = 0
        """Those of them that were written or given up."""
        self.given_up: Counter[str] = Counter()
        """Receipts that were given up, by integration."""
        self.receipts = 0
        """How many wait, those in hand included."""
        self.gaps: dict[tuple[str, str, int], Gap] = {}
        """What is missing in the topic and was not said there yet, by integration, topic and partition."""
        self._max_receipts = max_receipts
        self._waiting: deque[Noted] = deque()
        self._in_hand: list[Noted] = []

    def note(self, noted: Noted) -> None:
        """Let one more wait. If there are too many, the oldest are given up."""
        self._waiting.append(noted)
        self.noted += 1
        self.receipts += len(noted.offsets)
        while self.receipts > self._max_receipts and self._waiting:
            self._give_up(self._waiting.popleft())

    def take(self, max_receipts: int) -> Sequence[Noted]:
        """The oldest, with so many receipts or one entry; it is in hand until `written` or `put_back`."""
        assert not self._in_hand, "one group at a time"
        taken = 0
        while self._waiting and (not taken or taken + len(self._waiting[0].offsets) <= max_receipts):
            self._in_hand.append(self._waiting.popleft())
            taken += len(self._in_hand[-1].offsets)
        return self._in_hand

    def written(self) -> None:
        """The topic has what is in hand."""
        self.gone += len(self._in_hand)
        self.receipts -= sum(len(noted.offsets) for noted in self._in_hand)
        self._in_hand = []

    def put_back(self) -> None:
        """What is in hand was not written, as far as is known: it waits again, as the oldest."""
        self._waiting.extendleft(reversed(self._in_hand))
        self._in_hand = []

    def give_up_all(self) -> int:
        """Nothing more will be written. Returns how many receipts are given up."""
        self.put_back()
        receipts = self.receipts
        while self._waiting:
            self._give_up(self._waiting.popleft())
        return receipts

    def give_up(self, noted: Noted) -> None:
        """The topic will never take an entry that is in hand."""
        self._note_gap(noted)

    def said(self, gaps: Sequence[Gap]) -> None:
        """The topic has these gaps; what came to them meanwhile stays."""
        for gap in gaps:
            key = gap.integration, gap.topic, gap.partition
            if self.gaps.get(key) == gap:
                del self.gaps[key]

    def _give_up(self, noted: Noted) -> None:
        self.gone += 1
        self.receipts -= len(noted.offsets)
        self._note_gap(noted)

    def _note_gap(self, noted: Noted) -> None:
        receipts = len(noted.offsets)
        self.given_up[noted.integration] += receipts
        key = noted.integration, noted.topic, noted.partition
        gap = self.gaps.get(key)
        if gap is not None:
            since, until = min(gap.since, noted.delivered_at), max(gap.until, noted.delivered_at)
            self.gaps[key] = replace(gap, since=since, until=until, receipts=gap.receipts + receipts)
        elif len(self.gaps) < MAX_GAPS:
            self.gaps[key] = Gap(
                integration=noted.integration,
                topic=noted.topic,
                partition=noted.partition,
                since=noted.delivered_at,
                until=noted.delivered_at,
                receipts=receipts,
            )
