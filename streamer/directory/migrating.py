"""Brings the tables to the version of this streamer: the service does so at its start, and `streamer users import`.

It happens in one transaction of the one writer, so instances that start at once do it once. Tables of a newer version
are left alone: an older instance waits, and never takes anything back by itself.
"""

from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from streamer.directory import migrations
from streamer.directory.database import HEAD, Database
from streamer.directory.faults import translated
from streamer.directory.tables import METADATA, VERSION_TABLE
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.logs import Event, logger

_FILE_MODE = 0o600
"""The directory holds e-mail addresses."""


class Migration(NamedTuple):
    """What was done to the tables."""

    before: str | None
    """None: there were none."""
    after: str


async def migrate(database: Database) -> Migration | None:
    """Create or update the tables; None: they were in order. Also creates the file of a SQLite database.

    Raises:
        DirectoryUnavailableError: the database is away, or its tables are newer or another program's.
    """
    file = database.address.file
    if file is not None:
        with translated():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(_FILE_MODE)
    async with database.connected(begin="IMMEDIATE") as connection, connection.begin():
        if not database.is_sqlite:
            await database.lock(connection)
        before = await connection.run_sync(version_of)
        if before == HEAD:
            return None
        if before is not None and before > HEAD:
            await database.check_version(connection)
        if not database.is_sqlite:
            # Rewriting a large table takes as long as it takes.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.run_sync(_upgrade)
    done = Migration(before, HEAD)
    logger().emit(Event.DIRECTORY_MIGRATED, version_before=done.before or "none", version_after=done.after)
    return done


def configuration(connection: Connection) -> Config:
    """Alembic's, for `command`: the migrations of this package, to be run on ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def version_of(connection: Connection) -> str | None:
    """The migration that was applied last; None: there are no tables.

    Raises:
        DirectoryUnavailableError: tables of another program have the names of ours.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        if found is not None:
            return found
    if tables & set(METADATA.tables):
        raise DirectoryUnavailableError(Away.FOREIGN, f"it has tables named {', '.join(tables & set(METADATA.tables))}")
    return None


def _upgrade(connection: Connection) -> None:
    command.upgrade(configuration(connection), HEAD)
