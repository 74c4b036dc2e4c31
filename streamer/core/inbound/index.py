"""The loaded part of the directory, by everything that users and devices are found by. It follows each change."""

from collections.abc import Iterable, Mapping
from typing import Final

from streamer.core.inbound import digests, email
from streamer.core.inbound.call import OLDEST
from streamer.core.inbound.directory import Device, User
from streamer.core.inbound.journal import Journal


class Index:
    """Users and devices by name, redirect, device and e-mail.

    Every change of what others look up goes through its methods, which keep the ways to a user true and note the
    change in the journal. Rules stand elsewhere: this class knows none.
    """

    def __init__(self, users: Iterable[User], devices: Iterable[Device], marks: Mapping[bytes, int]) -> None:
        self.users: Final[dict[str, User]] = {}
        self.redirects: Final[dict[str, User]] = {}
        self.devices: Final[dict[str, Device]] = {device.anonymous_id: device for device in devices}
        self._by_email: Final[dict[str, dict[User, None]]] = {}
        self._email_keys: Final[dict[User, str]] = {}
        self._marks: Final = dict(marks)
        for user in users:
            self.users[user.username] = user
            self.redirects.update(dict.fromkeys(user.redirects, user))
            self.devices.update(user.devices)
            self.email_changed(user)
        self.journal: Final = Journal(self.users, self.redirects, self.devices)

    def find(self, name: str | None) -> User | None:
        """The user with this username, else the one that a redirect of this name leads to."""
        if name is None:
            return None
        return self.users.get(name) or self.redirects.get(name)

    def with_email(self, address: str) -> tuple[User, ...]:
        """All users whose e-mail address compares equal."""
        return tuple(self._by_email.get(email.compared(address), ()))

    def device(self, anonymous_id: str) -> Device:
        """The device; a new one is kept once it is changed.

        One that went with its user is signed out since then, so that calls from before are not taken for its own.
        """
        device = self.devices.get(anonymous_id)
        if device is None:
            deleted = self._marks.get(digests.device_mark(anonymous_id), OLDEST) if self._marks else OLDEST
            device = Device(anonymous_id, since=deleted, left=deleted)
        return device

    def is_deleted(self, username: str, at: int) -> bool:
        """Whether a user of this name was deleted at ``at`` or later."""
        return bool(self._marks) and self._marks.get(digests.name_mark(username), OLDEST) >= at

    def create(self, username: str) -> User:
        """A new user. Links of before their last sign-out of all devices end at once, as for any user."""
        assert self.find(username) is None, "the name leads to a user already"
        user = self.users[username] = User(username)
        if self._marks:
            user.signed_out = self._marks.get(digests.sign_out_mark(username), OLDEST)
        self.journal.create(user)
        return user

    def touch(self, user: User) -> None:
        """Say that a value of the user is about to change."""
        self.journal.touch(user)

    def email_changed(self, user: User) -> None:
        """Say that the e-mail address of the user may have changed."""
        value = user.person.email
        key = None if value is None else email.compared(value.value)
        if key == self._email_keys.get(user):
            return
        self._drop_email(user)
        if key is not None:
            self._email_keys[user] = key
            self._by_email.setdefault(key, {})[user] = None

    def _drop_email(self, user: User) -> None:
        key = self._email_keys.pop(user, None)
        if key is not None:
            del self._by_email[key][user]

    def rename(self, user: User, username: str) -> None:
        """Give the user another name. The old one leads nowhere until it is a redirect."""
        assert self.find(username) is None, "the name leads to a user already"
        self.touch(user)
        del self.users[user.username]
        self.users[username] = user
        user.username = username

    def redirect(self, name: str, user: User, at: int) -> None:
        """Let an old name lead to the user."""
        assert name not in self.users, "a redirect is never also a username"
        self.drop_redirect(name)
        self.touch(user)
        user.redirects[name] = at
        self.redirects[name] = user
        self.journal.redirects[name] = None

    def drop_redirect(self, name: str) -> None:
        """Let an old name lead nowhere."""
        user = self.redirects.pop(name, None)
        if user is not None:
            self.touch(user)
            del user.redirects[name]
            self.journal.redirects[name] = None

    def keep(self, device: Device) -> None:
        """Say that a value of the device is about to change; it is known from now on."""
        self.devices[device.anonymous_id] = device
        self.journal.devices[device.anonymous_id] = None

    def note(self, device: Device) -> None:
        """Say that an applied call named the device, so that it is known from now on."""
        if device.anonymous_id not in self.devices:
            self.keep(device)

    def attach(self, device: Device, user: User) -> None:
        """Link a device to the user. Its former user loses it."""
        self.detach(device)
        self.touch(user)
        device.user = user
        user.devices[device.anonymous_id] = device

    def detach(self, device: Device) -> None:
        """Take a device from its user, if it has one."""
        self.keep(device)
        if device.user is not None:
            self.touch(device.user)
            del device.user.devices[device.anonymous_id]
            device.user = None

    def remove(self, user: User, *, into: User | None = None) -> None:
        """Remove a user without devices and redirects. ``into``: the user that they were merged into."""
        assert not user.devices, "devices go first"
        assert not user.redirects, "redirects go first"
        del self.users[user.username]
        self._drop_email(user)
        self.journal.remove(user, into)

    def forget_device(self, device: Device) -> None:
        """Remove a device."""
        self.detach(device)
        del self.devices[device.anonymous_id]

    def mark(self, digest: bytes, at: int) -> None:
        """Note a deletion, or a sign-out of somebody unknown."""
        at = max(at, self._marks.get(digest, at))
        self._marks[digest] = self.journal.marks[digest] = at
