"""Connections and transactions of the directory's database, SQLite or PostgreSQL.

One writer at a time: SQLite begins with ``BEGIN IMMEDIATE``, PostgreSQL takes an advisory lock that ends with the
transaction. So what a transaction has read stays true until its commit, and calls of one person at once have the result
of one after the other. A frozen writer cannot hold the others for ever: PostgreSQL ends its transaction after
`Timings.directory_idle`. (SQLite is for one machine, on which a frozen process is seen.)

Each transaction first reads which migration was applied last: another instance may have updated the tables meanwhile.

PostgreSQL through PgBouncer needs its session mode: the relay's lock belongs to a connection.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamer.directory import locks
from streamer.directory.address import Address, parse
from streamer.directory.engines import BEGIN, PostgreSQLConnector, milliseconds, open_sqlite
from streamer.directory.faults import translate_errors_of, translated
from streamer.directory.tables import VERSION_TABLE
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.settings.inbound import DirectorySettings
from streamer.timings import PRODUCTION, Timings

HEAD: Final = "0001"
"""The migration that this version of streamer works with. A test holds it to the newest in `migrations/`."""


class Database:
    """The database of the configuration. Nothing is connected before the first transaction.

    Args:
        settings: where it is; the address is read again for each connection.
        timings: how long to wait.
        keeps_journal: leave the journal of a SQLite file as it is, for who must change nothing.
    """

    def __init__(
        self, settings: DirectorySettings, timings: Timings = PRODUCTION, *, keeps_journal: bool = False
    ) -> None:
        self._keeps_journal = keeps_journal
        self._settings = settings
        self._timings = timings
        self._engine: AsyncEngine | None = None
        self._file: Path | None = None
        self._file_id: tuple[int, int] | None = None
        self._postgresql = PostgreSQLConnector(lambda: self.address, timings)

    @property
    def is_sqlite(self) -> bool:
        """Known once it was used."""
        return self._engine is not None and self._engine.dialect.name == "sqlite"

    @property
    def address(self) -> Address:
        """Where it is, read now.

        Raises:
            DirectoryUnavailableError: the address cannot be used.
            UnavailableError: the file with the address cannot be read.
        """
        return parse(self._settings.read_url())

    @asynccontextmanager
    async def writing(self, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; it is committed at the end of the block, and undone by an error in it.

        Args:
            alone: wait for other writers, and make others wait. SQLite has no other way.

        Raises:
            DirectoryUnavailableError: the database is away, or became so. If the connection was lost at the commit, the
                transaction may count all the same; what is read next is the truth.
        """
        async with self.connected(begin="IMMEDIATE") as connection, connection.begin():
            if alone and not self.is_sqlite:
                await self.lock(connection)
            await self.check_version(connection)
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, all of it at one moment, however long it takes.

        Raises:
            DirectoryUnavailableError: see `writing`.
        """
        async with self.connected(begin="DEFERRED") as connection, connection.begin():
            if not self.is_sqlite:
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            await self.check_version(connection)
            yield connection

    @asynccontextmanager
    async def connected(self, begin: str) -> AsyncIterator[AsyncConnection]:
        """A connection on which no transaction was begun; ``begin`` is how SQLite begins one."""
        async with AsyncExitStack() as stack:
            with translated():
                await self._check_file()
                engine = self.engine.execution_options(**{BEGIN: begin})
                connection = await stack.enter_async_context(engine.connect())
            yield connection

    async def connect_alone(self) -> AsyncConnection:
        """A connection to PostgreSQL with a session for one user, without transactions. Whoever gets it closes it.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        with translated():
            connection = await self.engine.connect()
            return await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def lock_for_relay(self, connection: AsyncConnection) -> bool:
        """Take the lock of the relay for the session of ``connection``; False: another one has it.

        PostgreSQL ends the session when it is not used for `Timings.directory_relay`.
        """
        key, seconds = self.lock_key("relay"), self._timings.directory_relay
        if await locks.try_lock(connection, key, idle_session_timeout=milliseconds(seconds)):
            return True
        await locks.end_frozen_holder(connection, key, seconds)
        return False

    async def lock(self, connection: AsyncConnection) -> None:
        """Wait until no other writer is at work, on PostgreSQL; the lock ends with the transaction."""
        frozen_after = self._timings.directory_idle
        await locks.wait_for_lock(connection, self.lock_key("writer"), frozen_after_seconds=frozen_after)

    def lock_key(self, purpose: str) -> int:
        """The number of an advisory lock of PostgreSQL. They belong to a database; ours to the schema in it."""
        name = f"streamer directory {self._postgresql.schema} {purpose}".encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)

    async def check_version(self, connection: AsyncConnection) -> None:
        """Raise if the tables are not those of this version of streamer."""
        found = (await connection.execute(_VERSION)).scalar()
        if found != HEAD:
            older = found is None or found < HEAD
            raise DirectoryUnavailableError(
                Away.NOT_MIGRATED if older else Away.NEWER,
                f"its tables have version {found or 'none'}, this streamer needs {HEAD}",
            )

    async def close(self) -> None:
        """Close all connections that are not in use. The next transaction opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with translated():
                await engine.dispose()

    async def _check_file(self) -> None:
        if self._file is not None and self._file_id != _file_id(self._file):
            file, self._file = self._file, None
            await self.close()
            raise DirectoryUnavailableError(Away.GONE, f"the file {file} was removed or replaced")

    @property
    def engine(self) -> AsyncEngine:
        """Made when it is used first."""
        if self._engine is None:
            file = self.address.file
            self._engine = (
                self._postgresql.open()
                if file is None
                else open_sqlite(file, self._timings, keeps_journal=self._keeps_journal)
            )
            translate_errors_of(self._engine)
            self._file, self._file_id = file, None if file is None else _file_id(file)
        return self._engine


_VERSION: Final = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a name of ours


def _file_id(file: Path) -> tuple[int, int] | None:
    """Which file it is, also after another one got its name; None: there is none."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
