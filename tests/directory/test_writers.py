"""Several writers at once have the result of one after the other."""

import asyncio
import multiprocessing
from dataclasses import replace

from streamer.core.inbound.directory import Person, User, Value
from streamer.directory.store import Directory
from tests.directory.conftest import QUICK, settings_of
from tests.directory.slices import NOW, changes, concern, load_users

PATIENT = replace(QUICK, directory_lock=60.0, directory_connect=60.0)
WRITERS = 3
ROUNDS = 15


async def count_up(directory: Directory, rounds: int) -> None:
    """Read a value, and write the next one: what gets lost without the lock."""
    for _ in range(rounds):
        async with directory.transaction() as transaction:
            loaded = await transaction.load(concern(names=["ben"]))
            user = loaded.users[0] if loaded.users else User("ben", person=Person(firstname=Value(0, 1)))
            before = user.person.firstname
            assert before is not None
            assert isinstance(before.value, int)
            user.person.firstname = Value(before.value + 1, 1)
            await transaction.save(changes(users=[user]), NOW)


def run_in_process(url: str) -> None:
    async def work() -> None:
        directory = Directory(settings_of(url), PATIENT)
        await directory.migrate()
        await count_up(directory, ROUNDS)
        await directory.close()

    asyncio.run(work())


async def test_no_update_is_lost_between_connections(url: str) -> None:
    directories = [Directory(settings_of(url), PATIENT) for _ in range(WRITERS)]
    await directories[0].migrate()
    await asyncio.gather(*(count_up(directory, ROUNDS) for directory in directories))

    user = (await load_users(directories[0], "ben"))["ben"]
    assert user.person.firstname == Value(WRITERS * ROUNDS, 1)
    for directory in directories:
        await directory.close()


async def test_no_update_is_lost_between_processes(url: str) -> None:
    """They also create the tables at the same time."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=run_in_process, args=(url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 90)
    assert [process.exitcode for process in processes] == [0, 0]

    directory = Directory(settings_of(url), PATIENT)
    assert (await load_users(directory, "ben"))["ben"].person.firstname == Value(2 * ROUNDS, 1)
    await directory.close()
