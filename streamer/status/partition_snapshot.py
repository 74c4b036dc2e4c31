"""What is known of one partition: part of the snapshot."""

from dataclasses import dataclass

from streamer.core.records.account import Account
from streamer.core.records.obstacles import PartitionFault


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedPartition:
    """A partition while it is assigned to us. Positions are offsets; times are seconds since the epoch."""

    in_flight: int
    """Records read and not settled, the parked ones included."""
    parked: int
    position: int
    """The position that may be committed now."""
    committed: int | None
    next_offset: int
    """Where it is read next: behind what was read and is not settled."""
    high_watermark: int | None
    """The broker's end of the partition, as of the last seconds; None: not known now."""
    ends_known_at: float | None = None
    """When a broker last said where the partition ends; None: none has since it is ours."""
    open_transaction_since: float | None = None
    """Since when an open transaction keeps it from being read; None: none does, or not for long."""
    oldest_waiting_at: float | None = None
    """The timestamp of the oldest record that is not settled; None: no record waits, or it was not looked at yet."""
    retention_headroom_seconds: float | None = None
    receipts_since: float | None = None
    """Since when this instance has a receipt of every delivery from the partition; None: it has no receipts."""

    @property
    def unread(self) -> int | None:
        """Records from the next offset to the high watermark, offsets without a record included; None: not known."""
        return None if self.high_watermark is None else max(self.high_watermark - self.next_offset, 0)

    @property
    def lag(self) -> int | None:
        """Records from the committed position (before the first commit: from the start) to the high watermark."""
        if self.high_watermark is None:
            return None
        return max(self.high_watermark - (self.position if self.committed is None else self.committed), 0)

    def lag_seconds(self, now: float) -> float | None:
        """Age of the oldest record that is not settled; 0: no record waits; None: not known."""
        if self.oldest_waiting_at is not None:
            return max(now - self.oldest_waiting_at, 0.0)
        if self.high_watermark is None or self.high_watermark > self.next_offset:
            return None
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """A partition that this process has or had. Its account stays; ``assigned`` ends with the assignment."""

    topic: str
    partition: int
    account: Account
    assigned: AssignedPartition | None
    left_out: PartitionFault | None = None
    """Why the partition, which is ours, is not read now; it may not be known yet where to begin in it."""
    left_out_since: float | None = None
    """Since when, in seconds since the epoch."""

    @property
    def in_flight(self) -> int:
        """Records read and not settled; what was open when the assignment ended is in ``account.handed_back``."""
        return 0 if self.assigned is None else self.assigned.in_flight

    @property
    def unaccounted(self) -> int:
        """By how much the account does not add up; anything but 0 is a bug of ours."""
        return self.account.unaccounted(self.in_flight)
