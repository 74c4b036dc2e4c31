"""The records on the profiles topic: the last profile of each changed user, and tombstones of names that are gone."""

from collections.abc import Iterator
from typing import Final

from streamer.core.inbound import lines
from streamer.core.inbound.directory import Outgoing, User
from streamer.core.inbound.journal import Journal
from streamer.core.inbound.rules import Rules
from streamer.core.records.own_headers import CHANGE, SCHEMA, SUCCESSOR

PROFILE_SCHEMA: Final = "profile.1"


def records(journal: Journal, rules: Rules) -> Iterator[Outgoing]:
    """The records of a slice, in the order in which they are to be published.

    Readers learn of a new name before the old one goes. A name that somebody else has taken in the same slice is free
    first: revisions start again after a tombstone, and only after one.
    """
    deleted: list[Outgoing] = []
    followed: dict[str, Outgoing] = {}
    for name, user in journal.users_before.items():
        heir = journal.heir_of(user)
        if heir is None:
            deleted.append(_tombstone(name, "deleted", None, rules))
        elif heir is not user or user.username != name:
            change = "renamed" if heir is user else "merged"
            followed[name] = _tombstone(name, change, heir.username, rules)
    yield from deleted
    yield from (_profile(user, journal, rules) for user in journal.profiles if user.username not in followed)
    yield from followed.values()
    yield from (_profile(user, journal, rules) for user in journal.profiles if user.username in followed)


def _profile(user: User, journal: Journal, rules: Rules) -> Outgoing:
    value = lines.profile_value(user, rules.environment)
    return Outgoing(rules.profiles_topic, user.username, value, _headers(_change_of(user, journal)))


def _change_of(user: User, journal: Journal) -> str:
    if user in journal.created:
        return "created"
    if journal.users_before.get(user.username) is not user:
        return "renamed"
    return "merged" if user in journal.merged else "updated"


def _tombstone(name: str, change: str, successor: str | None, rules: Rules) -> Outgoing:
    headers = _headers(change)
    if successor is not None:
        headers += ((SUCCESSOR, successor),)
    return Outgoing(rules.profiles_topic, name, None, headers)


def _headers(change: str) -> tuple[tuple[str, str], ...]:
    return ((SCHEMA, PROFILE_SCHEMA), (CHANGE, change))
