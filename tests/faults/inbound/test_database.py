"""The database breaks under load: the service holds, is not ready, sets nothing aside, and goes on; nothing twice."""

import asyncio
import contextlib
import functools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from streamer.service import Service
from tests.faults.inbound import breaking
from tests.faults.inbound.breaking import Breaking
from tests.faults.inbound.deployment import WayBack, eventually, is_ready, is_unready
from tests.faults.inbound.sender import Sender, flow
from tests.faults.inbound.traffic import new_traffic
from tests.postgresql import PostgreSQL
from tests.service.harness import Deployment

pytestmark = pytest.mark.kafka

SEED = 20261128
WAIT_SECONDS = 60.0
DISK_BYTES = 4 << 20
CUTS = 10
MAX_RELAYS = 20
"""The relay begins anew after each failure of the database."""

NewWayBack = Callable[[str], WayBack]


@pytest.fixture
def new_way_back(deployment: Deployment, bootstrap_servers: str) -> NewWayBack:
    """A function that plans one on a database; its waits are short."""
    deployment.hurry(
        directory_retry=0.2, relay_retry=0.2, relay_poll=0.1, outbox_every=0.2, directory_lock=0.5, directory_connect=2
    )
    return functools.partial(WayBack, deployment, bootstrap_servers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of `DISK_BYTES`."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextlib.asynccontextmanager
async def under_load(way_back: WayBack) -> AsyncIterator[tuple[Service, Sender]]:
    """The service with calls that keep coming; at the end of the block all must come to its end, and be right."""
    await way_back.prepare(listeners=1, partitions=2)
    sender = way_back.sender(SEED)
    way_back.relays = MAX_RELAYS
    async with way_back.running() as service, asyncio.timeout(2 * WAIT_SECONDS):
        async with flow(sender, new_traffic(SEED)):
            await sender.more_accepted(100)
            await eventually(lambda: is_ready(service), WAIT_SECONDS)  # else it is unready because it starts
            yield service, sender
            await sender.more_accepted(50)
        await way_back.settled(WAIT_SECONDS)
        assert service.inbound is not None
        assert service.inbound.keeper is not None
        assert service.inbound.keeper.runner.restarts == 0
    await way_back.verify(sender)


async def breaks(way_back: WayBack, breaking_it: Breaking) -> None:
    """Break it under load; while it is broken, calls are accepted all the same."""
    async with under_load(way_back) as (service, sender):
        async with breaking_it(way_back.database):
            await eventually(lambda: is_unready(service), WAIT_SECONDS)
            await sender.more_accepted(50)
            assert await is_unready(service)
        await eventually(lambda: is_ready(service), WAIT_SECONDS)


@pytest.mark.parametrize(
    "breaking_it",
    [breaking.table_locked, breaking.read_only, breaking.newer],
    ids=["a table is locked", "it takes no writes", "its tables are newer"],
)
async def test_postgresql_cannot_be_written(
    new_way_back: NewWayBack, postgresql_url: str, breaking_it: Breaking
) -> None:
    await breaks(new_way_back(postgresql_url), breaking_it)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
async def test_postgresql_is_away(new_way_back: NewWayBack, own_postgresql: PostgreSQL, how: signal.Signals) -> None:
    """It was stopped, or killed, with transactions under way."""
    way_back = new_way_back(own_postgresql.url("postgres"))
    await breaks(way_back, lambda _: breaking.stopped(own_postgresql, how))


async def test_connections_to_postgresql_are_cut(new_way_back: NewWayBack, postgresql_url: str) -> None:
    """Ten times in a row, whatever the transactions were doing; the relay loses its lock each time."""
    way_back = new_way_back(postgresql_url)
    async with under_load(way_back) as (_, sender):
        for _ in range(CUTS):
            await sender.more_accepted(20)
            await breaking.cut(way_back.database)


async def test_a_sqlite_file_is_locked(new_way_back: NewWayBack, tmp_path: Path) -> None:
    """By another program."""
    await breaks(new_way_back(f"sqlite:///{tmp_path}/directory.db"), breaking.file_locked)


async def test_the_disk_of_a_sqlite_file_is_full(new_way_back: NewWayBack, small_disk: Path) -> None:
    await breaks(new_way_back(f"sqlite:///{small_disk}/directory.db"), breaking.disk_full)
