"""Each way in which a database can be away has one error, with its reason and what to do; no secret is in it."""

import asyncio
import os
import signal
import socket
import sqlite3
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import User
from streamer.directory.faults import translated
from streamer.directory.store import Directory
from streamer.directory.unavailable import Away, DirectoryUnavailableError
from streamer.settings.inbound import DirectorySettings
from streamer.timings import Timings
from tests.directory.conftest import QUICK, settings_of
from tests.directory.slices import changes, load_users, record, save
from tests.postgresql import PASSWORD, USER, PostgreSQL

OpenDirectory = Callable[..., Directory]


async def reason_of(attempt: Awaitable[object]) -> Away:
    """Why it failed; also holds that no password shows, whoever prints the error."""
    with pytest.raises(DirectoryUnavailableError) as raised:
        await attempt
    printed = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    for secret in (PASSWORD, "s3cr3t", "hunter2"):
        assert secret not in printed
    return raised.value.reason


async def reason_at(url: str, timings: Timings = QUICK) -> Away:
    directory = Directory(settings_of(url), timings)
    assert "s3cr3t" not in repr(vars(directory)) + repr(vars(directory.database))
    try:
        return await reason_of(directory.counts())
    finally:
        await directory.close()


async def test_a_server_that_is_not_there() -> None:
    assert await reason_at("postgresql://streamer:s3cr3t@127.0.0.1:1/x") is Away.UNREACHABLE
    assert await reason_at("postgresql://streamer:s3cr3t@streamer.invalid/x") is Away.UNREACHABLE


async def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # which accepts nobody
        url = f"postgresql://streamer:s3cr3t@127.0.0.1:{server.getsockname()[1]}/x"
        assert await reason_at(url, Timings(directory_connect=0.3)) is Away.TIMEOUT


