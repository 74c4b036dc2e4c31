"""Where a partition ends, as the brokers said last, and what that means for whoever waits behind it.

Two ends: below the *high watermark* records exist; below the *last stable offset* they may be read by those who wait
for transactions to be committed. Lag and positions are judged against the high watermark. Between the two lies an open
transaction. Nothing here knows the time: ``now`` is monotonic seconds.
"""

from dataclasses import dataclass
from typing import NamedTuple


class LogEnds(NamedTuple):
    """The ends of one partition."""

    high_watermark: int
    """The offset after the last record that all replicas have."""
    last_stable_offset: int
    """The offset of the first record of the oldest open transaction; without one, the high watermark."""

    def lag(self, position: int) -> int:
        """How many offsets lie between ``position`` and the high watermark."""
        return max(self.high_watermark - position, 0)

    def keeps_waiting(self, next_offset: int) -> bool:
        """Whether an open transaction keeps a reader from ``next_offset``."""
        return self.last_stable_offset <= next_offset < self.high_watermark


@dataclass(slots=True)
class PartitionEnds:
    """What is known of the ends of one partition, and since when."""

    known_at: float
    """When the ends were told last; before that, when they were first asked for."""
    ends: LogEnds | None = None
    """As told last; None before that."""
    blocked_since: float | None = None
    """Since when the same open transaction keeps the partition from being read further; None: nothing does."""
    open_transaction_since: float | None = None
    """The same, once that has lasted. Transactions that are under way are no news: only one that stays is."""
    next_offset: int | None = None
    """Where reading stood when the ends were told last."""
    waiting: tuple[int, int] | None = None
    """Offset and timestamp, in ms since the epoch, of the record there that was looked at last."""
    looked_at: float = 0.0
    """When that was tried last."""

    def tell(self, ends: LogEnds, next_offset: int | None, now: float, patience_seconds: float) -> bool:
        """Note what a broker said.

        Args:
            ends: as told.
            next_offset: where the partition is read next; None: that is not known yet.
            now: the time of the answer.
            patience_seconds: how long a transaction must keep the partition from being read to be news.

        Returns:
            Whether reading stands where it stood at the answer before, with records behind it that were not read.
        """
        was_at = self.ends.last_stable_offset if self.ends is not None else None
        is_still = next_offset is not None and next_offset == self.next_offset
        if next_offset is None or not ends.keeps_waiting(next_offset):
            self.blocked_since = None
        elif self.blocked_since is None or was_at != ends.last_stable_offset:
            self.blocked_since = now
        since = self.blocked_since
        self.open_transaction_since = since if since is not None and now - since >= patience_seconds else None
        self.ends, self.known_at, self.next_offset = ends, now, next_offset
        return is_still and next_offset is not None and ends.lag(next_offset) > 0

    def known(self, now: float, valid_seconds: float) -> LogEnds | None:
        """The ends, unless what was told is older than ``valid_seconds``."""
        return self.ends if now - self.known_at <= valid_seconds else None

    def waiting_timestamp(self, next_offset: int) -> int | None:
        """The timestamp of the record at ``next_offset``, if it was looked at; in ms since the epoch."""
        return self.waiting[1] if self.waiting is not None and self.waiting[0] == next_offset else None
