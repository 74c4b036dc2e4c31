"""How much of an integration is in memory, against its caps: the source of its backpressure.

What each assignment has is counted apart, so that all of it can be let go of at once when the assignment ends.
"""

from collections.abc import Callable

from streamer.core.records.ledger import PartitionLedger


class _Share:
    """What one assignment has in memory."""

    __slots__ = ("bytes", "records")

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0


class Load:
    """Open records and the bytes kept for them.

    Parked events that failed alone are no load: events that fail must not keep good ones from being read.
    """

    def __init__(self, *, max_records: int, max_bytes: int, on_room: Callable[[], None]) -> None:
        """Begin empty.

        Args:
            max_records: at this number nothing more is read.
            max_bytes: at this number of kept bytes nothing more is read.
            on_room: called when there is room again.
        """
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.records = 0
        self.bytes = 0
        self.is_full = False
        """Whether nothing more may be read now."""
        self._on_room = on_room
        self._shares: dict[PartitionLedger, _Share] = {}

    def add(self, ledger: PartitionLedger, records: int, kept_bytes: int) -> None:
        """Count records read, or events that are no longer parked."""
        assert not ledger.is_fenced, "what an ended assignment has is no load"
        share = self._shares.get(ledger)
        if share is None:
            share = self._shares[ledger] = _Share()
        share.records += records
        share.bytes += kept_bytes
        self._change(records, kept_bytes)

    def remove(self, ledger: PartitionLedger, records: int, kept_bytes: int) -> None:
        """Count records settled or parked."""
        share = self._shares[ledger]
        share.records -= records
        share.bytes -= kept_bytes
        assert share.records >= 0, "more records left than came"
        assert share.bytes >= 0, "more bytes left than came"
        self._change(-records, -kept_bytes)

    def drop(self, ledger: PartitionLedger) -> None:
        """An assignment has ended: nothing it had is load any more."""
        share = self._shares.pop(ledger, None)
        if share is not None:
            self._change(-share.records, -share.bytes)

    def of(self, ledger: PartitionLedger) -> tuple[int, int]:
        """Records and bytes of one assignment."""
        share = self._shares.get(ledger)
        return (0, 0) if share is None else (share.records, share.bytes)

    def _change(self, records: int, kept_bytes: int) -> None:
        self.records += records
        self.bytes += kept_bytes
        is_full = self.records >= self.max_records or self.bytes >= self.max_bytes
        was_full, self.is_full = self.is_full, is_full
        if was_full and not is_full:
            self._on_room()
