"""Short ways to say what a slice concerns and changes."""

from collections.abc import Iterable

from streamer.core.inbound.directory import Changes, Concern, Device, Outgoing, User
from streamer.directory.store import Directory, Loaded

NOW = 1_700_000_000_000_000


def concern(
    *,
    names: Iterable[str] = (),
    devices: Iterable[str] = (),
    emails: Iterable[str] = (),
    marks: Iterable[bytes] = (),
    messages: Iterable[bytes] = (),
) -> Concern:
    return Concern(*map(frozenset, (names, devices, emails, marks, messages)))  # type: ignore[arg-type]


def changes(
    *,
    gone_users: Iterable[int] = (),
    users: Iterable[User] = (),
    gone_devices: Iterable[str] = (),
    devices: Iterable[Device] = (),
    gone_redirects: Iterable[str] = (),
    redirects: Iterable[tuple[str, User, int]] = (),
    marks: dict[bytes, int] | None = None,
    messages: dict[bytes, str] | None = None,
    outgoing: Iterable[Outgoing] = (),
) -> Changes:
    return Changes(
        list(gone_users),
        list(users),
        list(gone_devices),
        list(devices),
        list(gone_redirects),
        list(redirects),
        marks or {},
        messages or {},
        list(outgoing),
    )


def record(key: str, value: bytes | None = b"{}") -> Outgoing:
    return Outgoing("surveys.profiles", key, value, (("streamer.schema", "profile.1"),))


async def load(directory: Directory, what: Concern) -> Loaded:
    async with directory.transaction() as transaction:
        return await transaction.load(what)


async def save(directory: Directory, what: Changes, *, loaded: Concern | None = None, now: int = NOW) -> None:
    async with directory.transaction() as transaction:
        await transaction.load(concern() if loaded is None else loaded)
        await transaction.save(what, now)


async def load_users(directory: Directory, *names: str) -> dict[str, User]:
    return {user.username: user for user in (await load(directory, concern(names=names))).users}
