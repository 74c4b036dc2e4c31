"""Directory lines go in and out of both databases; persons are looked up and forgotten."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.core.inbound import digests
from streamer.core.inbound.call import CallOutcome, IgnoredReason, Remark
from streamer.core.inbound.directory import Device, Person, User, Value
from streamer.core.inbound.rules import Rules
from streamer.directory import transfer
from streamer.directory.people import find, forget
from streamer.directory.store import Directory
from streamer.directory.transfer import FileFaultsError, Import, check_file, export, import_file
from tests.directory.slices import NOW, changes, concern, load, load_users, record, save

RULES = Rules()
LINES = """\
{"username":"Ben","email":"Ben@x.com","firstname":null,"lastname":"",\
"anonymousIds":["d-1","d-2"],"attributes":{"a":[1.5,"x"],"z ü":"\\u0000"},"redirects":["old"]}
{"username":"ben","email":null,"firstname":null,"lastname":null,"anonymousIds":[],"attributes":{},"redirects":[]}
{"username":"zoë","email":null,"firstname":null,"lastname":null,"anonymousIds":[],"attributes":{},"redirects":[]}
{"username":"🦊","email":null,"firstname":null,"lastname":null,"anonymousIds":[],"attributes":{},"redirects":[]}
{"anonymousId":"s-1","attributes":{"utm_source":"ad"}}
{"anonymousId":"ä","attributes":{"n":18446744073709551615}}
"""


def say_nothing(_done: int, _total: int) -> None:
    pass


async def take(directory: Directory, path: Path, *, replace: bool = False, publish: bool = False) -> Import:
    return await import_file(directory, path, RULES, replace=replace, publish=publish, on_progress=say_nothing)


async def printed(directory: Directory, *, times: bool = False) -> str:
    return b"".join([line async for line in export(directory, times=times, on_progress=say_nothing)]).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users.jsonl"
    path.write_text("\n".join(reversed(LINES.splitlines())) + "\n\n", encoding="utf-8")
    return path


async def test_what_is_imported_is_exported_sorted_by_code_point(directory: Directory, file: Path) -> None:
    imported = await take(directory, file)
    assert (imported.users, imported.devices) == (4, 2)
    assert await printed(directory) == LINES
    assert await directory.outbox.waiting() == (0, None)


async def test_a_move_with_times_loses_nothing(
    directory: Directory, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over several batches; devices without attributes are in it as well."""
    monkeypatch.setattr(transfer, "BATCH_LINES", 2)
    await take(directory, file)
    ben = User("called", person=Person(firstname=Value("x", NOW)), named=NOW, signed_out=NOW, changed=NOW, revision=7)
    await save(
        directory, changes(users=[ben], devices=[Device("c", ben, since=NOW + 1), Device("bare", None, since=NOW)])
    )
    moved = tmp_path / "moved.jsonl"
    moved.write_text(await printed(directory, times=True), encoding="utf-8")

    await take(directory, moved, replace=True)

    assert await printed(directory, times=True) == moved.read_text("utf-8")


