"""``check --connect`` says whether the service can use the database, and changes nothing."""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from streamer.directory.looking import look
from streamer.directory.store import Directory
from streamer.directory.tables import VERSION_TABLE
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from tests.directory.conftest import QUICK, settings_of
from tests.postgresql import PostgreSQL

OpenDirectory = Callable[[], Directory]


async def reason(url: str) -> Away:
    with pytest.raises(DirectoryUnavailableError) as raised:
        await look(settings_of(url), QUICK)
    return raised.value.reason


async def version_becomes(directory: Directory, version: str) -> None:
    async with directory.database.connected(begin="IMMEDIATE") as connection, connection.begin():
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"))


async def test_tables_in_order(directory: Directory, url: str) -> None:
    await directory.close()
    assert await look(settings_of(url), QUICK) is None


async def test_tables_that_the_next_start_makes_or_updates(open_directory: OpenDirectory, url: str) -> None:
    before = await look(settings_of(url), QUICK)
    assert before is not None
    assert before.startswith("there ")
    assert before.endswith(("create it", "create them"))
    directory = open_directory()
    assert await directory.migrate() is not None, "nothing was made before"
    await version_becomes(directory, "0000")
    assert await look(settings_of(url), QUICK) == (
        "its tables have version 0000; `streamer run` and `streamer users import` update them to 0001"
    )
    await version_becomes(directory, "9999")
    assert await reason(url) is Away.NEWER


async def test_tables_of_another_program(open_directory: OpenDirectory, url: str) -> None:
    directory = open_directory()
    if url.startswith("sqlite"):
        sqlite3.connect(url.removeprefix("sqlite:///")).execute("VACUUM").connection.close()
    async with directory.database.connected(begin="IMMEDIATE") as connection, connection.begin():
        await connection.execute(text("CREATE TABLE directory_users (id INTEGER)"))
    assert await reason(url) is Away.FOREIGN


async def test_a_database_that_is_away(tmp_path: Path) -> None:
    assert await reason("postgresql://streamer:s3cr3t@127.0.0.1:1/x") is Away.UNREACHABLE
    assert await reason("mysql://streamer@host/x") is Away.BAD_URL
    (tmp_path / "file").write_text("this is no database, " * 1_000)
    assert await reason(f"sqlite:///{tmp_path}/file") is Away.DAMAGED


async def test_a_file_that_another_program_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/directory.db"
    directory = Directory(settings_of(url), QUICK)
    await directory.migrate()
    async with directory.transaction():
        assert await reason(url) is Away.LOCKED
    await directory.close()


async def test_a_file_stays_as_it_is(tmp_path: Path) -> None:
    """Also one that streamer never opened: its journal is not changed, and no tables are made."""
    home = tmp_path / "home"
    home.mkdir()
    file = home / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE theirs (id INTEGER)")
    other.close()
    before = hashlib.sha256(file.read_bytes()).digest()
    assert await look(settings_of(f"sqlite:///{file}"), QUICK) is not None
    assert hashlib.sha256(file.read_bytes()).digest() == before
    assert await look(settings_of(f"sqlite:///{home}/new/directory.db"), QUICK) is not None
    assert [path.name for path in home.iterdir()] == ["other.db"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_without_rights(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(0o500)
    url = f"sqlite:///{home}/directory.db"
    assert await reason(url) is Away.NO_RIGHT
    home.chmod(0o700)
    directory = Directory(settings_of(url), QUICK)
    await directory.migrate()
    await directory.close()
    (home / "directory.db").chmod(0o400)
    assert await reason(url) is Away.READ_ONLY


async def test_rights_that_are_missing_on_postgresql(postgresql: PostgreSQL, postgresql_url: str) -> None:
    owner = await asyncpg.connect(postgresql_url)
    try:
        database = await owner.fetchval("SELECT current_database()")
        await owner.execute(
            f"CREATE ROLE {database} LOGIN PASSWORD 's3cr3t'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        )
        url = postgresql.url(database, user=database, password="s3cr3t")
        assert await reason(url) is Away.NO_RIGHT, "it may not make tables"
        directory = Directory(settings_of(postgresql_url), QUICK)
        await directory.migrate()
        await directory.close()
        assert await reason(url) is Away.NO_RIGHT, "it may not even read"
        await owner.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {database}")
        assert await reason(url) is Away.NO_RIGHT, "it may not delete"
        await owner.execute(f"GRANT DELETE ON ALL TABLES IN SCHEMA public TO {database}")
        assert await look(settings_of(url), QUICK) is None
        await owner.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        assert await reason(url) is Away.READ_ONLY
    finally:
        await owner.execute(f"DROP OWNED BY {database}; DROP ROLE {database}")
        await owner.close()


async def test_a_server_that_only_reads_makes_no_tables(postgresql_url: str) -> None:
    owner = await asyncpg.connect(postgresql_url)
    await owner.execute(f"ALTER DATABASE {postgresql_url.rpartition('/')[2]} SET default_transaction_read_only = on")
    await owner.close()
    assert await reason(postgresql_url) is Away.READ_ONLY
