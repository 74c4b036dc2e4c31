"""What applying calls and publishing records need of the directory. `streamer.directory` is the real thing."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streamer.core.inbound.directory import Changes, Concern, Device, Outgoing, User

Loaded = tuple[Sequence[User], Sequence[Device], Mapping[bytes, int], Mapping[bytes, str]]
"""Users, devices, times of deletion marks and outcomes of messages, as `streamer.core.inbound.view.View` takes them."""


class Transaction(Protocol):
    """One transaction; nobody else writes meanwhile."""

    async def load(self, concern: Concern) -> Loaded:
        """What the directory holds of these users, devices, marks and messages."""

    async def save(self, changes: Changes, now: int) -> None:
        """Write what calls have changed; ``now`` in microseconds since the epoch."""


class Directory(Protocol):
    """Where calls are applied; see `streamer.directory.store.Directory`. Errors are `UnavailableError`."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Committed at the end of the block, undone by an error in it."""


class Entry(Protocol):
    """A record of the outbox."""

    @property
    def number(self) -> int:
        """Numbers ascend in the order in which the records were stored."""

    @property
    def record(self) -> Outgoing:
        """What to publish."""


class RelayLock(Protocol):
    """The right to publish the outbox; see `streamer.directory.outbox.RelayLock`."""

    async def take(self) -> bool:
        """Take it; False: another has it."""

    async def confirm(self) -> None:
        """Say that the holder is at work; raises if it was lost."""

    async def drop(self) -> None:
        """Give it back."""


class Outbox(Protocol):
    """Records that wait to be published; see `streamer.directory.outbox.Outbox`."""

    async def read(self, max_records: int) -> Sequence[Entry]:
        """The oldest records, in order."""

    async def delete(self, numbers: Collection[int]) -> None:
        """Forget records whose publication is confirmed."""

    def relay_lock(self) -> RelayLock:
        """A lock that is not taken yet."""


class Producer(Protocol):
    """Publishes records in order; see `streamer.kafka.OrderedProducer`."""

    async def start(self) -> None:
        """Connect, and keep older producers from publishing anything more."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish all of the records or none; they are confirmed when this returns."""

    async def stop(self) -> None:
        """Disconnect."""
