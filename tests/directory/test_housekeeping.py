"""What need not be remembered is forgotten, in small transactions."""

import pytest

from streamer.core.inbound.directory import Device, User
from streamer.directory import housekeeping
from streamer.directory.housekeeping import Forgotten, forget
from streamer.directory.store import Directory
from tests.directory.slices import NOW, changes, concern, load, save

DAY = 86_400_000_000


async def test_what_is_too_old_goes_and_the_rest_stays(directory: Directory) -> None:
    user = User("ben")
    await save(
        directory,
        changes(
            users=[user],
            devices=[Device("old", None), Device("named", None), Device("linked", user)],
            messages={b"1" * 16: "applied"},
            marks={b"1" * 32: 0},
        ),
    )
    await save(
        directory,
        changes(devices=[Device("new", None)], messages={b"2" * 16: "applied"}, marks={b"2" * 32: 0}),
        loaded=concern(devices=["named", "new"]),
        now=NOW + DAY,
    )

    forgotten = await forget(directory.database, NOW + DAY, remember=86_399, forget_devices=86_399)

    assert forgotten == Forgotten(messages=1, marks=1, devices=1)
    left = await load(
        directory,
        concern(
            devices=["old", "new", "linked", "named"],
            messages=[b"1" * 16, b"2" * 16],
            marks=[b"1" * 32, b"2" * 32],
        ),
    )
    assert sorted(device.anonymous_id for device in left.devices) == ["linked", "named", "new"]
    assert (list(left.messages), list(left.marks)) == ([b"2" * 16], [b"2" * 32])


async def test_it_works_in_batches(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH_ROWS", 10)
    await save(directory, changes(messages={number.to_bytes(16): "applied" for number in range(25)}))
    forgotten = await forget(directory.database, NOW + 2 * DAY, remember=86_400, forget_devices=86_400)
    assert forgotten.messages == 25


async def test_the_exact_age_is_kept(directory: Directory) -> None:
    await save(directory, changes(messages={b"1" * 16: "applied"}))
    assert (await forget(directory.database, NOW + DAY, remember=86_400, forget_devices=1)).messages == 0
    assert (await forget(directory.database, NOW + DAY + 1, remember=86_400, forget_devices=1)).messages == 1
