"""What an operator asks about single persons: who somebody is, what is known of them, and that they are forgotten."""

import time
import uuid

from streamer.core.inbound.call import Action, Applied, Call
from streamer.core.inbound.concern import concern as concern_of
from streamer.core.inbound.directory import Concern, Device, User
from streamer.core.inbound.email import compared
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.times import text_of
from streamer.core.inbound.view import View
from streamer.directory.store import Directory
from streamer.logs import Event, logger


async def find(
    directory: Directory, *, email: str | None = None, user_id: str | None = None, anonymous_id: str | None = None
) -> tuple[list[User], list[Device]]:
    """The users with an e-mail address, userId (their name or an old one) or device, and devices without a user.

    Raises:
        DirectoryUnavailableError: the database is away.
    """
    what = Concern(
        names=frozenset() if user_id is None else frozenset([user_id]),
        devices=frozenset() if anonymous_id is None else frozenset([anonymous_id]),
        emails=frozenset() if email is None else frozenset([compared(email)]),
        marks=frozenset(),
        messages=frozenset(),
    )
    async with directory.snapshot() as reader:
        loaded = await reader.load(what)
    unlinked = [device for device in loaded.devices if device.user is None]
    return sorted(loaded.users, key=lambda user: user.username), unlinked


async def forget(directory: Directory, username: str, rules: Rules) -> Applied:
    """Delete a user as a delete call of now does: with devices, redirects, marks, and a tombstone to publish.

    Raises:
        DirectoryUnavailableError: the database is away.
    """
    now = time.time_ns() // 1_000
    call = Call(
        action=Action.DELETE_USER,
        message_id=f"forget_{uuid.uuid4().hex}",
        at=now,
        received=text_of(now),
        user_id=username,
        type_label="delete",
    )
    async with directory.transaction() as transaction:
        loaded = await transaction.load(concern_of([call], rules))
        view = View(loaded.users, loaded.devices, loaded.marks, loaded.messages, rules)
        applied = view.apply(call)
        await transaction.save(view.changes(), now)
    if applied.reason is None:
        logger().emit(Event.USER_FORGOTTEN)
    return applied
