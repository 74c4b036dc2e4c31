"""The directory in memory: transactions of one writer, without a database. Faults are switched on by attributes."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import Changes, Concern, Device, Outgoing, User
from streamer.inbound.ports import Loaded


class Stored(NamedTuple):
    """A record of the outbox."""

    number: int
    record: Outgoing


class MemoryTransaction:
    """What one transaction has read and will write."""

    def __init__(self, directory: "MemoryDirectory") -> None:
        self._directory = directory
        self.changes: list[Changes] = []

    async def load(self, concern: Concern) -> Loaded:
        await asyncio.sleep(0)
        directory = self._directory
        users = {row: _without_devices(user) for row, user in directory.users.items()}
        devices = []
        for stored in directory.devices.values():
            row = None if stored.user is None else stored.user.row
            device = copy.copy(stored)
            device.person = copy.deepcopy(stored.person)
            device.user = None if row is None else users[row]
            if device.user is not None:
                device.user.devices[device.anonymous_id] = device
            devices.append(device)
        for name, (row, at) in directory.redirects.items():
            users[row].redirects[name] = at
        messages = {digest: directory.messages[digest] for digest in concern.messages & directory.messages.keys()}
        return list(users.values()), devices, dict(directory.marks), messages

    async def save(self, changes: Changes, now: int) -> None:
        assert now > 0
        await asyncio.sleep(0)
        if self._directory.on_save is not None:
            self._directory.on_save(changes)
        self.changes.append(changes)


def _without_devices(user: User) -> User:
    bare = copy.copy(user)
    bare.person = copy.deepcopy(user.person)
    bare.devices, bare.redirects = {}, {}
    return bare


class MemoryDirectory:
    """A `streamer.inbound.ports.Directory` and `Outbox`. Public attributes are its content and its faults."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.devices: dict[str, Device] = {}
        self.redirects: dict[str, tuple[int, int]] = {}
        self.marks: dict[bytes, int] = {}
        self.messages: dict[bytes, str] = {}
        self.outbox: list[Stored] = []
        self.fault: UnavailableError | None = None
        """Why no transaction can begin."""
        self.refuses_deletions: UnavailableError | None = None
        """Why nothing can be deleted from the outbox, although it can be read."""
        self.loses_commits = 0
        """How many of the next commits count, although they fail."""
        self.on_save: Callable[[Changes], object] | None = None
        """Called with all changes before they count; what it raises is raised."""
        self.open = asyncio.Event()
        """While it is clear, transactions wait before their commit."""
        self.open.set()
        self.begun = 0
        self.committed = 0
        self._rows = 0
        self._numbers = 0
        self._writer = asyncio.Lock()
        self.relay: MemoryRelayLock | None = None
        """Who publishes."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        async with self._writer:
            await asyncio.sleep(0)
            if self.fault is not None:
                raise self.fault
            self.begun += 1
            transaction = MemoryTransaction(self)
            yield transaction
            await self.open.wait()
            for changes in transaction.changes:
                self._commit(changes)
            self.committed += 1
            if self.loses_commits:
                self.loses_commits -= 1
                raise UnavailableError("the connection was lost")

    def _commit(self, changes: Changes) -> None:
        for row in changes.gone_users:
            del self.users[row]
        for user in changes.users:
            if user.row is None:
                self._rows += 1
                user.row = self._rows
            self.users[user.row] = user
        for name in changes.gone_devices:
            del self.devices[name]
        self.devices |= {device.anonymous_id: device for device in changes.devices}
        for name in changes.gone_redirects:
            del self.redirects[name]
        for name, user, at in changes.redirects:
            assert user.row is not None
            self.redirects[name] = user.row, at
        self.marks |= changes.marks
        assert not changes.messages.keys() & self.messages.keys(), "a messageId is stored once"
        self.messages |= changes.messages
        for outgoing in changes.outgoing:
            self._numbers += 1
            self.outbox.append(Stored(self._numbers, outgoing))

    def usernames(self) -> list[str]:
        """The names of all users, in order."""
        return sorted(user.username for user in self.users.values())

    async def read(self, max_records: int) -> Sequence[Stored]:
        await self._answer()
        return self.outbox[:max_records]

    async def delete(self, numbers: Collection[int]) -> None:
        await self._answer()
        if self.refuses_deletions is not None:
            raise self.refuses_deletions
        self.outbox = [stored for stored in self.outbox if stored.number not in numbers]

    def relay_lock(self) -> "MemoryRelayLock":
        return MemoryRelayLock(self)

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault


class MemoryRelayLock:
    """The lock of a `MemoryDirectory`. Its holder loses it when a test says so, and learns of that with `confirm`."""

    def __init__(self, directory: MemoryDirectory) -> None:
        self._directory = directory

    async def take(self) -> bool:
        await self._directory._answer()
        if self._directory.relay is None:
            self._directory.relay = self
        return self._directory.relay is self

    async def confirm(self) -> None:
        await self._directory._answer()
        if self._directory.relay is not self:
            raise UnavailableError("the lock was lost")

    async def drop(self) -> None:
        if self._directory.relay is self:
            self._directory.relay = None
