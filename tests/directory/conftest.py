"""Each test of the directory runs on SQLite and on PostgreSQL, on a database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamer.directory.store import Directory
from streamer.settings.inbound import DirectorySettings
from streamer.timings import Timings
from tests.postgresql import PostgreSQL, running_postgresql

QUICK = Timings(directory_connect=5, directory_lock=0.3, directory_statement=10, directory_idle=10)

MakeUrl = Callable[[], Awaitable[str]]


def settings_of(url: str) -> DirectorySettings:
    return DirectorySettings(url=SecretStr(url))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/directory.db"
    address: str = request.getfixturevalue("postgresql_url")
    return address


@pytest.fixture
async def open_directory(url: str) -> AsyncIterator[Callable[[], Directory]]:
    """Makes directories on one database, as of several instances."""
    opened: list[Directory] = []

    def open_one(timings: Timings = QUICK) -> Directory:
        opened.append(Directory(settings_of(url), timings))
        return opened[-1]

    yield open_one
    for directory in opened:
        await directory.close()


@pytest.fixture
async def directory(open_directory: Callable[[], Directory]) -> Directory:
    """A directory with empty tables."""
    directory = open_directory()
    await directory.migrate()
    return directory


@pytest.fixture
def own_postgresql() -> Iterator[PostgreSQL]:
    """A server that the test may stop."""
    with running_postgresql() as server:
        yield server
