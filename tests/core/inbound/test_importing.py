"""Imported lines add to what is there; time decides, and a move with times loses nothing."""

import pytest

from streamer.core.inbound import digests, lines
from streamer.core.inbound.call import OLDEST, IgnoredReason, Remark
from streamer.core.inbound.directory import Device, Person, User, Value
from streamer.core.inbound.line_reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.view import View

RULES = Rules()


class Imported:
    """A directory that lines were imported into."""

    def __init__(
        self, *text: str, users: list[User] | None = None, devices: list[Device] | None = None, rules: Rules = RULES
    ) -> None:
        self.remarks: list[Remark] = []
        self.view = View(users or [], devices or [], {}, {}, rules)
        for line in text:
            assert self.view.take(read(line.encode(), RULES), self.remarks) is None
        changes = self.view.changes()
        self.users = {user.username: user for user in changes.users}
        self.devices = {device.anonymous_id: device for device in changes.devices}
        self.outgoing = changes.outgoing


def test_a_line_without_times_makes_a_user_older_than_any_call() -> None:
    imported = Imported(
        '{"username": "ben", "email": "b@x", "attributes": {"a": 1}, "anonymousIds": ["d"], "redirects": ["old"]}'
    )
    ben = imported.users["ben"]
    assert ben.person.email == Value("b@x", OLDEST)
    assert ben.person.attributes == {"a": Value(1, OLDEST)}
    assert (ben.named, ben.signed_out, ben.changed, ben.revision) == (OLDEST, OLDEST, OLDEST, 1)
    assert ben.redirects == {"old": OLDEST}
    assert imported.devices["d"].user is ben
    assert imported.remarks == []
    assert [(record.key, dict(record.headers)["streamer.change"]) for record in imported.outgoing] == [
        ("ben", "created")
    ]


def test_values_that_a_call_has_set_stay_and_gaps_are_filled() -> None:
    ben = User("ben", row=1, changed=9, revision=4, person=Person(email=Value("b@x", 9), attributes={"a": Value(1, 9)}))
    imported = Imported('{"username": "ben", "email": "other@x", "attributes": {"a": 2, "b": 2}}', users=[ben])
    assert ben.person.email == Value("b@x", 9)
    assert ben.person.attributes == {"a": Value(1, 9), "b": Value(2, OLDEST)}
    assert (ben.changed, ben.revision) == (9, 5)
    assert imported.remarks == [Remark.VALUE_STALE, Remark.VALUE_STALE]


def test_an_import_replaces_what_was_imported_before() -> None:
    imported = Imported('{"username": "ben", "firstname": "A"}', '{"username": "ben", "firstname": "B"}')
    assert imported.users["ben"].person.firstname == Value("B", OLDEST)


def test_importing_twice_has_the_effect_of_once() -> None:
    line = '{"username":"ben","email":"b@x","anonymousIds":["d"],"attributes":{"a":1},"redirects":["old"]}'
    once, twice = Imported(line), Imported(line, line)
    for imported in (once, twice):
        assert imported.users["ben"].revision == 1
    assert lines.user_line(once.users["ben"], times=True) == lines.user_line(twice.users["ben"], times=True)


def test_a_move_with_times_loses_nothing() -> None:
    ben = User("ben", named=3, signed_out=4, changed=20, revision=7)
    ben.person = Person(Value("b@x", 1), None, Value("", 2), {"a": Value([1.5, "x"], 5), "b": Value(False, OLDEST)})
    ben.redirects = {"old": 6, "older": OLDEST}
    ben.devices = {"d": Device("d", ben, since=8), "e": Device("e", ben, since=12)}
    stranger = Device("s", None, since=5, left=6, person=Person(email=Value("s@x", 1), attributes={"u": Value(1, 2)}))
    written = [lines.user_line(ben, times=True), lines.device_line(stranger, times=True)]

    imported = Imported(*(line.decode() for line in written))

    assert lines.user_line(imported.users["ben"], times=True) == written[0]
    assert lines.device_line(imported.devices["s"], times=True) == written[1]
    assert imported.remarks == []


