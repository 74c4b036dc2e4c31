"""Records that wait to be published, in the order in which they were stored, and the lock of the one that publishes.

A number is given under the lock of the one writer (`store.py`), so a record that can be read has all before it.
"""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from streamer.core.inbound.directory import Outgoing
from streamer.directory.database import Database
from streamer.directory.faults import translated
from streamer.directory.rows import outgoing_from_row
from streamer.directory.statements import STATEMENTS
from streamer.directory.tables import OUTBOX
from streamer.directory.unavailable import Away, DirectoryUnavailableError

MAX_READ_BYTES: Final = 8 << 20
"""Most bytes of values that are read at a time; one record is read whatever its size."""


class Entry(NamedTuple):
    """A record that waits."""

    number: int
    record: Outgoing


class Waiting(NamedTuple):
    """How much waits to be published."""

    records: int
    oldest: int | None
    """When the oldest was stored, in microseconds since the epoch; None: nothing waits."""


class Outbox:
    """The outbox of a database. Several may read it; `RelayLock` says who publishes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, max_records: int) -> list[Entry]:
        """The next records, in order: at most so many, and `MAX_READ_BYTES`.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        async with self._database.reading() as connection:
            last, size = None, 0
            for row in await connection.execute(_SIZES, {"count": max_records}):
                size += row.size
                if last is not None and size > MAX_READ_BYTES:
                    break
                last = row.number
            if last is None:
                return []
            rows = await connection.execute(_NEXT, {"last": last})
            return [Entry(row.number, outgoing_from_row(row)) for row in rows]

    async def delete(self, numbers: Collection[int]) -> None:
        """Delete records that the broker has confirmed. Those that are gone already are no fault.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        # Slices only add records, so they need not wait for this.
        async with self._database.writing(alone=False) as connection:
            statements = STATEMENTS[self._database.is_sqlite]
            await connection.execute(statements.delete_outbox, {"numbers": statements.listed(numbers)})

    async def waiting(self) -> Waiting:
        """How much waits, and since when.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(_WAITING)).one()
            return Waiting(row.records, row.oldest)

    def relay_lock(self) -> "RelayLock":
        """A lock that is not taken yet."""
        return RelayLock(self._database)


class RelayLock:
    """Only its holder publishes the outbox, so that records go out in order.

    PostgreSQL: an advisory lock of a connection of its own. It is lost with the connection, and the server ends the
    connection if `confirm` is not called for `Timings.directory_relay`, as by a frozen program. SQLite: a lock of the
    file ``<database>.relay``, which is lost when the process ends; nobody takes it from a frozen process.

    A holder that was frozen and wakes does not know yet that it lost the lock. So whoever publishes has to be fenced
    by the broker as well.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._file: int | None = None

    async def take(self) -> bool:
        """Take the lock; False: another has it. At once, in both cases.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        assert self._connection is None, "it is taken already"
        assert self._file is None, "it is taken already"
        file = self._database.address.file
        return await self._take_connection() if file is None else self._take_file(file)

    async def confirm(self) -> None:
        """Say that the holder is at work. To be called before each publishing, and while there is nothing to publish.

        Raises:
            DirectoryUnavailableError: the lock was lost, or the database is away. Publish nothing more; `drop` it.
        """
        if self._connection is not None:
            await self._connection.execute(text("SELECT 1"))
        elif self._file is None:
            raise DirectoryUnavailableError(Away.GONE, "the lock of the relay is not held")

    async def drop(self) -> None:
        """Give the lock back. One that was lost, or not taken, is no fault."""
        connection, self._connection = self._connection, None
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        if connection is not None:
            await _end(connection)

    def _take_file(self, database: Path) -> bool:
        with translated():
            file = os.open(f"{database}.relay", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    async def _take_connection(self) -> bool:
        connection = await self._database.connect_alone()
        try:
            is_taken = await self._database.lock_for_relay(connection)
        except BaseException:
            await _end(connection)
            raise
        if is_taken:
            self._connection = connection
        else:
            await connection.close()
        return is_taken


async def _end(connection: AsyncConnection) -> None:
    """Close the connection, not only return it to the pool: the lock belongs to it."""
    await connection.invalidate()
    await connection.close()


_SIZES: Final = (
    select(OUTBOX.c.number, func.coalesce(func.length(OUTBOX.c.value), 0).label("size"))
    .order_by(OUTBOX.c.number)
    .limit(bindparam("count"))
)
_NEXT: Final = select(OUTBOX).where(OUTBOX.c.number <= bindparam("last")).order_by(OUTBOX.c.number)
_WAITING: Final = select(func.count().label("records"), func.min(OUTBOX.c.stored).label("oldest"))