async def test_a_server_that_breaks_off_while_somebody_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in a soak: the driver has half an answer then, and calls that a fault of its own."""

    async def connect(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("got result for unknown protocol state 3")

    monkeypatch.setattr(asyncpg, "connect", connect)
    assert await reason_at("postgresql://streamer:s3cr3t@127.0.0.1:1/x") is Away.GONE


async def test_a_wrong_password_and_a_wrong_database(postgresql: PostgreSQL) -> None:
    assert await reason_at(postgresql.url("postgres", password="s3cr3t-but-wrong")) is Away.REFUSED_LOGIN
    assert await reason_at(postgresql.url("postgres", user="nobody")) is Away.REFUSED_LOGIN
    assert await reason_at(postgresql.url("not_there")) is Away.NO_SUCH_DATABASE


async def test_a_server_without_tls_where_tls_is_asked_for(postgresql: PostgreSQL) -> None:
    assert await reason_at(postgresql.url("postgres") + "?sslmode=require") is Away.UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "mysql://streamer:s3cr3t@host/x",
        "postgresql://streamer:s3cr3t/hunter2@host/x",
        "postgresql://streamer:s3cr3t@host:hunter2/x",
        "postgresql://streamer:s3cr3t@host/x?sslmode=hunter2",
        "postgresql://streamer:s3cr3t@[host/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file?s3cr3t",
        "s3cr3t",
        "",
    ],
)
async def test_an_address_that_cannot_be_used(url: str) -> None:
    assert await reason_at(url) is Away.BAD_URL


async def test_a_file_with_the_address_is_read_for_each_connection(postgresql_url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    directory = Directory(DirectorySettings(url_file=file), QUICK)
    with pytest.raises(UnavailableError, match="url_file"):
        await directory.migrate()
    file.write_text(postgresql_url.replace(USER, "nobody", 1))
    assert await reason_of(directory.migrate()) is Away.REFUSED_LOGIN
    file.write_text(postgresql_url + "\n")
    await directory.migrate()
    await directory.close()


async def test_another_writer_that_does_not_end(directory: Directory, open_directory: OpenDirectory) -> None:
    other = open_directory()
    async with directory.transaction():
        assert await reason_of(save(other, changes(users=[User("ben")]))) is Away.LOCKED
        assert (await other.counts()).users == 0  # readers do not wait
    await save(other, changes(users=[User("ben")]))


async def test_a_frozen_writer_loses_its_transaction(postgresql_url: str) -> None:
    """Otherwise it would hold all others for ever."""
    short = Timings(directory_idle=0.2, directory_lock=20)
    frozen, other = Directory(settings_of(postgresql_url), short), Directory(settings_of(postgresql_url), short)
    await frozen.migrate()

    async def freeze() -> None:
        async with frozen.transaction() as transaction:
            await save(other, changes(users=[User("ben")]))
            await transaction.save(changes(users=[User("ben")]), 1)

    assert await reason_of(freeze()) in {Away.GONE, Away.TIMEOUT}
    assert list(await load_users(frozen, "ben")) == ["ben"]
    await frozen.close()
    await other.close()


async def test_a_statement_that_takes_too_long(postgresql_url: str) -> None:
    directory = Directory(settings_of(postgresql_url), Timings(directory_statement=0.1))
    await directory.migrate()

    async def be_slow() -> None:
        async with directory.database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    assert await reason_of(be_slow()) is Away.TIMEOUT
    assert (await directory.counts()).users == 0
    await directory.close()


async def test_a_server_that_dies_and_comes_back(own_postgresql: PostgreSQL) -> None:
    directory = Directory(settings_of(own_postgresql.url("postgres")), QUICK)
    await directory.migrate()
    await save(directory, changes(users=[User("ben")]))

    async def lose_the_server() -> None:
        async with directory.transaction() as transaction:
            own_postgresql.stop(signal.SIGQUIT)
            await transaction.save(changes(users=[User("eve")]), 1)

    assert await reason_of(lose_the_server()) is Away.GONE
    assert await reason_of(directory.counts()) is Away.UNREACHABLE
    own_postgresql.start()
    assert list(await load_users(directory, "ben", "eve")) == ["ben"]
    await directory.close()


async def test_a_connection_that_is_lost_at_the_commit(postgresql_url: str) -> None:
    """Whether the transaction counts is not known; it is an error, so the calls are read again."""
    directory = Directory(settings_of(postgresql_url), QUICK)
    await directory.migrate()

    async def lose_the_connection() -> None:
        async with directory.transaction() as transaction:
            await transaction.save(changes(users=[User("ben")]), 1)
            other = await asyncpg.connect(postgresql_url)
            await other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await other.close()

    assert await reason_of(lose_the_connection()) is Away.GONE
    assert await load_users(directory, "ben") == {}
    await directory.close()


async def test_a_server_that_only_reads(own_postgresql: PostgreSQL) -> None:
    """As a standby, or a primary that an administrator has set so."""
    directory = Directory(settings_of(own_postgresql.url("postgres")), QUICK)
    await directory.migrate()
    await save(directory, changes(users=[User("ben")]))
    async with directory.database.connected(begin="IMMEDIATE") as connection, connection.begin():
        await connection.execute(text("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on"))
    await directory.close()

    assert await reason_of(save(directory, changes(users=[User("eve")]))) is Away.READ_ONLY
    assert (await directory.counts()).users == 1
    await directory.close()


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/directory.db"
    directory = Directory(settings_of(url), QUICK)
    await directory.migrate()
    async with directory.database.connected(begin="DEFERRED") as connection:
        await connection.execute(text("PRAGMA query_only = ON"))  # root may write to any file
    assert await reason_of(save(directory, changes(users=[User("ben")]))) is Away.READ_ONLY
    assert (await directory.counts()).users == 0
    await directory.close()


async def test_a_full_disk(tmp_path: Path) -> None:
    """What was committed stays, and when there is space the same slice passes."""
    directory = Directory(settings_of(f"sqlite:///{tmp_path}/directory.db"), QUICK)
    await directory.migrate()
    await save(directory, changes(users=[User("ben")]))
    await limit_pages(directory, 60)
    much = changes(outgoing=[record("ben", b"x" * 100_000)] * 10)
    assert await reason_of(save(directory, much)) is Away.FULL
    assert list(await load_users(directory, "ben")) == ["ben"]
    await limit_pages(directory, 100_000)
    await save(directory, much)
    await directory.close()


async def limit_pages(directory: Directory, pages: int) -> None:
    """Of the one connection that the pool has."""
    async with directory.database.connected(begin="DEFERRED") as connection:
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))


async def test_a_full_disk_of_the_server() -> None:
    """The disk of the tests' server cannot be filled; the error is the server's own."""

    async def fail() -> None:
        with translated():
            raise asyncpg.exceptions.DiskFullError("could not extend file: No space left on device")

    assert await reason_of(fail()) is Away.FULL


async def test_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "directory.db"
    directory = Directory(settings_of(f"sqlite:///{file}"), QUICK)
    await directory.migrate()
    await directory.close()
    file.write_bytes(b"SQLite format 3\0" + os.urandom(8_192))
    assert await reason_of(directory.counts()) is Away.DAMAGED
    file.write_text("this is no database, " * 1_000)
    assert await reason_of(directory.counts()) is Away.DAMAGED
    await directory.close()


async def test_a_file_that_was_removed_is_not_made_anew(tmp_path: Path) -> None:
    """Everybody would be forgotten, and nobody would know."""
    file = tmp_path / "directory.db"
    directory = Directory(settings_of(f"sqlite:///{file}"), QUICK)
    await directory.migrate()
    await save(directory, changes(users=[User("ben")]))
    file.rename(tmp_path / "aside.db")

    assert await reason_of(save(directory, changes(users=[User("eve")]))) is Away.GONE
    assert await reason_of(directory.counts()) is Away.NO_SUCH_DATABASE
    assert not file.exists()
    await directory.close()


async def test_the_file_is_for_its_owner_only_and_survives_a_loss_of_power(tmp_path: Path) -> None:
    file = tmp_path / "new" / "directory.db"
    directory = Directory(settings_of(f"sqlite:///{file}"), QUICK)
    await directory.migrate()
    async with directory.database.reading() as connection:
        found = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in ("journal_mode", "synchronous")
        ]
    assert found == ["wal", 2]  # 2: FULL
    await directory.close()
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_new_file_into_which_another_program_writes(tmp_path: Path) -> None:
    """SQLite does not wait for it before it changes the journal, whatever its timeout is."""
    file = tmp_path / "directory.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.1, other.rollback)
    directory = Directory(settings_of(f"sqlite:///{file}"), Timings(directory_lock=30))
    await directory.migrate()
    await directory.close()
    other.close()


async def test_paths_may_have_any_characters(tmp_path: Path) -> None:
    directory = Directory(settings_of(f"sqlite:///{tmp_path}/a%20b%23%25 ü.db"), QUICK)
    await directory.migrate()
    await directory.close()
    assert (tmp_path / "a b#% ü.db").exists()


async def test_a_server_with_another_encoding(postgresql: PostgreSQL) -> None:
    connection = await asyncpg.connect(postgresql.url("postgres"))
    await connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    await connection.close()
    assert await reason_at(postgresql.url("latin")) is Away.UNSUITABLE


async def test_more_at_once_than_there_are_connections(open_directory: OpenDirectory) -> None:
    """They wait for one another."""
    directory = open_directory(Timings(directory_lock=30, directory_connect=30))
    await directory.migrate()
    await asyncio.gather(*(save(directory, changes(users=[User(f"u{n}")])) for n in range(12)))
    assert (await directory.counts()).users == 12


@pytest.mark.parametrize("error", [OSError("x"), TimeoutError("x"), sqlite3.OperationalError("x"), KeyError("x")])
async def test_errors_of_whoever_uses_a_transaction_are_not_the_database_s(
    directory: Directory, error: Exception
) -> None:
    async def fail() -> None:
        async with directory.transaction():
            raise error

    with pytest.raises(type(error)) as raised:
        await fail()
    assert raised.value is error


async def test_a_server_that_freezes(own_postgresql: PostgreSQL) -> None:
    """It accepts connections and answers nothing: the client's own limit ends the wait."""
    quick = Timings(directory_statement=0.2, directory_connect=0.2)
    directory = Directory(settings_of(own_postgresql.url("postgres")), Timings(directory_connect=30))
    await directory.migrate()
    await directory.close()
    directory = Directory(settings_of(own_postgresql.url("postgres")), quick)
    async with asyncio.timeout(30):
        while not await is_up(directory):  # its first connection may take longer than the test allows
            pass

    async def freeze_the_server() -> None:
        async with directory.transaction() as transaction:
            own_postgresql.freeze()
            await transaction.save(changes(users=[User("ben")]), 1)

    try:
        assert await reason_of(freeze_the_server()) in {Away.TIMEOUT, Away.GONE}
    finally:
        own_postgresql.thaw()
    await directory.close()


async def is_up(directory: Directory) -> bool:
    try:
        await directory.counts()
    except DirectoryUnavailableError:
        return False
    return True


async def test_a_cancelled_transaction_is_undone(directory: Directory) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        async with directory.transaction() as transaction:
            await transaction.save(changes(users=[User("ben")]), 1)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await save(directory, changes(users=[User("eve")]))
    assert list(await load_users(directory, "ben", "eve")) == ["eve"]


def test_sqlite_of_this_python_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)
