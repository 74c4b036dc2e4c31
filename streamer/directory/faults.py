"""What an error of the drivers means: why the database is away, or None, which is a fault of our own.

The drivers tell by codes: SQLSTATE (PostgreSQL, Appendix A) and the result codes of SQLite. Their texts name tables,
users and databases, and are quoted; those of errors that may quote a value are not translated at all.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamer.directory.unavailable import Away, DirectoryUnavailableError

_SQLSTATES: Final = {
    "08": Away.GONE,  # connection exception
    "28": Away.REFUSED_LOGIN,
    "3D": Away.NO_SUCH_DATABASE,
    "3F": Away.NO_SUCH_DATABASE,  # invalid schema name
    "40": Away.LOCKED,  # serialization failure, deadlock
    "53": Away.BUSY,  # insufficient resources
    "57": Away.GONE,  # operator intervention: the server stops, starts or has crashed
    "58": Away.DAMAGED,  # system error outside of PostgreSQL: input or output failed
    "XX": Away.DAMAGED,
    "25006": Away.READ_ONLY,
    "25P03": Away.TIMEOUT,  # idle in a transaction for too long
    "25P04": Away.TIMEOUT,  # the transaction took too long
    "42P01": Away.NOT_MIGRATED,  # no such table
    "42703": Away.NOT_MIGRATED,  # no such column
    "42501": Away.NO_RIGHT,
    "53100": Away.FULL,
    "55P03": Away.LOCKED,
    "57014": Away.TIMEOUT,  # statement_timeout
    "57P03": Away.UNREACHABLE,  # the server is starting or stopping
    "57P05": Away.GONE,  # idle_session_timeout
}
"""SQLSTATE or its first two characters -> meaning."""

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: Away.LOCKED,
    sqlite3.SQLITE_LOCKED: Away.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Away.LOCKED,
    sqlite3.SQLITE_FULL: Away.FULL,
    sqlite3.SQLITE_READONLY: Away.READ_ONLY,
    sqlite3.SQLITE_PERM: Away.NO_RIGHT,
    sqlite3.SQLITE_AUTH: Away.NO_RIGHT,
    sqlite3.SQLITE_CORRUPT: Away.DAMAGED,
    sqlite3.SQLITE_NOTADB: Away.DAMAGED,
    sqlite3.SQLITE_IOERR: Away.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Away.UNREACHABLE,
}
"""Primary result code -> meaning."""

_ERRNOS: Final = {
    errno.ENOSPC: Away.FULL,
    errno.EDQUOT: Away.FULL,
    errno.EROFS: Away.READ_ONLY,
    errno.EACCES: Away.NO_RIGHT,
    errno.EPERM: Away.NO_RIGHT,
}

_DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.Error,
    OSError,
)
_ERRORS: Final = (DBAPIError, PoolTimeoutError, *_DRIVER_ERRORS)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `DirectoryUnavailableError` for errors of connecting, and of the file. Faults of our own pass as they are.

    A connection that breaks off while it is opened leaves asyncpg with half an answer; asyncpg calls that an error of
    its own.

    Not for blocks that run code of others: their errors are not the database's.
    """
    try:
        yield
    except _ERRORS as error:
        is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
        away = _meaning(error, is_lost=is_lost or isinstance(_driver_error(error), asyncpg.InternalClientError))
        if away is None:
            raise
        raise away from error


def translate_errors_of(engine: AsyncEngine) -> None:
    """Let the statements and commits of an engine raise `DirectoryUnavailableError` where the database is away."""

    def translate(context: ExceptionContext) -> None:
        if not isinstance(context.original_exception, Exception):
            return  # a cancellation also costs the connection, and must reach whoever is to end
        away = _meaning(context.original_exception, is_lost=context.is_disconnect)
        if away is not None:
            raise away from context.original_exception

    event.listen(engine.sync_engine, "handle_error", translate)


def _meaning(error: BaseException, *, is_lost: bool) -> DirectoryUnavailableError | None:
    cause = _driver_error(error)
    match cause:
        case sqlite3.Error():
            away = _of_sqlite(cause)
        case asyncpg.PostgresError():
            away = _of_postgres(cause)
        case asyncpg.InterfaceError():
            away = (Away.GONE, "the connection was lost") if "closed" in str(cause) else None
        case PoolTimeoutError():
            away = (Away.BUSY, "all connections of this process are in use")
        case TimeoutError():
            away = (Away.TIMEOUT, "the server did not answer in time")
        case OSError():
            away = _of_system(cause)
        case _:
            away = (Away.GONE, "the connection was lost") if is_lost else None
    return None if away is None else DirectoryUnavailableError(*away)


def _driver_error(error: BaseException) -> BaseException:
    """The error of the driver below the wrappers of SQLAlchemy."""
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    while not isinstance(cause, _DRIVER_ERRORS) and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


def _of_sqlite(error: sqlite3.Error) -> tuple[Away, str] | None:
    text = _first_line(error)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return Away.GONE, "the connection was closed"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_ERROR and text.startswith(("no such table", "no such column")):
        return Away.NOT_MIGRATED, text
    reason = _SQLITE.get(code)
    return None if reason is None else (reason, text)


def _of_system(error: OSError) -> tuple[Away, str]:
    """Of a connection, or of the file's directory."""
    text = _first_line(error) or type(error).__name__
    return _ERRNOS.get(error.errno or 0, Away.UNREACHABLE), text


def _of_postgres(error: asyncpg.PostgresError) -> tuple[Away, str] | None:
    state = error.sqlstate or ""
    reason = _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])
    return None if reason is None else (reason, _first_line(error))


def _first_line(error: BaseException) -> str:
    """The next lines of PostgreSQL's errors may quote values."""
    return str(error).partition("\n")[0]
