"""Parked events by how often they were tried, so that the most tried one is found without a look at the others."""

from streamer.core.records.open_record import OpenRecord


class MostTried:
    """Events that wait, by their failed attempts. Each method costs the same, however many events there are.

    An attempt may be refunded while its event waits. So an event may stand among those with more attempts than it has,
    never among those with fewer. `find` moves such an event before it chooses.
    """

    def __init__(self) -> None:
        self._attempts: dict[OpenRecord, int] = {}
        """Among which events each one stands."""
        self._events: dict[int, dict[OpenRecord, None]] = {}
        """By attempts: not more numbers than a destination has retries."""

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, event: OpenRecord) -> None:
        """Take an event."""
        attempts = self._attempts[event] = event.attempts
        self._events.setdefault(attempts, {})[event] = None

    def remove(self, event: OpenRecord) -> None:
        """Forget an event."""
        attempts = self._attempts.pop(event)
        events = self._events[attempts]
        del events[event]
        if not events:
            del self._events[attempts]

    def find(self) -> OpenRecord:
        """The event with the most attempts; of several, the one that was added last."""
        while True:
            most = max(self._events)
            event, _ = self._events[most].popitem()  # the last one: a dictionary finds its first one slowly
            self._events[most][event] = None
            if event.attempts >= most:
                return event
            self.remove(event)
            self.add(event)
