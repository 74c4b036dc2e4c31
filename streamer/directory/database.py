"""Connections and transactions of the directory's database, SQLite or PostgreSQL.

One writer at a time: SQLite begins with ``BEGIN IMMEDIATE``, PostgreSQL takes an advisory lock that ends with the
transaction. So what a transaction has read stays true until its commit, and calls of one person at once have the result
of one after the other. A frozen writer cannot hold the others for ever: PostgreSQL ends its transaction after
`Timings.directory_idle`. (SQLite is for one machine, on which a frozen process is seen.)

Each transaction first reads which migration was applied last: another instance may have updated the tables meanwhile.

PostgreSQL through PgBouncer needs its session mode: the relay's lock belongs to a connection.
"""

import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from streamer.directory.address import Address, parse
from streamer.directory.faults import translated
from streamer.directory.tables import VERSION_TABLE
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.settings.inbound import DirectorySettings
from streamer.timings import PRODUCTION, Timings

HEAD: Final = "0001"
"""The migration that this version of streamer works with. A test holds it to the newest in `migrations/`."""

MAX_CONNECTIONS: Final = 5
"""Connections of one process to PostgreSQL: the writer, the relay and its lock, housekeeping, and a question of the
status page. SQLite has as many threads."""

CONNECTION_AGE_SECONDS: Final = 300
"""A connection that is older is replaced when it is taken next, so that changes of address and password are noticed."""

OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""
OLDEST_POSTGRESQL: Final = 120_000

_BEGIN: Final = "streamer_begin"


class Database:
    """The database of the configuration. Nothing is connected before the first transaction.

    Args:
        settings: where it is; the address is read again for each connection.
        timings: how long to wait.
    """

    def __init__(self, settings: DirectorySettings, timings: Timings = PRODUCTION) -> None:
        self._settings = settings
        self._timings = timings
        self._engine: AsyncEngine | None = None
        self._file: Path | None = None
        self._file_id: tuple[int, int] | None = None
        self._schema = ""

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
        with translated():
            await self._check_file()
            engine = self.engine
            async with engine.execution_options(**{_BEGIN: begin}).connect() as connection:
                yield connection

    async def connect_alone(self) -> AsyncConnection:
        """A connection to PostgreSQL with a session for one user, without transactions. Whoever gets it closes it.

        Raises:
            DirectoryUnavailableError: the database is away.
        """
        with translated():
            connection = await self.engine.connect()
            return await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def end_when_idle(self, connection: AsyncConnection) -> None:
        """Let PostgreSQL end the session when it is not used for `Timings.directory_relay`.

        Versions before 14 cannot; they keep the session of a frozen program.
        """
        with translated():
            await connection.execute(_SESSION_TIMEOUT, {"limit": _milliseconds(self._timings.directory_relay)})

    async def lock(self, connection: AsyncConnection) -> None:
        """Wait until no other writer is at work, on PostgreSQL; the lock ends with the transaction."""
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self.lock_key("writer")})

    def lock_key(self, purpose: str) -> int:
        """The number of an advisory lock of PostgreSQL. They belong to a database; ours to the schema in it."""
        name = f"streamer directory {self._schema} {purpose}".encode()
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
            address = self.address
            self._engine = self._open_sqlite(address) if address.file is not None else self._open_postgresql()
        return self._engine

    def _open_sqlite(self, address: Address) -> AsyncEngine:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise DirectoryUnavailableError(
                Away.UNSUITABLE, f"this Python has SQLite {sqlite3.sqlite_version}; it takes 3.35 or newer"
            )
        file = address.file
        assert file is not None
        if not file.exists():
            raise DirectoryUnavailableError(Away.NO_SUCH_DATABASE, f"there is no file {file}")
        self._file, self._file_id = file, _file_id(file)
        # mode=rw: a file that was removed is not made anew, which would forget everybody silently.
        url = URL.create(
            "sqlite+aiosqlite",
            database=f"file:{_quoted(str(file))}",
            query={"mode": "rw", "uri": "true"},
        )
        engine = create_async_engine(
            url,
            connect_args={"isolation_level": None, "timeout": self._timings.directory_lock},
            hide_parameters=True,
            pool_size=MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self._timings.directory_connect,
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    def _open_postgresql(self) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect_postgresql,
            hide_parameters=True,
            pool_size=MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self._timings.directory_connect,
            pool_recycle=CONNECTION_AGE_SECONDS,
        )

    async def _connect_postgresql(self, **_: Any) -> "asyncpg.Connection[asyncpg.Record]":
        address = self.address
        if address.file is not None:
            raise DirectoryUnavailableError(Away.BAD_URL, "it was PostgreSQL at the start; restart to change it")
        try:
            connection = await asyncpg.connect(
                address.dsn,
                timeout=self._timings.directory_connect,
                command_timeout=self._timings.directory_statement + self._timings.directory_connect,
            )
        except ValueError:  # asyncpg's errors about the address may quote a part of it
            raise DirectoryUnavailableError(Away.BAD_URL, "its address has a part that cannot be read") from None
        try:
            await self._prepare_postgresql(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _prepare_postgresql(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        found = await connection.fetchrow(_PREPARE, *map(_milliseconds, _limits(self._timings)))
        assert found is not None
        if int(found["version"]) < OLDEST_POSTGRESQL:
            raise DirectoryUnavailableError(Away.UNSUITABLE, "its PostgreSQL is too old; it takes version 12 or newer")
        if found["encoding"] != "UTF8":
            raise DirectoryUnavailableError(
                Away.UNSUITABLE, f"its encoding is {found['encoding']}; create it with ENCODING 'UTF8'"
            )
        if found["schema"] is None:
            raise DirectoryUnavailableError(Away.NO_SUCH_DATABASE, "the schema of its search_path does not exist")
        if found["synchronous_commit"] == "off":
            await connection.execute("SET synchronous_commit = on")  # a call is settled on Kafka after the commit
        self._schema = found["schema"]


_VERSION: Final = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a name of ours

_PREPARE: Final = """
SELECT current_schema() AS schema, current_setting('server_version_num') AS version,
    current_setting('server_encoding') AS encoding, current_setting('synchronous_commit') AS synchronous_commit,
    set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false),
    set_config('idle_in_transaction_session_timeout', $3, false), set_config('jit', 'off', false),
    set_config('enable_seqscan', 'off', false)
"""
"""Settings after the connection was made, not in its first message: PgBouncer refuses those that it does not know.

Statements here look up keys. Without statistics, as of tables that have just grown, PostgreSQL reads whole tables for a
slice of 200 calls: measured, 2.5 times as slow after 60 slices, and more with each further one.
"""


_SESSION_TIMEOUT: Final = text(
    "SELECT set_config(name, :limit, false) FROM pg_settings WHERE name = 'idle_session_timeout'"
)


def _limits(timings: Timings) -> tuple[float, float, float]:
    return timings.directory_lock, timings.directory_statement, timings.directory_idle


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    try:
        cursor = connection.cursor()
        # FULL: a call is settled on Kafka after the commit, so the commit has to survive a loss of power.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("bytes_from_hex", 1, bytes.fromhex, deterministic=True)
    except BaseException:
        connection.close()  # SQLAlchemy forgets it, with its thread
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}")


def _file_id(file: Path) -> tuple[int, int] | None:
    """Which file it is, also after another one got its name; None: there is none."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _quoted(path: str) -> str:
    """As SQLite's file: addresses want it."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
