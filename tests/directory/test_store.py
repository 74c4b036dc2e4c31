"""What is saved is loaded again as it was, on both databases, with a fixed number of statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from streamer.core.inbound.call import OLDEST
from streamer.core.inbound.directory import Concern, Device, Person, User, Value
from streamer.core.inbound.email import MAX_CHARACTERS
from streamer.core.model import Json
from streamer.directory.rows import person_from_text, person_to_text
from streamer.directory.statements import MAX_SAME_EMAIL
from streamer.directory.store import NAMED_EVERY, Directory
from tests.directory.slices import NOW, changes, concern, load, load_users, record, save

ODD: dict[str, Json] = {
    "zero \u0000 in a name": "zero \u0000 in a value",
    "ünïcödé 🦊": "\U0010ffff \u2028 '\"\\",
    "largest": 2**64 - 1,
    "least": -(2**63),
    "double": 0.1 + 0.2,
    "tiny": 5e-324,
    "list": ["a", 1, True, []],
    "empty": "",
    "no": False,
}


def a_user(name: str, *, email: str | None = None, at: int = 7) -> User:
    person = Person(email=None if email is None else Value(email, at))
    return User(name, person=person, named=at, signed_out=OLDEST, changed=at, revision=3)


def facts(person: Person) -> tuple[object, ...]:
    return person.email, person.firstname, person.lastname, person.attributes


async def test_a_user_comes_back_with_every_value_device_and_redirect(directory: Directory) -> None:
    user = a_user("usr_1 ümläut 🦊", email="Ben@Example.com")
    user.person.firstname, user.person.lastname = Value("", 1), Value("\u0000", OLDEST)
    user.person.attributes = {name: Value(value, at) for at, (name, value) in enumerate(ODD.items())}
    user.devices["d"] = device = Device("d", user, since=5, left=4)
    user.redirects["old"] = 9
    stranger = Device("s", None, since=1, left=2, person=Person(attributes={"a": Value(1.0, 3)}))
    await save(directory, changes(users=[user], devices=[device, stranger], redirects=[("old", user, 9)]))

    found = await load(directory, concern(names=["usr_1 ümläut 🦊"], devices=["s"]))

    [same] = found.users
    assert (same.username, same.row, facts(same.person)) == (user.username, user.row, facts(user.person))
    assert (same.named, same.signed_out, same.changed, same.revision) == (7, OLDEST, 7, 3)
    assert list(same.person.attributes) == list(ODD)
    assert {name: type(value.value) for name, value in same.person.attributes.items()} == {
        name: type(value) for name, value in ODD.items()
    }
    assert same.redirects == {"old": 9}
    assert same.devices["d"].user is same
    devices = {one.anonymous_id: one for one in found.devices}
    assert devices["d"] is same.devices["d"]
    assert (devices["d"].since, devices["d"].left, facts(devices["d"].person)) == (5, 4, facts(Person()))
    assert (devices["s"].user, facts(devices["s"].person)) == (None, facts(stranger.person))


async def test_the_users_of_devices_are_found_with_one_question(directory: Directory) -> None:
    ann, ben = a_user("ann 🦊"), a_user("ben")
    owners = {"a-1": ann, "a-2": ann, "b": ben, "nobody's": None}
    devices = [Device(name, owner, since=1, left=0) for name, owner in owners.items()]
    await save(directory, changes(users=[ann, ben], devices=devices))
    asked = ["a-1", "a-2", "nobody's", "unknown", "ann 🦊", *(f"d-{number}" for number in range(2_000))]
    with counted(directory) as run:
        assert await directory.users_of(asked) == {"a-1": "ann 🦊", "a-2": "ann 🦊"}
    assert sum("directory_devices" in one for one in run) == 1
    assert await directory.users_of([]) == {}


def test_the_stored_form_of_a_person_is_this() -> None:
    """A later version has to read it; a change of it needs a migration."""
    person = Person(Value("b@x", 1), None, Value("", OLDEST), {"z": Value([1.5, "\u0000"], 2), "a": Value(False, 3)})
    text = (
        '{"email":["b@x",1],"lastname":["",-4611686018427387904],"attributes":{"z":[[1.5,"\\u0000"],2],"a":[false,3]}}'
    )
    assert person_to_text(person) == text
    assert facts(person_from_text(text)) == facts(person)
    assert person_to_text(Person()) is None


JSON_VALUES = st.one_of(
    st.text(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)


@given(st.dictionaries(st.text(), st.tuples(JSON_VALUES | st.lists(JSON_VALUES), st.integers(OLDEST, 2**62))))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_values_of_a_person_survive_as_text(values: dict[str, tuple[Json, int]]) -> None:
    person = Person(firstname=Value("a", 1), attributes={name: Value(*value) for name, value in values.items()})
    text = person_to_text(person)
    assert text is not None
    assert "\u0000" not in text
    assert facts(person_from_text(text)) == facts(person)


@pytest.mark.parametrize(
    "found_by",
    [concern(names=["ben"]), concern(names=["ben_old"]), concern(devices=["d-1"]), concern(emails=["ben@example.com"])],
    ids=["name", "redirect", "device", "email"],
)
async def test_a_user_is_found_by_each_of_its_ids(directory: Directory, found_by: Concern) -> None:
    """With everything that belongs to it, whatever the calls named."""
    ben, eve = a_user("ben", email="Ben@example.com"), a_user("eve", email="eve@example.com")
    await save(
        directory,
        changes(users=[eve, ben], devices=[Device("d-1", ben), Device("d-2", ben)], redirects=[("ben_old", ben, 1)]),
    )

    found = await load(directory, found_by)

    assert [user.username for user in found.users] == ["ben"]
    assert sorted(found.users[0].devices) == ["d-1", "d-2"]
    assert found.users[0].redirects == {"ben_old": 1}


async def test_names_are_compared_by_code_point(directory: Directory) -> None:
    """As they were sent: no case, no normal form, no language."""
    names = [
        "straße",
        "STRASSE",
        "strasse",
        "cafe\u0301",
        "caf\u00e9",
        "i",
        "\u0131",
        "\u0130",
        "\ufb01",
        "fi",
        "a ",
        "a",
        "%",
        "_",
        "\\",
    ]
    await save(directory, changes(users=[a_user(name) for name in names]))
    for name in names:
        assert list(await load_users(directory, name)) == [name]


async def test_the_longest_names_and_addresses_fit(directory: Directory) -> None:
    """PostgreSQL's indexes take 2,704 bytes. These letters grow when their case is folded."""
    email = "ᾂ" * MAX_CHARACTERS
    user = a_user("🦊" * 255, email=email)
    await save(directory, changes(users=[user], devices=[Device("🦝" * 255, user)]))
    found = await load(directory, concern(emails=["ἂι" * MAX_CHARACTERS]))
    assert [one.username for one in found.users] == [user.username]