async def test_an_export_is_of_one_moment(directory: Directory, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BATCH_LINES", 1)
    await take(directory, file)
    lines: list[str] = []
    async for line in export(directory, times=False, on_progress=say_nothing):
        if not lines:
            await save(directory, changes(users=[User("later")]))
            [zoe] = (await load(directory, concern(names=["zoë"]))).users
            assert zoe.row is not None
            await save(directory, changes(gone_users=[zoe.row]), loaded=concern(names=["zoë"]))
        lines.append(line.decode())
    assert "".join(lines) == LINES


async def test_profiles_are_published_only_if_asked_for(directory: Directory, file: Path) -> None:
    await take(directory, file, publish=True)
    keys = [entry.record.key for entry in await directory.outbox.read(100)]
    assert sorted(keys) == ["Ben", "ben", "zoë", "🦊"]


async def test_replacing_empties_everything_before(directory: Directory, file: Path) -> None:
    old = User("gone")
    await save(
        directory,
        changes(
            users=[old],
            devices=[Device("gone", old)],
            redirects=[("gone_old", old, 1)],
            marks={digests.name_mark("ben"): NOW},
            messages={b"1" * 16: "applied"},
            outgoing=[record("gone")],
        ),
    )
    await take(directory, file, replace=True)

    assert await printed(directory) == LINES
    found = await load(directory, concern(messages=[b"1" * 16], marks=[digests.name_mark("ben")], devices=["gone"]))
    assert (found.messages, found.marks, found.devices) == ({}, {}, [])
    assert await directory.outbox.waiting() == (0, None)


async def test_replacing_with_a_file_that_has_faults_changes_nothing(
    directory: Directory, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file is changed after it was checked."""
    monkeypatch.setattr(transfer, "BATCH_LINES", 1)
    await take(directory, file)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"username":"new"}\n{"username":7}\n')
    with pytest.raises(FileFaultsError, match="line 2: username is not a string"):
        await take(directory, bad, replace=True)
    assert await printed(directory) == LINES


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_bytes(
        b'{"username":"ok"}\n\n{"username":"ok","emial":"x"}\nnot json\n{"anonymousId":"a"}\n{"username":"\xff"}\n[]\n'
    )
    with pytest.raises(FileFaultsError) as raised:
        check_file(path, RULES, say_nothing)
    assert [fault.split(":")[0] for fault in raised.value.faults] == [f"line {number}" for number in (3, 4, 5, 6, 7)]
    assert "emial" not in str(raised.value)

    path.write_bytes(b"[]\n" * 1_000)
    with pytest.raises(FileFaultsError) as raised:
        check_file(path, RULES, say_nothing)
    assert len(raised.value.faults) == transfer.MAX_FAULTS

    path.write_bytes(b"x" * (transfer.MAX_LINE_BYTES + 1))
    with pytest.raises(FileFaultsError, match="line 1: it is longer"):
        check_file(path, RULES, say_nothing)


async def test_an_import_and_calls_at_once_lose_nothing(
    directory: Directory, open_directory: Callable[[], Directory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_LINES", 5)
    path = tmp_path / "users.jsonl"
    path.write_text("".join(f'{{"username":"usr_{number}","firstname":"file"}}\n' for number in range(50)))
    other = open_directory()

    async def call() -> None:
        for number in range(0, 50, 2):
            async with other.transaction() as transaction:
                loaded = await transaction.load(concern(names=[f"usr_{number}"]))
                user = loaded.users[0] if loaded.users else User(f"usr_{number}")
                user.person.firstname = Value("call", NOW)
                await transaction.save(changes(users=[user]), NOW)
            await asyncio.sleep(0)

    await asyncio.gather(take(directory, path), call())

    users = await load_users(directory, *(f"usr_{number}" for number in range(50)))
    first_names = [users[f"usr_{number}"].person.firstname for number in range(50)]
    assert [name.value for name in first_names if name is not None] == ["call", "file"] * 25


async def test_remarks_are_counted(directory: Directory, file: Path) -> None:
    ben = User("Ben", person=Person(lastname=Value("Call", NOW)), changed=NOW)
    await save(directory, changes(users=[ben]))
    imported = await take(directory, file)
    assert dict(imported.remarks) == {Remark.VALUE_STALE: 1}


async def test_persons_are_found_by_each_of_their_ids(directory: Directory, file: Path) -> None:
    await take(directory, file)
    for ids in ({"email": " bEN@X.com"}, {"user_id": "Ben"}, {"user_id": "old"}, {"anonymous_id": "d-2"}):
        users, devices = await find(directory, **ids)
        assert ([user.username for user in users], devices) == (["Ben"], [])
    users, devices = await find(directory, anonymous_id="s-1")
    assert (users, [device.anonymous_id for device in devices]) == ([], ["s-1"])
    assert await find(directory, email="nobody@x.com") == ([], [])


async def test_a_forgotten_user_leaves_marks_and_a_tombstone(directory: Directory, file: Path) -> None:
    await take(directory, file)
    applied = await forget(directory, "old", RULES)
    assert applied.outcome is CallOutcome.APPLIED

    marks = [digests.name_mark("Ben"), digests.name_mark("old"), digests.device_mark("d-1"), digests.device_mark("d-2")]
    found = await load(directory, concern(names=["Ben", "old"], devices=["d-1", "d-2"], marks=marks))
    assert (found.users, found.devices, set(found.marks)) == ([], [], set(marks))
    [entry] = await directory.outbox.read(10)
    assert (entry.record.key, entry.record.value) == ("Ben", None)
    assert (await forget(directory, "old", RULES)).reason is IgnoredReason.UNKNOWN_USER
    assert (await take(directory, file)).deleted == 1


async def test_an_export_that_is_not_read_to_its_end_gives_its_connection_back(
    directory: Directory, file: Path
) -> None:
    await take(directory, file)
    for _ in range(8):
        lines = export(directory, times=False, on_progress=say_nothing)
        await anext(lines)
        await lines.aclose()
