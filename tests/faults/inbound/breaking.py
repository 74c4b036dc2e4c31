"""Ways to break a directory's database for a while. Each is a block: it is broken inside, and works after it."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg

from tests.faults.inbound.audit import Database
from tests.postgresql import PostgreSQL

Breaking = Callable[[Database], AbstractAsyncContextManager[None]]

CUT_EVERY_SECONDS: Final = 0.5

LOCKER: Final = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
"""A program that locks a SQLite file until its standard input ends."""

CUT_ALL: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextlib.asynccontextmanager
async def stopped(server: PostgreSQL, how: signal.Signals) -> AsyncIterator[None]:
    """The server does not run: SIGINT, it was stopped; SIGKILL, it died."""
    server.stop(how)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@contextlib.asynccontextmanager
async def table_locked(database: Database) -> AsyncIterator[None]:
    """Somebody changes a table, and takes a long time."""
    async with connected(database) as connection, connection.transaction():
        await connection.execute("LOCK TABLE directory_messages IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.asynccontextmanager
async def read_only(database: Database) -> AsyncIterator[None]:
    """The server takes no writes, as a standby; connections that are there are cut, as at a fail-over."""
    await _set_read_only(database, "on")
    try:
        yield
    finally:
        await _set_read_only(database, "off")


async def _set_read_only(database: Database, switch: str) -> None:
    async with connected(database) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {switch}")
        if switch == "on":
            await connection.execute(CUT_ALL)


@contextlib.asynccontextmanager
async def newer(database: Database) -> AsyncIterator[None]:
    """An instance of a newer version has changed the tables. It is rolled back at the end."""
    [(version,)] = await database.select("SELECT version_num FROM directory_version")
    await database.execute("UPDATE directory_version SET version_num = '9999'")
    try:
        yield
    finally:
        await database.execute(f"UPDATE directory_version SET version_num = '{version}'")


@contextlib.asynccontextmanager
async def file_locked(database: Database) -> AsyncIterator[None]:
    """Another program has locked the SQLite file."""
    locker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOCKER, str(database.file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert locker.stdin is not None
    assert locker.stdout is not None
    async with asyncio.timeout(60):
        assert await locker.stdout.readline()
    try:
        yield
    finally:
        locker.stdin.close()
        await locker.wait()


@contextlib.asynccontextmanager
async def disk_full(database: Database) -> AsyncIterator[None]:
    """No byte more fits on the small disk that the SQLite file is on."""
    assert database.file is not None
    filler = database.file.parent / "other people's files"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4_096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.asynccontextmanager
async def connections_cut(database: Database) -> AsyncIterator[None]:
    """Connections are ended again and again."""

    async def cut_on() -> None:
        while True:
            await cut(database)
            await asyncio.sleep(CUT_EVERY_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        cutting = tasks.create_task(cut_on())
        yield
        cutting.cancel()


async def cut(database: Database) -> None:
    """End all connections of others."""
    async with connected(database) as connection:
        await connection.execute(CUT_ALL)


@contextlib.asynccontextmanager
async def connected(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection to PostgreSQL of our own."""
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        await connection.close()
