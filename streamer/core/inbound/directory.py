"""The directory as the rules see it: users, devices, redirects and marks, with the times that decide.

`View` holds the part of the directory that a slice of calls concerns, and follows the calls that are applied to it. The
shell loads it with a fixed number of statements (`streamer.directory`), and stores what `View.changes` returns.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.core.inbound.call import OLDEST
from streamer.core.model import Json


class Value(NamedTuple):
    """A value with the time of the call that set it, in microseconds since the epoch."""

    value: Json
    at: int


@dataclass(slots=True, eq=False)
class Person:
    """What is known of somebody: a user's, or of a device that has no user yet."""

    email: Value | None = None
    firstname: Value | None = None
    lastname: Value | None = None
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Device:
    """An anonymousId that an applied call named."""

    anonymous_id: str
    user: "User | None" = None
    since: int = OLDEST
    """Time of the last link or sign-out."""
    left: int = OLDEST
    """Time at which its user signed out of all devices. A new link or sign-out of the device resets it."""
    person: Person = field(default_factory=Person)
    """Only while it has no user."""


@dataclass(slots=True, eq=False)
class User:
    """A user of the survey platform."""

    username: str
    row: int | None = None
    """Its number in the database, which outlives its name; None: it is not stored yet."""
    person: Person = field(default_factory=Person)
    named: int = OLDEST
    """Time of the alias that gave the name."""
    signed_out: int = OLDEST
    """Time of the last sign-out of all devices."""
    changed: int = OLDEST
    revision: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    """By anonymousId."""
    redirects: dict[str, int] = field(default_factory=dict)
    """Old names that lead here, with their times."""


class Concern(NamedTuple):
    """What of the directory a slice of calls may look at. The shell loads all of it, and what belongs to it."""

    names: frozenset[str]
    """userIds and previousIds: usernames or redirects."""
    devices: frozenset[str]
    """anonymousIds and previousIds."""
    emails: frozenset[str]
    """As compared, see `streamer.core.inbound.email`."""
    marks: frozenset[bytes]
    """Digests of names and devices that may have been deleted, and of names that may have signed out unknown."""
    messages: frozenset[bytes]
    """Digests of messageIds."""


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: str
    value: bytes | None
    """None: a tombstone."""
    headers: tuple[tuple[str, str], ...]


class Changes(NamedTuple):
    """What a slice of calls changes. Applied in one transaction, in this order."""

    gone_users: list[int]
    """Row numbers. Their redirects and devices are moved or gone in the same changes."""
    users: list[User]
    """New ones (without a row number) and changed ones."""
    gone_devices: list[str]
    devices: list[Device]
    gone_redirects: list[str]
    redirects: list[tuple[str, User, int]]
    """Old name, user, time."""
    marks: dict[bytes, int]
    """Digest -> time."""
    messages: dict[bytes, str]
    """Digest of the messageId -> outcome."""
    outgoing: list[Outgoing]
    """In the order in which they are to be published."""
