"""How the engines of SQLAlchemy are made: what each connection to SQLite or PostgreSQL is like."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from streamer.directory.address import Address
from streamer.directory.faults import translated
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.timings import Timings

MAX_CONNECTIONS: Final = 5
"""Connections of one process to PostgreSQL: the writer, the relay and its lock, housekeeping, and a question of the
status page. SQLite has as many threads."""

CONNECTION_AGE_SECONDS: Final = 300
"""A connection that is older is replaced when it is taken next, so that changes of address and password are noticed."""

JOURNAL_RETRY_SECONDS: Final = 0.02
"""Between two attempts to set a SQLite file's journal while another connection writes."""

OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""
OLDEST_POSTGRESQL: Final = 120_000

BEGIN: Final = "streamer_begin"
"""Option of a connection to SQLite: how its transactions begin, ``IMMEDIATE`` or ``DEFERRED``."""


def open_sqlite(file: Path, timings: Timings, *, keeps_journal: bool) -> AsyncEngine:
    """The engine for a file, which exists.

    Raises:
        DirectoryUnavailableError: it does not, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DirectoryUnavailableError(
            Away.UNSUITABLE, f"this Python has SQLite {sqlite3.sqlite_version}; it takes 3.35 or newer"
        )
    if not file.exists():
        raise DirectoryUnavailableError(Away.NO_SUCH_DATABASE, f"there is no file {file}")
    # mode=rw: a file that was removed is not made anew, which would forget everybody silently.
    url = URL.create("sqlite+aiosqlite", database=f"file:{_quoted(str(file))}", query={"mode": "rw", "uri": "true"})
    engine = create_async_engine(
        url,
        connect_args={"isolation_level": None, "timeout": timings.directory_lock},
        hide_parameters=True,
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        pool_timeout=timings.directory_connect,
    )
    if not keeps_journal:
        event.listen(engine.sync_engine, "connect", partial(_set_journal, timings.directory_lock))
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


class PostgreSQLConnector:
    """Makes connections to PostgreSQL.

    Args:
        read_address: gives the address; it is read again for each connection, because passwords change.
        timings: how long to wait.
    """

    def __init__(self, read_address: Callable[[], Address], timings: Timings) -> None:
        self._read_address = read_address
        self._timings = timings
        self.schema = ""
        """Where the tables are. Known once there was a connection."""

    def open(self) -> AsyncEngine:
        """The engine. Nothing is connected yet."""
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            hide_parameters=True,
            pool_size=MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self._timings.directory_connect,
            pool_recycle=CONNECTION_AGE_SECONDS,
        )

    async def _connect(self, **_: Any) -> "asyncpg.Connection[asyncpg.Record]":
        address = self._read_address()
        if address.file is not None:
            raise DirectoryUnavailableError(Away.BAD_URL, "it was PostgreSQL at the start; restart to change it")
        try:
            with translated():
                connection = await asyncpg.connect(
                    address.dsn,
                    timeout=self._timings.directory_connect,
                    command_timeout=self._timings.directory_statement + self._timings.directory_connect,
                )
        except ValueError:  # asyncpg's errors about the address may quote a part of it
            raise DirectoryUnavailableError(Away.BAD_URL, "its address has a part that cannot be read") from None
        try:
            with translated():
                await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _prepare(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        timings = self._timings
        limits = (timings.directory_lock, timings.directory_statement, timings.directory_idle)
        found = await connection.fetchrow(_PREPARE, *map(milliseconds, limits))
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
        self.schema = found["schema"]


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


def milliseconds(seconds: float) -> str:
    """As PostgreSQL's settings want it; 0 would mean no limit."""
    return str(max(1, round(seconds * 1000)))


def _set_journal(wait_seconds: float, connection: Any, _record: Any) -> None:
    """Readers do not wait for the writer, and the file remembers it.

    For this one statement SQLite does not wait for whoever writes, whatever the timeout: instances that start at once
    on a new file get "database is locked". So it is tried again.
    """
    until = time.monotonic() + wait_seconds
    while not _try_journal(connection, last=time.monotonic() >= until):
        await_only(asyncio.sleep(JOURNAL_RETRY_SECONDS))


def _try_journal(connection: Any, *, last: bool) -> bool:
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()
    except BaseException as error:
        if _is_locked(error) and not last:
            return False
        connection.close()  # SQLAlchemy forgets it, with its thread
        raise
    return True


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # FULL: a call is settled on Kafka after the commit, so the commit has to survive a loss of power.
    _set(connection, "synchronous = FULL", "foreign_keys = ON")
    connection.create_function("bytes_from_hex", 1, bytes.fromhex, deterministic=True)


def _set(connection: Any, *pragmas: str) -> None:
    try:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        connection.close()  # SQLAlchemy forgets it, with its thread
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(BEGIN, 'DEFERRED')}")


def _quoted(path: str) -> str:
    """As SQLite's file: addresses want it."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
