"""Records leave the outbox in the order of commits; one publishes."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from streamer.directory import outbox
from streamer.directory.store import Directory
from streamer.directory.unavailable import DirectoryUnavailableError
from streamer.timings import Timings
from tests.directory.conftest import QUICK, settings_of
from tests.directory.slices import NOW, changes, record, save
from tests.postgresql import PostgreSQL

OpenDirectory = Callable[..., Directory]


async def test_records_come_back_in_order_until_they_are_deleted(directory: Directory) -> None:
    waiting = [record("ben"), record("eve", None), record("\u2028 🦊", b"\x00\xff")]
    await save(directory, changes(outgoing=waiting[:2]), now=NOW)
    await save(directory, changes(outgoing=waiting[2:]), now=NOW + 1)

    entries = await directory.outbox.read(10)
    assert [entry.record for entry in entries] == waiting
    assert [entry.record for entry in await directory.outbox.read(2)] == waiting[:2]
    assert await directory.outbox.waiting() == (3, NOW)

    await directory.outbox.delete([entry.number for entry in entries[:2]])
    await directory.outbox.delete([entry.number for entry in entries[:2]])
    assert [entry.record for entry in await directory.outbox.read(10)] == waiting[2:]
    assert await directory.outbox.waiting() == (1, NOW + 1)


async def test_numbers_are_never_given_again(directory: Directory) -> None:
    """Otherwise a late deletion would hit a record that was never published."""
    await save(directory, changes(outgoing=[record("ben")]))
    [first] = await directory.outbox.read(10)
    await directory.outbox.delete([first.number])
    assert await directory.outbox.waiting() == (0, None)
    await save(directory, changes(outgoing=[record("eve")]))
    [second] = await directory.outbox.read(10)
    assert second.number > first.number


async def test_reading_is_bounded_in_bytes(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_READ_BYTES", 1_000)
    await save(directory, changes(outgoing=[record("big", b"x" * 2_000), *[record("ben", b"x" * 300)] * 5]))
    sizes = []
    while entries := await directory.outbox.read(100):
        sizes.append(len(entries))
        await directory.outbox.delete([entry.number for entry in entries])
    assert sizes == [1, 3, 2]


async def test_numbers_grow_in_the_order_of_commits(directory: Directory, open_directory: OpenDirectory) -> None:
    """Whoever reads while several write sees no number appear below one that was there."""
    patient = replace(QUICK, directory_lock=30)
    done = asyncio.Event()

    async def write() -> None:
        one = open_directory(patient)
        for _ in range(10):
            await save(one, changes(outgoing=[record("ben"), record("eve")]))

    async def read() -> None:
        seen: list[int] = []
        while not done.is_set():
            numbers = [entry.number for entry in await directory.outbox.read(1_000)]
            assert numbers[: len(seen)] == seen
            seen = numbers

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(4)))
    done.set()
    await reading
    assert len(await directory.outbox.read(1_000)) == 80


async def test_one_holds_the_lock_of_the_relay(directory: Directory, open_directory: OpenDirectory) -> None:
    one, other = directory.outbox.relay_lock(), open_directory().outbox.relay_lock()
    assert await one.take()
    assert not await other.take()
    await one.confirm()
    await save(directory, changes(outgoing=[record("ben")]))  # no writer waits for it

    await one.drop()
    await one.drop()
    assert await other.take()
    with pytest.raises(DirectoryUnavailableError):
        await one.confirm()
    await other.drop()


async def test_a_relay_that_does_not_confirm_loses_the_lock(postgresql_url: str) -> None:
    """It may be frozen for ever."""
    short = Timings(directory_relay=0.2)
    frozen, other = Directory(settings_of(postgresql_url), short), Directory(settings_of(postgresql_url), short)
    await frozen.migrate()
    lock, next_lock = frozen.outbox.relay_lock(), other.outbox.relay_lock()
    assert await lock.take()

    async with asyncio.timeout(30):
        while not await next_lock.take():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    with pytest.raises(DirectoryUnavailableError):
        await lock.confirm()

    for one in (lock, next_lock):
        await one.drop()
    await frozen.close()
    await other.close()


async def test_the_lock_is_lost_with_the_server(own_postgresql: PostgreSQL) -> None:
    directory = Directory(settings_of(own_postgresql.url("postgres")), QUICK)
    await directory.migrate()
    lock = directory.outbox.relay_lock()
    assert await lock.take()
    own_postgresql.stop(signal.SIGQUIT)
    with pytest.raises(DirectoryUnavailableError):
        await lock.confirm()
    await lock.drop()
    own_postgresql.start()
    assert await lock.take()
    await lock.drop()
    await directory.close()
