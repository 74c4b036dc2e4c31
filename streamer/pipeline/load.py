"""How much of an integration is in memory, and the wait for room: its backpressure."""

import asyncio


class Load:
    """Open records and the bytes held for them, against their caps.

    Parked events are not load: events that fail must not keep good ones from being read.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.records = 0
        self.bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be read now."""
        return not self._room.is_set()

    def add(self, records: int, held_bytes: int) -> None:
        """Count records read, or events back from being parked."""
        self.records += records
        self.bytes += held_bytes
        if self.records >= self.max_records or self.bytes >= self.max_bytes:
            self._room.clear()

    def remove(self, records: int, held_bytes: int) -> None:
        """Count records settled, handed back or parked."""
        self.records -= records
        self.bytes -= held_bytes
        assert self.records >= 0, "more records left than came"
        assert self.bytes >= 0, "more bytes left than came"
        if self.records < self.max_records and self.bytes < self.max_bytes:
            self._room.set()

    def reset(self, records: int, held_bytes: int) -> None:
        """Take a new count: assignments have ended, and what they held is not load any more."""
        self.remove(self.records, self.bytes)
        self.add(records, held_bytes)

    async def room(self) -> None:
        """Wait until something may be read."""
        await self._room.wait()
