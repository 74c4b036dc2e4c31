"""Forgets what need not be remembered: messageIds, deletion marks, and devices of nobody that were not named for long.

It deletes in small transactions, with a pause as long as each took, so calls hardly wait for it.
"""

import asyncio
import time
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, bindparam, delete, select

from streamer.directory.database import Database
from streamer.directory.tables import DEVICES, MARKS, MESSAGES

BATCH_ROWS: Final = 1_000
"""Most rows that are deleted in one transaction."""


class Forgotten(NamedTuple):
    """How many were deleted."""

    messages: int
    marks: int
    devices: int


async def forget(database: Database, now: int, *, remember: float, forget_devices: float) -> Forgotten:
    """Delete everything that is too old.

    Args:
        database: of the directory.
        now: microseconds since the epoch.
        remember: how many seconds messageIds and deletion marks are kept.
        forget_devices: how many seconds devices without user are kept after they were named last.

    Raises:
        DirectoryUnavailableError: the database is away. What was deleted before stays deleted.
    """
    oldest = now - round(remember * 1_000_000)
    return Forgotten(
        messages=await _delete(database, _MESSAGES, oldest),
        marks=await _delete(database, _MARKS, oldest),
        devices=await _delete(database, _UNLINKED_DEVICES, now - round(forget_devices * 1_000_000)),
    )


async def _delete(database: Database, statement: Any, oldest: int) -> int:
    deleted = 0
    while True:
        begun = time.monotonic()
        async with database.writing() as connection:
            rows = (await connection.execute(statement, {"oldest": oldest, "count": BATCH_ROWS})).rowcount
        deleted += rows
        if rows < BATCH_ROWS:
            return deleted
        await asyncio.sleep(time.monotonic() - begun)


def _oldest(key: Column[Any], age: Column[Any], *conditions: Any) -> Any:
    some = select(key).where(age < bindparam("oldest"), *conditions).limit(bindparam("count"))
    return delete(key.table).where(key.in_(some))


_MESSAGES: Final = _oldest(MESSAGES.c.digest, MESSAGES.c.applied)
_MARKS: Final = _oldest(MARKS.c.digest, MARKS.c.stored)
_UNLINKED_DEVICES: Final = _oldest(DEVICES.c.anonymous_id, DEVICES.c.last_named, DEVICES.c.user_id.is_(None))
