"""A directory in memory that loads what a concern names and nothing else: a view that reached further would miss it."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from streamer.core.inbound import digests, email, line_reading, lines
from streamer.core.inbound.call import Action, Applied, Call, Ignored, Rejected, Traits
from streamer.core.inbound.concern import concern
from streamer.core.inbound.directory import Changes, Concern, Device, Outgoing, User
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.view import View
from streamer.core.model import Json


def call(action: Action, at: int = 10, message_id: str | None = None, **fields: Json) -> Call:
    """A call; ``email``, names and ``attributes`` stand beside its other fields. Without a messageId it has its own."""
    own = {name: fields.pop(name) for name in ("email", "firstname", "lastname", "attributes") if name in fields}
    made = Call(action=action, message_id="", at=at, traits=Traits(**own), **fields)
    return replace(made, message_id=repr(made) if message_id is None else message_id)


def identify(at: int = 10, **fields: Json) -> Call:
    return call(Action.IDENTIFY_USER, at, **fields)


def track(at: int = 10, event: str = "Report Exported", **fields: Json) -> Call:
    return call(Action.TRACK_EVENT, at, event=event, **fields)


def sign_out(at: int = 10, **fields: Json) -> Call:
    return call(Action.SIGN_OUT_USER, at, event="Signed Out", **fields)


def alias(at: int = 10, **fields: Json) -> Call:
    return call(Action.UPDATE_USER_ID, at, **fields)


def delete(at: int = 10, **fields: Json) -> Call:
    return call(Action.DELETE_USER, at, **fields)


def group(at: int = 10, **fields: Json) -> Call:
    return call(Action.GROUP_USER, at, **fields)


@dataclass
class StoredDevice:
    row: int | None
    device: Device


@dataclass
class MemoryDirectory:
    """Tables as copies, so that nothing reaches them but `Changes`."""

    rules: Rules = field(default_factory=Rules)
    users: dict[int, User] = field(default_factory=dict)
    devices: dict[str, StoredDevice] = field(default_factory=dict)
    redirects: dict[str, tuple[int, int]] = field(default_factory=dict)
    marks: dict[bytes, int] = field(default_factory=dict)
    messages: dict[bytes, str] = field(default_factory=dict)
    outgoing: list[Outgoing] = field(default_factory=list)
    last_row: int = 0

    @classmethod
    def of(cls, *directory_lines: Mapping[str, Json], rules: Rules | None = None) -> "MemoryDirectory":
        """A directory with these lines."""
        directory = cls(rules or Rules())
        for line in directory_lines:
            read = line_reading.read(orjson.dumps(line), directory.rules)
            if isinstance(read, Device):
                directory.devices[read.anonymous_id] = StoredDevice(None, read)
                continue
            row = directory._store(read)
            for device in read.devices.values():
                directory.devices[device.anonymous_id] = StoredDevice(row, _bare_device(device))
            directory.redirects.update({name: (row, at) for name, at in read.redirects.items()})
        return directory

    def apply(self, *calls: Call | Ignored | Rejected) -> list[Applied]:
        """Apply a slice of calls in one transaction."""
        view = self.load(concern(calls, self.rules))
        applied = [view.apply(one) for one in calls]
        self.save(view.changes())
        return applied

    def apply_each(self, *calls: Call | Ignored | Rejected) -> list[Applied]:
        """Apply the calls in transactions of their own."""
        return [result for one in calls for result in self.apply(one)]

    def load(self, wanted: Concern) -> View:
        rows = {self.redirects[name][0] for name in wanted.names if name in self.redirects}
        named = [self.devices[name] for name in wanted.devices if name in self.devices]
        rows |= {stored.row for stored in named if stored.row is not None}
        rows |= {row for row, user in self.users.items() if user.username in wanted.names}
        rows |= {row for row, user in self.users.items() if _email_key(user) in wanted.emails}
        users = [self._load_user(row) for row in sorted(rows)]
        return View(
            users,
            [copy.deepcopy(stored.device) for stored in named if stored.row is None],
            {digest: at for digest, at in self.marks.items() if digest in wanted.marks},
            wanted.messages & self.messages.keys(),
            self.rules,
        )

    def _load_user(self, row: int) -> User:
        user = copy.deepcopy(self.users[row])
        for name, stored in self.devices.items():
            if stored.row == row:
                device = user.devices[name] = copy.deepcopy(stored.device)
                device.user = user
        user.redirects = {name: at for name, (owner, at) in self.redirects.items() if owner == row}
        return user

    def save(self, changes: Changes) -> None:
        for row in changes.gone_users:
            del self.users[row]
        for user in changes.users:
            self._store(user)
        for name in changes.gone_devices:
            del self.devices[name]
        for device in changes.devices:
            owner = None if device.user is None else device.user.row
            assert device.user is None or owner is not None, "its user was not among the changes"
            self.devices[device.anonymous_id] = StoredDevice(owner, _bare_device(device))
        for name in changes.gone_redirects:
            del self.redirects[name]
        self.redirects.update({name: (user.row or 0, at) for name, user, at in changes.redirects})
        for digest, at in changes.marks.items():  # one that is there need not have been loaded
            self.marks[digest] = max(at, self.marks.get(digest, at))
        assert not self.messages.keys() & changes.messages.keys(), "a call was applied twice"
        self.messages.update(changes.messages)
        self.outgoing += changes.outgoing
        self.verify()

    def _store(self, user: User) -> int:
        if user.row is None:
            self.last_row += 1
            user.row = self.last_row
        bare = User(user.username, user.row, copy.deepcopy(user.person))
        bare.named, bare.signed_out, bare.changed, bare.revision = (
            user.named,
            user.signed_out,
            user.changed,
            user.revision,
        )
        self.users[user.row] = bare
        return user.row

    def verify(self) -> None:
        """What holds after each transaction."""
        names = [user.username for user in self.users.values()]
        assert len(set(names)) == len(names), "a username is there twice"
        assert not set(names) & self.redirects.keys(), "a redirect is also a username"
        assert {row for row, _ in self.redirects.values()} <= self.users.keys(), "a redirect leads nowhere"
        assert {stored.row for stored in self.devices.values()} - {None} <= self.users.keys(), "a device leads nowhere"
        for stored in self.devices.values():
            person = stored.device.person
            assert stored.row is None or not (person.attributes or person.email or person.firstname or person.lastname)

    def export(self, *, times: bool = False) -> list[Json]:
        """All directory lines, as `streamer users export` gives them."""
        users = sorted((self._load_user(row) for row in self.users), key=lambda user: user.username)
        unlinked = sorted((stored.device for stored in self.devices.values() if stored.row is None), key=_name)
        written = [lines.user_line(user, times=times) for user in users]
        written += [lines.device_line(device, times=times) for device in unlinked if times or device.person.attributes]
        return [orjson.loads(line) for line in written]

    def user(self, username: str) -> User:
        """The stored user, with devices and redirects."""
        return self._load_user(next(row for row, user in self.users.items() if user.username == username))

    def usernames(self) -> list[str]:
        return sorted(user.username for user in self.users.values())

    def owner(self, anonymous_id: str) -> str | None:
        """Username of the user of a device."""
        row = self.devices[anonymous_id].row
        return None if row is None else self.users[row].username

    def topic(self, topic: str) -> dict[str, Json]:
        """What is left of a topic after compaction: last value by key, without tombstones."""
        last = {record.key: record.value for record in self.outgoing if record.topic == topic}
        return {key: orjson.loads(value) for key, value in last.items() if value is not None}

    def triggers(self) -> list[Json]:
        return [orjson.loads(record.value or b"") for record in self.outgoing if record.topic == "surveys.triggers"]

    def profiles(self) -> list[Outgoing]:
        return [record for record in self.outgoing if record.topic == "surveys.profiles"]


def is_marked(directory: MemoryDirectory, *, user: str | None = None, device: str | None = None) -> bool:
    digest = digests.name_mark(user) if user is not None else digests.device_mark(device or "")
    return digest in directory.marks


def in_slices(calls: Sequence[Call], sizes: Iterable[int]) -> list[Sequence[Call]]:
    """The calls in slices of these sizes, and the rest in one."""
    slices: list[Sequence[Call]] = []
    first = 0
    for size in sizes:
        slices.append(calls[first : first + size])
        first += size
    return [part for part in [*slices, calls[first:]] if part]


def _bare_device(device: Device) -> Device:
    return Device(device.anonymous_id, None, device.since, device.left, copy.deepcopy(device.person))


def _name(device: Device) -> str:
    return device.anonymous_id


def _email_key(user: User) -> str | None:
    return None if user.person.email is None else email.compared(user.person.email.value)
