"""What ``streamer check --connect`` asks of the database: whether the service can use it. Nothing is changed."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import delete, false, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamer.directory.database import HEAD, Database
from streamer.directory.migrating import version_of
from streamer.directory.tables import METADATA
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.settings.inbound import DirectorySettings
from streamer.timings import PRODUCTION, Timings

_START: Final = "`streamer run` and `streamer users import`"


async def look(settings: DirectorySettings, timings: Timings = PRODUCTION) -> str | None:
    """What the next start will do to the tables; None: nothing, they are in order and may be written to.

    Args:
        settings: where the database is.
        timings: how long to wait.

    Raises:
        DirectoryUnavailableError: the service could not use the database, now or after its start.
        UnavailableError: the file with the address cannot be read.
    """
    database = Database(settings, timings, keeps_journal=True)
    file = database.address.file
    if file is not None and not file.exists():
        _check_home(file)
        return f"there is no file {file} yet; {_START} create it"
    try:
        async with database.connected(begin="IMMEDIATE") as connection, connection.begin() as transaction:
            try:
                return await _look(connection, database)
            finally:
                await transaction.rollback()
    finally:
        await database.close()


def _check_home(file: Path) -> None:
    """Raise if the file could not be made, with the directories above it."""
    home = next(parent for parent in file.absolute().parents if parent.exists())
    if not os.access(home, os.W_OK | os.X_OK):
        raise DirectoryUnavailableError(Away.NO_RIGHT, f"{file} cannot be made, because {home} cannot be written to")


async def _look(connection: AsyncConnection, database: Database) -> str | None:
    version = await connection.run_sync(version_of)
    if version is not None and version > HEAD:
        await database.check_version(connection)
    if version == HEAD:
        await _try_to_write(connection)
        return None
    if not database.is_sqlite:
        await _check_rights(connection)
    if version is None:
        return f"there are no tables yet; {_START} create them"
    return f"its tables have version {version}; {_START} update them to {HEAD}"


async def _try_to_write(connection: AsyncConnection) -> None:
    """Write nothing to each table, which takes the same rights as writing something."""
    for table in METADATA.sorted_tables:
        nothing = select(table).where(false())
        await connection.execute(insert(table).from_select(table.columns.keys(), nothing))
        await connection.execute(update(table).values({column: column for column in table.columns}).where(false()))
        await connection.execute(delete(table).where(false()))


async def _check_rights(connection: AsyncConnection) -> None:
    """Raise if PostgreSQL would not let the tables be made."""
    if (await connection.execute(text("SHOW transaction_read_only"))).scalar() == "on":
        raise DirectoryUnavailableError(Away.READ_ONLY, "the server only reads")
    allowed = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    if not (await connection.execute(allowed)).scalar():
        raise DirectoryUnavailableError(Away.NO_RIGHT, "the right to create tables in its schema is missing")