@pytest.mark.parametrize(
    ("since", "signed_out", "is_linked"),
    [(OLDEST, OLDEST, True), (5, OLDEST, True), (OLDEST, 9, False), (5, 9, False), (10, 9, True)],
)
def test_an_imported_link_of_before_a_sign_out_does_not_count(since: int, signed_out: int, *, is_linked: bool) -> None:
    ben = User("ben", row=1, signed_out=signed_out)
    given = User("ben")
    given.devices["d"] = Device("d", given, since=since)
    imported = Imported(lines.user_line(given, times=True).decode(), users=[ben])
    assert (imported.devices["d"].user is ben) is is_linked


def test_a_device_that_a_call_has_linked_stays_where_it_is() -> None:
    eve = User("eve", row=1)
    device = eve.devices["d"] = Device("d", eve, since=5)
    imported = Imported('{"username": "ben", "anonymousIds": ["d"]}', users=[eve], devices=[device])
    assert device.user is eve
    assert imported.remarks == [Remark.LINK_STALE]


def test_an_imported_device_moves_with_a_later_import_and_its_values_fill_gaps() -> None:
    imported = Imported(
        '{"anonymousId": "d", "attributes": {"source": "ad"}}',
        '{"username": "ben", "anonymousIds": ["d"]}',
    )
    assert imported.devices["d"].user is imported.users["ben"]
    assert imported.users["ben"].person.attributes == {"source": Value("ad", OLDEST)}
    assert imported.devices["d"].person.attributes == {}

    moved = Imported('{"username": "ben", "anonymousIds": ["d"]}', '{"username": "eve", "anonymousIds": ["d"]}')
    assert moved.devices["d"].user is moved.users["eve"]


def test_values_of_a_linked_device_fill_the_gaps_of_its_user() -> None:
    ben = User("ben", row=1)
    device = ben.devices["d"] = Device("d", ben, since=5)
    Imported('{"anonymousId": "d", "attributes": {"source": "ad"}}', users=[ben], devices=[device])
    assert ben.person.attributes == {"source": Value("ad", OLDEST)}


def test_a_name_that_leads_to_a_user_is_that_user() -> None:
    ben = User("ben", row=1, redirects={"ben_old": 3})
    Imported('{"username": "ben_old", "firstname": "Ben"}', users=[ben])
    assert ben.person.firstname == Value("Ben", OLDEST)


def test_a_redirect_never_takes_the_name_of_a_user_nor_a_newer_redirect() -> None:
    ben, eve = User("ben", row=1), User("eve", row=2, redirects={"old": 3})
    Imported('{"username": "ben", "redirects": ["eve", "old"]}', users=[ben, eve])
    assert ben.redirects == {}
    assert eve.redirects == {"old": 3}


def test_over_the_limits_the_oldest_go_and_it_is_said() -> None:
    imported = Imported(
        '{"username": "ben", "anonymousIds": ["a", "b"], "redirects": ["x", "y"], "attributes": {"k": 1, "l": 2}}',
        rules=Rules(max_devices_per_user=1, max_redirects_per_user=1, max_attributes=1),
    )
    ben = imported.users["ben"]
    assert (list(ben.devices), list(ben.redirects), list(ben.person.attributes)) == (["b"], ["y"], ["k"])
    assert sorted(imported.remarks) == [Remark.ATTRIBUTE_LIMIT, Remark.DEVICE_LIMIT, Remark.REDIRECT_LIMIT]


def test_a_deleted_user_does_not_come_back_with_an_old_line() -> None:
    view = View([], [], {digests.name_mark("ben"): 10, digests.device_mark("d"): 10}, {}, RULES)
    old = read(b'{"username": "ben", "times": {"changed": "1970-01-01T00:00:00.000010Z"}}', RULES)
    assert view.take(old, []) is IgnoredReason.DELETED
    assert view.take(read(b'{"username": "ben"}', RULES), []) is IgnoredReason.DELETED
    assert view.changes().users == []
    newer = read(
        b'{"username": "ben", "times": {"changed": "1970-01-01T00:00:00.000011Z"}, "anonymousIds": ["d"]}', RULES
    )
    remarks: list[Remark] = []
    assert view.take(newer, remarks) is None
    assert remarks == [Remark.LINK_STALE]
