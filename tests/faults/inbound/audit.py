"""What a directory's database was told to store, noted by triggers of the database itself.

The service deletes what it has published, and forgets old messageIds. So the end of a run does not show whether
something was stored twice. These notes do, and nothing of streamer writes or reads them.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.faults.inbound.oracle import Stored

SQLITE_PREFIX: Final = "sqlite:///"
WAIT_SECONDS: Final = 30.0

_TABLES: Final = """
CREATE TABLE audit_messages (place {place} PRIMARY KEY, digest {bytes});
CREATE TABLE audit_outbox (number BIGINT, topic TEXT, key TEXT, value {bytes});
"""
_SQLITE: Final = (
    _TABLES.format(place="INTEGER", bytes="BLOB")
    + """
CREATE TRIGGER audit_messages AFTER INSERT ON directory_messages
    BEGIN INSERT INTO audit_messages (digest) VALUES (new.digest); END;
CREATE TRIGGER audit_outbox AFTER INSERT ON directory_outbox
    BEGIN INSERT INTO audit_outbox VALUES (new.number, new.topic, new.key, new.value); END;
"""
)
_POSTGRESQL: Final = (
    _TABLES.format(place="BIGSERIAL", bytes="BYTEA")
    + """
CREATE FUNCTION audit_message() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO audit_messages (digest) VALUES (new.digest); RETURN NULL; END $$;
CREATE FUNCTION audit_record() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO audit_outbox VALUES (new.number, new.topic, new.key, new.value); RETURN NULL; END $$;
CREATE TRIGGER audit_messages AFTER INSERT ON directory_messages FOR EACH ROW EXECUTE FUNCTION audit_message();
CREATE TRIGGER audit_outbox AFTER INSERT ON directory_outbox FOR EACH ROW EXECUTE FUNCTION audit_record();
"""
)


class Database:
    """A directory's database, as somebody beside streamer sees it."""

    def __init__(self, url: str) -> None:
        """Take its address, as in the configuration."""
        self.url = url

    @property
    def file(self) -> Path | None:
        """None: it is not SQLite."""
        return Path(self.url.removeprefix(SQLITE_PREFIX)) if self.url.startswith(SQLITE_PREFIX) else None

    async def audit(self) -> None:
        """Note from now on what is stored. The tables must be there."""
        await self.execute(_POSTGRESQL if self.file is None else _SQLITE)

    async def messages(self) -> list[bytes]:
        """Digests of messageIds in the order of storing, one for each time that one was stored."""
        return [digest for (digest,) in await self.select("SELECT digest FROM audit_messages ORDER BY place")]

    async def outbox(self) -> list[Stored]:
        """Every record that was ever stored in the outbox, by number."""
        rows = await self.select("SELECT number, topic, key, value FROM audit_outbox ORDER BY number")
        return [Stored(number, topic, key, value) for number, topic, key, value in rows]

    async def waiting(self) -> int:
        """Records that are in the outbox now."""
        [(number,)] = await self.select("SELECT count(*) FROM directory_outbox")
        return int(number)

    async def execute(self, statement: str) -> None:
        """Change something behind streamer's back."""
        if self.file is None:
            connection = await asyncpg.connect(self.url)
            await connection.execute(statement)
            await connection.close()
            return
        with sqlite3.connect(self.file, timeout=WAIT_SECONDS) as database:
            database.executescript(statement)
        database.close()

    async def select(self, statement: str) -> Sequence[Sequence[Any]]:
        """The rows that a statement finds."""
        if self.file is None:
            connection = await asyncpg.connect(self.url)
            rows = [tuple(row) for row in await connection.fetch(statement)]
            await connection.close()
            return rows
        database = sqlite3.connect(self.file, timeout=WAIT_SECONDS)
        try:
            return database.execute(statement).fetchall()
        finally:
            database.close()
