"""Advisory locks of PostgreSQL, and what to do about a holder that is frozen.

PostgreSQL ends a session that is idle for too long. One that froze in the middle of a statement is not idle: while the
client prepares a statement, the server waits for the rest of it, and none of its timeouts counts then. So whoever finds
a lock taken ends such a session.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def wait_for_lock(connection: AsyncConnection, key: int, *, frozen_after_seconds: float) -> None:
    """Take a lock that ends with the transaction; waits for its holder, at most ``lock_timeout``."""
    if (await connection.execute(_TRY, {"key": key})).scalar():
        return
    await end_frozen_holder(connection, key, frozen_after_seconds)
    await connection.execute(_WAIT, {"key": key})


async def try_lock(connection: AsyncConnection, key: int, *, idle_session_timeout: str) -> bool:
    """Take a lock that ends with the session, at once or not at all; with it the session gets its timeout.

    Versions of PostgreSQL before 14 have no such timeout; they keep the session of a frozen program.
    """
    taken = await connection.execute(_TRY_FOR_SESSION, {"key": key, "limit": idle_session_timeout})
    return bool(taken.scalar())


async def end_frozen_holder(connection: AsyncConnection, key: int, frozen_after_seconds: float) -> None:
    """End the session that has the lock if the server waits for the rest of its statement for so long."""
    await connection.execute(_END_FROZEN, {"key": key, "seconds": frozen_after_seconds})


_TRY: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_WAIT: Final = text("SELECT pg_advisory_xact_lock(:key)")
_TRY_FOR_SESSION: Final = text(
    "WITH taken AS MATERIALIZED (SELECT pg_try_advisory_lock(:key) AS is_taken)"
    " SELECT is_taken, (SELECT set_config(name, :limit, false) FROM pg_settings"
    " WHERE is_taken AND name = 'idle_session_timeout') FROM taken"
)
"""In one statement: a program can freeze between two."""
_END_FROZEN: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND datname = current_database()"
    " AND pg_locks.database = datid AND ((classid::bigint << 32) | objid::bigint) = :key"
    " AND state = 'active' AND wait_event = 'ClientRead'"
    " AND state_change < clock_timestamp() - make_interval(secs => :seconds)"
)
