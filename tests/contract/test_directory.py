"""The directory in memory does what the real one does, as far as applying calls and publishing rely on it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from streamer.core.inbound.call import Action, Call, CallOutcome
from streamer.core.inbound.rules import Rules
from streamer.directory.outbox import Outbox as StoredOutbox
from streamer.directory.store import Directory as StoredDirectory
from streamer.inbound.ports import Directory, Outbox
from streamer.inbound.transacting import GuiltyError, transact
from streamer.settings.inbound import DirectorySettings
from tests.doubles.directory import MemoryDirectory

NOW = time.time_ns() // 1_000


class World(Protocol):
    @property
    def directory(self) -> Directory: ...
    @property
    def outbox(self) -> Outbox: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.directory = self.outbox = MemoryDirectory()


class SqliteWorld:
    def __init__(self, path: Path) -> None:
        self.directory = StoredDirectory(DirectorySettings.model_validate({"url": f"sqlite:///{path}/directory.db"}))
        self.outbox = StoredOutbox(self.directory.database)


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    world = SqliteWorld(tmp_path)
    await world.directory.migrate()
    yield world
    await world.directory.close()


def call(message_id: str, action: Action = Action.IDENTIFY_USER, **fields: str | None) -> Call:
    named = {"user_id": "ben"} | fields
    return Call(action=action, message_id=message_id, at=NOW, received=NOW, type_label="identify", **named)  # type: ignore[arg-type]


async def apply(world: World, *calls: Call) -> list[CallOutcome]:
    ends = await transact(calls, directory=world.directory, rules=Rules(), timeout_seconds=10)
    return [end.outcome for end in ends]


async def test_what_is_committed_is_seen_by_the_next_transaction(world: World) -> None:
    assert await apply(world, call("1", anonymous_id="d-1"), call("2", user_id="eve")) == [CallOutcome.APPLIED] * 2
    assert await apply(world, call("1"), call("3", anonymous_id="d-1")) == [CallOutcome.DUPLICATE, CallOutcome.APPLIED]
    rename = call("4", Action.UPDATE_USER_ID, user_id="benjamin", previous_id="ben")
    assert await apply(world, rename) == [CallOutcome.APPLIED]
    keys = [(entry.record.key, entry.record.value is None) for entry in await world.outbox.read(100)]
    assert keys == [("ben", False), ("eve", False), ("benjamin", False), ("ben", True)]
    assert await apply(world, call("5", Action.DELETE_USER, user_id="ben"), call("6", user_id="eve")) == [
        CallOutcome.APPLIED,
        CallOutcome.APPLIED,
    ]


async def test_what_failed_left_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("streamer.inbound.transacting.View.apply", stumble)
        with pytest.raises(GuiltyError):
            await apply(world, call("1"))
    applying = asyncio.create_task(apply(world, call("1")))
    await asyncio.sleep(0)
    applying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await applying
    assert await world.outbox.read(100) == []
    assert await apply(world, call("1")) == [CallOutcome.APPLIED]


async def test_transactions_at_the_same_time_have_the_result_of_one_after_the_other(world: World) -> None:
    ends = await asyncio.gather(*(apply(world, call("same"), call(str(number))) for number in range(5)))
    assert sorted(end[0].value for end in ends) == ["applied", *["duplicate"] * 4]
    assert all(end[1] is CallOutcome.APPLIED for end in ends)


async def test_the_outbox_hands_out_the_oldest_records_until_they_are_deleted(world: World) -> None:
    await apply(world, *(call(name, user_id=name) for name in "abc"))
    first = await world.outbox.read(2)
    assert [entry.record.key for entry in first] == ["a", "b"]
    await world.outbox.delete([entry.number for entry in first])
    await world.outbox.delete([entry.number for entry in first])
    assert [entry.record.key for entry in await world.outbox.read(2)] == ["c"]


async def test_one_relay_has_the_lock(world: World) -> None:
    ours, theirs = world.outbox.relay_lock(), world.outbox.relay_lock()
    assert await ours.take()
    assert not await theirs.take()
    await ours.confirm()
    await ours.drop()
    await ours.drop()
    assert await theirs.take()
    await theirs.drop()