async def test_names_may_be_swapped_in_one_slice(directory: Directory) -> None:
    one, two, three = a_user("one"), a_user("two"), a_user("three")
    await save(directory, changes(users=[one, two, three]))
    what = concern(names=["one", "two", "three", "new"])
    async with directory.transaction() as transaction:
        users = {user.username: user for user in (await transaction.load(what)).users}
        users["one"].username, users["two"].username, users["three"].username = "two", "three", "one"
        await transaction.save(changes(users=users.values()), NOW)

    found = await load_users(directory, "one", "two", "three")
    assert {name: user.row for name, user in found.items()} == {"two": one.row, "three": two.row, "one": three.row}


async def test_a_new_user_may_get_the_name_of_one_that_is_gone_or_renamed(directory: Directory) -> None:
    """And the devices of one that is gone may go to others in the same slice."""
    gone, renamed = a_user("gone"), a_user("renamed")
    await save(directory, changes(users=[gone, renamed], devices=[Device("d", gone)], redirects=[("old", gone, 1)]))
    what = concern(names=["gone", "renamed"], devices=["d"])
    async with directory.transaction() as transaction:
        users = {user.username: user for user in (await transaction.load(what)).users}
        users["renamed"].username = "other"
        new = [a_user("gone"), a_user("renamed")]
        assert users["gone"].row is not None
        moved = Device("d", new[0])
        await transaction.save(
            changes(
                gone_users=[users["gone"].row],
                users=[users["renamed"], *new],
                devices=[moved],
                redirects=[("old", new[1], 2)],
            ),
            NOW,
        )
    found = await load_users(directory, "gone", "renamed", "other")
    assert list(found["gone"].devices) == ["d"]
    assert found["renamed"].redirects == {"old": 2}
    assert found["other"].row == renamed.row
    assert len({user.row for user in found.values()} | {gone.row}) == 4  # no number is given again


async def test_what_is_gone_is_gone(directory: Directory) -> None:
    user = a_user("ben")
    await save(directory, changes(users=[user], devices=[Device("d", user)], redirects=[("old", user, 1)]))
    assert user.row is not None
    await save(
        directory,
        changes(gone_users=[user.row], gone_devices=["d"], gone_redirects=["old"], marks={b"m" * 32: 5}),
        loaded=concern(names=["ben"]),
    )
    found = await load(directory, concern(names=["ben", "old"], devices=["d"], marks=[b"m" * 32, b"n" * 32]))
    assert (found.users, found.devices, found.marks) == ([], [], {b"m" * 32: 5})


async def test_an_older_deletion_leaves_a_newer_mark(directory: Directory) -> None:
    """The marks of the devices of a deleted user are not loaded: the slice need not name these devices."""
    await save(directory, changes(marks={b"m" * 32: 5, b"n" * 32: 5}))
    await save(directory, changes(marks={b"m" * 32: 4, b"n" * 32: 6}))

    assert (await load(directory, concern(marks=[b"m" * 32, b"n" * 32]))).marks == {b"m" * 32: 5, b"n" * 32: 6}


