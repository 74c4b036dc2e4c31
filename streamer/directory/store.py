"""The directory in its database: what a slice of calls concerns is loaded, its changes are saved, in one transaction.

    async with directory.transaction() as transaction:
        loaded = await transaction.load(concern)
        ...                                       # the rules decide (`streamer.core.inbound`)
        await transaction.save(changes, now)

Loading and saving take a fixed number of statements, however many calls the slice has. Nothing is remembered outside of
the database.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from streamer.core.inbound.directory import Changes, Concern, Device, User
from streamer.directory import migrating
from streamer.directory.database import Database
from streamer.directory.migrating import Migration
from streamer.directory.outbox import Outbox
from streamer.directory.rows import (
    device_from_row,
    device_to_row,
    outgoing_to_row,
    user_from_row,
    user_to_row,
)
from streamer.directory.statements import STATEMENTS, Statements
from streamer.directory.tables import DEVICES, MARKS, MESSAGES, OUTBOX, REDIRECTS, USERS
from streamer.settings.inbound import DirectorySettings
from streamer.timings import PRODUCTION, Timings

NAMED_EVERY: Final = 86_400_000_000
"""Microseconds for which a device that was named is not written again only because it is named again."""


class Loaded(NamedTuple):
    """What of the directory a slice of calls may look at."""

    users: list[User]
    """With all their devices and redirects."""
    devices: list[Device]
    """Those that the calls name, and all of the users."""
    marks: dict[bytes, int]
    """Digest -> time of the deletion, of those that exist."""
    messages: dict[bytes, str]
    """Digest of the messageId -> outcome, of those that exist."""


class Counts(NamedTuple):
    """How large the directory is."""

    users: int
    devices: int


class Reader:
    """One transaction that reads. Not to be used after its block."""

    def __init__(self, connection: AsyncConnection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._names: dict[int, str] = {}
        """Row number -> stored username, of the users that were loaded."""
        self._last_named: dict[str, int] = {}
        """anonymousId -> when it was named last, of the devices without user that the calls name."""

    async def without_limits(self) -> None:
        """Let this transaction, and each of its statements, take as long as they take."""
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(text("SET LOCAL statement_timeout = 0"))
            await self._connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))

    async def load(self, concern: Concern) -> Loaded:
        """Everything that belongs to the ids of ``concern``."""
        messages = await self._select(self._statements.messages, digests=concern.messages)
        marks = await self._select(self._statements.marks, digests=concern.marks)
        rows = await self._select(
            self._statements.users, names=concern.names, devices=concern.devices, emails=concern.emails
        )
        users, devices = await self._load_users(rows, concern.devices)
        return Loaded(
            users,
            devices,
            {row.digest: row.at for row in marks},
            {row.digest: row.outcome for row in messages},
        )

    async def users_of(self, devices: Collection[str]) -> dict[str, str]:
        """The username of each of the devices that has a user now."""
        rows = await self._select(self._statements.users_of_devices, devices=devices)
        return {row.anonymous_id: row.username for row in rows}

    async def users_after(self, username: str, count: int) -> list[User]:
        """The next users in the order of their names, compared by code point."""
        rows = await self._connection.execute(_USERS_AFTER, {"last": username, "count": count})
        users, _ = await self._load_users(rows.all(), ())
        return users

    async def unlinked_devices_after(self, anonymous_id: str, count: int) -> list[Device]:
        """The next devices without a user in the order of their ids, compared by code point."""
        rows = await self._connection.execute(_UNLINKED_AFTER, {"last": anonymous_id, "count": count})
        return [device_from_row(row, None) for row in rows]

    async def _load_users(self, rows: Iterable[Any], named: Collection[str]) -> tuple[list[User], list[Device]]:
        """The users of the rows with all that is theirs, and all devices of them or among ``named``."""
        users = {row.id: user_from_row(row) for row in rows}
        self._names = {row: user.username for row, user in users.items()}
        devices: dict[str, Device] = {}
        for row in await self._select(self._statements.devices, devices=named, users=users):
            user = users.get(row.user_id)
            device = devices[row.anonymous_id] = device_from_row(row, user)
            if user is not None:
                user.devices[device.anonymous_id] = device
            else:
                self._last_named[device.anonymous_id] = row.last_named
        for row in await self._select(self._statements.redirects, users=users):
            users[row.user_id].redirects[row.name] = row.at
        return list(users.values()), list(devices.values())

    async def _select(self, statement: Any, **lists: Any) -> Any:
        """Rows of a statement with list parameters."""
        found = await self._connection.execute(
            statement, {name: self._statements.listed(values) for name, values in lists.items()}
        )
        return found.all()


class Transaction(Reader):
    """One transaction of the one writer. Not to be used after its block."""

    async def clear(self) -> None:
        """Delete everything: users, devices, marks, messages and the outbox. Numbers are not given again."""
        for table in (REDIRECTS, DEVICES, USERS, MARKS, MESSAGES, OUTBOX):
            await self._connection.execute(delete(table))

    async def save(self, changes: Changes, now: int) -> None:
        """Store the changes, and give new users their row numbers.

        Args:
            changes: of the view that was made of what this transaction loaded.
            now: microseconds since the epoch.
        """
        statements = self._statements
        if changes.gone_users:
            await self._change(statements.delete_users, users=changes.gone_users)
        await self._save_users(changes.users)
        if changes.gone_devices:
            await self._change(statements.delete_devices, devices=changes.gone_devices)
        await self._put(statements.put_devices, [device_to_row(device, now) for device in changes.devices])
        await self._note_named(changes, now)
        if changes.gone_redirects:
            await self._change(statements.delete_redirects, names=changes.gone_redirects)
        await self._put(
            statements.put_redirects,
            [{"name": name, "user_id": user.row, "at": at} for name, user, at in changes.redirects],
        )
        await self._put(
            statements.put_marks, [{"digest": digest, "at": at, "stored": now} for digest, at in changes.marks.items()]
        )
        await self._put(
            statements.insert_messages,
            [{"digest": digest, "outcome": outcome, "applied": now} for digest, outcome in changes.messages.items()],
        )
        if changes.outgoing:
            first = await self._take_numbers("outbox", len(changes.outgoing))
            rows = [outgoing_to_row(number, record, now) for number, record in enumerate(changes.outgoing, first)]
            await self._put(statements.insert_outbox, rows)

    async def _save_users(self, users: list[User]) -> None:
        new = [user for user in users if user.row is None]
        known = [user for user in users if user.row is not None]
        if new:
            first = await self._take_numbers("users", len(new))
            for row, user in enumerate(new, first):
                user.row = row
        renamed = [user.row for user in known if user.row is not None and self._names[user.row] != user.username]
        if renamed:
            await self._change(self._statements.free_names, users=renamed)
        await self._put(self._statements.update_users, [{**user_to_row(user), "row": user.row} for user in known])
        await self._put(self._statements.insert_users, [{**user_to_row(user), "id": user.row} for user in new])

    async def _note_named(self, changes: Changes, now: int) -> None:
        """Devices without user that were named and not changed are remembered longer, too."""
        written = {device.anonymous_id for device in changes.devices} | set(changes.gone_devices)
        named = [name for name, last in self._last_named.items() if last <= now - NAMED_EVERY and name not in written]
        if named:
            await self._connection.execute(
                self._statements.name_devices, {"devices": self._statements.listed(named), "now": now}
            )

    async def _take_numbers(self, counter: str, count: int) -> int:
        """The first of ``count`` numbers that were never given before."""
        taken = await self._connection.execute(self._statements.take_numbers, {"counter": counter, "count": count})
        return int(taken.scalar_one()) - count + 1

    async def _change(self, statement: Any, **lists: Any) -> None:
        await self._connection.execute(
            statement, {name: self._statements.listed(values) for name, values in lists.items()}
        )

    async def _put(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        """The statement for each of the rows, in one message to the database."""
        if rows:
            await self._connection.execute(statement, rows)


_USERS_AFTER: Final = (
    select(USERS).where(USERS.c.username > bindparam("last")).order_by(USERS.c.username).limit(bindparam("count"))
)
_UNLINKED_AFTER: Final = (
    select(DEVICES)
    .where(DEVICES.c.user_id.is_(None), DEVICES.c.anonymous_id > bindparam("last"))
    .order_by(DEVICES.c.anonymous_id)
    .limit(bindparam("count"))
)


class Directory:
    """The directory of users.

    Args:
        settings: where it is.
        timings: how long to wait.
    """

    def __init__(self, settings: DirectorySettings, timings: Timings = PRODUCTION) -> None:
        self.database: Final = Database(settings, timings)
        self.outbox: Final = Outbox(self.database)

    async def migrate(self) -> Migration | None:
        """Create or update the tables; None: they were in order. For the start, before anything else.

        Raises:
            DirectoryUnavailableError: the database is away, or its tables are newer or another program's.
        """
        return await migrating.migrate(self.database)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction of the one writer. It is committed at the end of the block, and undone by an error in it.

        Raises:
            DirectoryUnavailableError: the database is away. Nothing of the block counts; only if the connection was
                lost during the commit, all of it may. So read the same calls again: their messageIds tell.
        """
        async with self.database.writing() as connection:
            yield Transaction(connection, STATEMENTS[self.database.is_sqlite])

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """A transaction that only reads; it waits for no writer, and none waits for it.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        async with self.database.reading() as connection:
            yield Reader(connection, STATEMENTS[self.database.is_sqlite])

    async def users_of(self, devices: Collection[str]) -> dict[str, str]:
        """The username of each of the devices that has a user now, read in a snapshot of its own.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        async with self.snapshot() as reader:
            return await reader.users_of(devices)

    async def counts(self) -> Counts:
        """How many users and devices there are. It takes a second for millions of them: ask once a minute.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        async with self.database.reading() as connection:
            users = await connection.execute(select(func.count()).select_from(USERS))
            devices = await connection.execute(select(func.count()).select_from(DEVICES))
            return Counts(users.scalar_one(), devices.scalar_one())

    async def close(self) -> None:
        """Close all connections."""
        await self.database.close()
