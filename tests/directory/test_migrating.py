"""Tables are created and updated once, with what they hold, and never taken back."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from structlog.testing import capture_logs

from streamer.core.inbound.directory import Device, User
from streamer.directory.database import HEAD
from streamer.directory.migrating import configuration
from streamer.directory.store import Directory
from streamer.directory.tables import METADATA, VERSION_TABLE
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.timings import Timings
from tests.directory.slices import changes, load_users, save

OpenDirectory = Callable[..., Directory]


async def run(directory: Directory, work: Callable[[Connection], Any]) -> Any:
    """In a transaction that looks at nothing beforehand."""
    async with directory.database.connected(begin="IMMEDIATE") as connection, connection.begin():
        return await connection.run_sync(work)


async def set_version(directory: Directory, version: str) -> None:
    await run(directory, lambda sync: sync.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")))


async def test_empty_databases_get_tables_once(open_directory: OpenDirectory) -> None:
    with capture_logs() as lines:
        first = await open_directory().migrate()
        second = await open_directory().migrate()
    assert first is not None
    assert (first.before, first.after) == (None, HEAD)
    assert second is None
    assert [line["event"] for line in lines] == ["directory.migrated"]


async def test_instances_that_start_at_once_migrate_once(open_directory: OpenDirectory) -> None:
    patient = Timings(directory_lock=30)
    done = await asyncio.gather(*(open_directory(patient).migrate() for _ in range(4)))
    assert sorted(migration is None for migration in done) == [False, True, True, True]


async def test_the_migrations_make_the_tables_that_the_store_uses(directory: Directory) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or str(name).startswith("directory_"),
            },
        )
        return list(compare_metadata(context, METADATA))

    assert await run(directory, differences) == []


async def test_the_store_works_with_the_newest_migration(directory: Directory) -> None:
    newest = await run(directory, lambda sync: ScriptDirectory.from_config(configuration(sync)).get_current_head())
    assert newest == HEAD


async def test_each_migration_can_be_taken_back_and_done_again_with_data(directory: Directory) -> None:
    user = User("ben")
    await save(directory, changes(users=[user], devices=[Device("d", user)], redirects=[("old", user, 1)]))

    await run(directory, lambda sync: command.downgrade(configuration(sync), "base"))
    tables = await run(directory, lambda sync: inspect(sync).get_table_names())
    assert [name for name in tables if name != VERSION_TABLE] == []
    await directory.migrate()

    assert await load_users(directory, "ben") == {}
    await save(directory, changes(users=[User("ben")]))


async def test_tables_of_a_newer_version_are_left_alone(directory: Directory, open_directory: OpenDirectory) -> None:
    """Also when another instance updates them while this one runs."""
    await save(directory, changes(users=[User("ben")]))
    await set_version(directory, "9999")
    for attempt in (
        directory.migrate,
        directory.counts,
        lambda: load_users(directory, "ben"),
        open_directory().migrate,
    ):
        with pytest.raises(DirectoryUnavailableError, match="update this instance of streamer") as raised:
            await attempt()
        assert raised.value.reason is Away.NEWER

    await set_version(directory, HEAD)
    assert list(await load_users(directory, "ben")) == ["ben"]


async def test_tables_of_an_older_version_are_not_used(directory: Directory) -> None:
    await set_version(directory, "0000")
    with pytest.raises(DirectoryUnavailableError, match="streamer run") as raised:
        await directory.counts()
    assert raised.value.reason is Away.NOT_MIGRATED


async def test_a_database_without_tables_is_not_used(open_directory: OpenDirectory, url: str) -> None:
    directory = open_directory()
    with pytest.raises(DirectoryUnavailableError) as raised:
        await directory.counts()
    expected = Away.NO_SUCH_DATABASE if url.startswith("sqlite") else Away.NOT_MIGRATED
    assert raised.value.reason is expected


async def test_tables_of_another_program_are_not_touched(directory: Directory, open_directory: OpenDirectory) -> None:
    await run(directory, lambda sync: sync.execute(text(f"DROP TABLE {VERSION_TABLE}")))
    with pytest.raises(DirectoryUnavailableError) as raised:
        await open_directory().migrate()
    assert raised.value.reason is Away.FOREIGN
