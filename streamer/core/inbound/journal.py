"""What the calls of a slice changed."""

from collections.abc import Mapping
from typing import Final

from streamer.core.inbound import lines
from streamer.core.inbound.directory import User


class Journal:
    """Notes of everything that changed since the view was loaded.

    A user's profile goes out if its directory line changed during a call. So the line is kept as it was before the
    first change of a call, and compared when the call is closed.
    """

    def __init__(self, users: Mapping[str, User], redirects: Mapping[str, User], devices: Mapping[str, object]) -> None:
        self.users_before: Final = dict(users)
        """By the username that others know."""
        self.redirects_before: Final = frozenset(redirects)
        self.devices_before: Final = frozenset(devices)
        # Dictionaries without values are sets that keep the order, so that the same calls give the same changes.
        self.created: Final[dict[User, None]] = {}
        self.users: Final[dict[User, None]] = {}
        self.gone: Final[dict[User, User | None]] = {}
        """Users that are no more, with the user that they were merged into; None: deleted."""
        self.merged: Final[dict[User, None]] = {}
        """Users that others were merged into."""
        self.devices: Final[dict[str, None]] = {}
        self.redirects: Final[dict[str, None]] = {}
        self.marks: Final[dict[bytes, int]] = {}
        self.messages: Final[dict[bytes, str]] = {}
        self.profiles: Final[dict[User, None]] = {}
        """Users whose directory line changed."""
        self._open: Final[dict[User, bytes]] = {}
        """Users that the current call changes, with their lines before it."""
        self._lines: Final[dict[User, bytes]] = {}

    def touch(self, user: User) -> None:
        """Note that ``user`` is about to change."""
        if user not in self._open:
            line = self._lines.get(user)
            self._open[user] = lines.user_line(user) if line is None else line
            self.users[user] = None

    def create(self, user: User) -> None:
        """Note a new user."""
        self.created[user] = self.users[user] = None
        self._open[user] = b""

    def remove(self, user: User, into: User | None) -> None:
        """Note that a user is no more."""
        self.gone[user] = into
        if into is not None:
            self.merged[into] = None
        self._open.pop(user, None)
        self.users.pop(user, None)
        self.profiles.pop(user, None)

    def close_call(self, at: int) -> None:
        """The call with the time ``at`` is applied: users whose line it changed get their next revision."""
        for user, before in self._open.items():
            line = self._lines[user] = lines.user_line(user)
            if line != before:
                user.revision += 1
                user.changed = at
                self.profiles[user] = None
        self._open.clear()

    def heir_of(self, user: User) -> User | None:
        """Who a user has become: itself, or the one that it was merged into. None: deleted."""
        heir: User | None = user
        while heir is not None and heir in self.gone:
            heir = self.gone[heir]
        return heir