async def test_messages_are_known_again(directory: Directory) -> None:
    await save(directory, changes(messages={b"1" * 16: "applied", b"2" * 16: "ignored"}))
    found = await load(directory, concern(messages=[b"1" * 16, b"2" * 16, b"3" * 16]))
    assert found.messages == {b"1" * 16: "applied", b"2" * 16: "ignored"}


async def test_an_error_undoes_the_whole_slice(directory: Directory) -> None:
    user = a_user("ben")

    async def fail() -> None:
        async with directory.transaction() as transaction:
            await transaction.save(changes(users=[user], outgoing=[record("ben")]), NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await load_users(directory, "ben") == {}
    assert await directory.outbox.read(10) == []


async def test_ten_thousand_ids_are_one_slice(directory: Directory) -> None:
    names = [f"usr_{number}" for number in range(10_000)]
    digests = {number.to_bytes(16): "applied" for number in range(10_000)}
    users = [a_user(name, email=f"{name}@example.com") for name in names[:3_000]]
    devices = [Device(f"d-{user.username}", user) for user in users]
    await save(directory, changes(users=users, devices=devices, messages=digests))

    found = await load(
        directory,
        concern(
            names=names,
            devices=[f"d-{name}" for name in names],
            emails=[f"{name}@example.com" for name in names],
            messages=digests,
            marks=[number.to_bytes(32) for number in range(10_000)],
        ),
    )

    assert (len(found.users), len(found.devices), len(found.messages)) == (3_000, 3_000, 10_000)


async def test_of_one_address_the_users_that_changed_last_are_loaded(directory: Directory) -> None:
    """Otherwise an address that half of the users share would fill the memory."""
    users = [a_user(f"usr_{number}", email="info@example.com", at=number) for number in range(MAX_SAME_EMAIL + 2)]
    await save(directory, changes(users=users))
    found = await load(directory, concern(emails=["info@example.com"]))
    assert {user.changed for user in found.users} == set(range(2, MAX_SAME_EMAIL + 2))


async def test_naming_a_device_keeps_it_without_a_write_each_time(directory: Directory) -> None:
    await save(directory, changes(devices=[Device("d", None)]))
    what = concern(devices=["d"])
    with counted(directory) as within_a_day:
        await save(directory, changes(), loaded=what, now=NOW + NAMED_EVERY - 1)
    with counted(directory) as after_a_day:
        await save(directory, changes(), loaded=what, now=NOW + NAMED_EVERY)
    with counted(directory) as again:
        await save(directory, changes(), loaded=what, now=NOW + NAMED_EVERY + 1)
    assert len(after_a_day) == len(within_a_day) + 1
    assert len(again) == len(within_a_day)


@contextmanager
def counted(directory: Directory) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = directory.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("warm", [False, True])
async def test_the_number_of_statements_does_not_grow_with_the_slice(directory: Directory, *, warm: bool) -> None:
    if warm:
        await apply(directory, range(5_000, 5_001))
    with counted(directory) as few:
        await apply(directory, range(1))
    with counted(directory) as many:
        await apply(directory, range(500, 1_000))
    assert sorted(many) == sorted(few)
    assert len(many) <= 30  # two transactions


async def apply(directory: Directory, numbers: range) -> None:
    """A slice that uses every table: each call finds a user by its name, renames it and adds to it."""
    first = [a_user(f"usr_{number}", email=f"{number}@example.com") for number in numbers]
    await save(directory, changes(users=first, devices=[Device(f"d-{user.username}", user) for user in first]))
    what = concern(
        names=[user.username for user in first],
        devices=[f"d-{user.username}" for user in first],
        emails=[f"{number}@example.com" for number in numbers],
        messages=[number.to_bytes(16) for number in numbers],
        marks=[number.to_bytes(32) for number in numbers],
    )
    async with directory.transaction() as transaction:
        loaded = await transaction.load(what)
        new = [a_user(user.username) for user in loaded.users]
        redirects = [(f"old {user.username}", user, 1) for user in loaded.users]
        for user in loaded.users:
            user.username = f"new {user.username}"
        await transaction.save(
            changes(
                users=[*loaded.users, *new],
                devices=loaded.devices,
                redirects=redirects,
                messages=dict.fromkeys(what.messages, "applied"),
                marks=dict.fromkeys(what.marks, 5),
                outgoing=[record(user.username) for user in loaded.users],
            ),
            NOW,
        )


async def test_a_bug_of_ours_is_not_taken_for_an_unavailable_database(
    directory: Directory, open_directory: Callable[[], Directory]
) -> None:
    """It would be tried again for ever."""
    await save(directory, changes(users=[a_user("ben")]))
    with pytest.raises(IntegrityError) as raised:
        await save(directory, changes(users=[a_user("ben")]))
    assert "ben" not in str(raised.value).splitlines()[0]
    with pytest.raises(IntegrityError):
        await save(directory, changes(devices=[Device("d", User("nobody", row=77))]))
    assert await load_users(open_directory(), "ben")
