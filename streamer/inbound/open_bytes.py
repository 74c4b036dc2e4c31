"""How many bytes of bodies are in memory, and whose request gives way when they become too many.

Not the newest one: then few large bodies that come slowly would keep all others out. The largest body that is not
complete gives way, so that small requests are answered whatever else arrives.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OpenBytes:
    """The bytes of all requests that are received and not answered."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._incomplete: set[Share] = set()
        self._held_by_complete = 0
        self.held = 0

    @property
    def is_full(self) -> bool:
        """Whether complete requests alone hold as much as all may."""
        return self._held_by_complete >= self._max_bytes

    @contextmanager
    def share(self) -> "Iterator[Share]":
        """The part of one request, until it is answered."""
        share = Share(self)
        self._incomplete.add(share)
        try:
            yield share
        finally:
            self.complete(share)
            self.held -= share.held
            self._held_by_complete -= share.held

    def complete(self, share: "Share") -> None:
        """Nothing more of the request comes, and it does not give way any more."""
        if share in self._incomplete:
            self._incomplete.remove(share)
            self._held_by_complete += share.held

    def make_room(self) -> None:
        """Let the largest of the incomplete requests give way for as long as there is too much."""
        while self.held > self._max_bytes and self._incomplete:
            largest = max(self._incomplete, key=lambda share: share.held)
            self._incomplete.discard(largest)
            self.held -= largest.held
            largest.held = 0
            largest.has_given_way = True
            largest.give_way()


class Share:
    """The bytes of one request."""

    def __init__(self, whole: OpenBytes) -> None:
        self._whole = whole
        self.give_way: Callable[[], None] = lambda: None
        """Called to end the reading of its body."""
        self.held = 0
        self.has_given_way = False

    def add(self, size: int) -> bool:
        """Hold more bytes; False: this request must give way."""
        if not self.has_given_way:
            self.held += size
            self._whole.held += size
            self._whole.make_room()
        return not self.has_given_way

    def complete(self) -> None:
        """Nothing more comes."""
        self._whole.complete(self)
