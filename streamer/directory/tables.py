r"""The tables of the directory. `migrations/` creates and changes them; a test holds both to each other.

Names begin with ``directory_``, so that the database may be shared with other programs. Times are microseconds since
the epoch, UTC. Text is compared by code point, on both databases. Values of people are one JSON text (`rows.py`),
because PostgreSQL stores no ``\u0000`` in text, and its `jsonb` changes the order of keys.

Foreign keys are checked at the commit: within a slice, a user may be deleted before its devices go to another one.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

METADATA: Final = MetaData()

VERSION_TABLE: Final = "directory_version"
"""Where Alembic notes which migration was applied last."""

BY_CODE_POINT: Final = Text().with_variant(Text(collation="C"), "postgresql")
ROW_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")


def _to_user() -> ForeignKey:
    return ForeignKey("directory_users.id", deferrable=True, initially="DEFERRED")


COUNTERS: Final = Table(
    "directory_counters",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The last number given to a user and to a record of the outbox. One writer at a time raises them, so the numbers grow
in the order of commits; a sequence of PostgreSQL promises no order, and SQLite reuses a number after a deletion."""

USERS: Final = Table(
    "directory_users",
    METADATA,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("username", BY_CODE_POINT, nullable=False, unique=True),
    Column("email_key", BY_CODE_POINT),
    Column("person", Text),
    Column("named", BigInteger, nullable=False),
    Column("signed_out", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("directory_users_by_email", "email_key"),
)
"""``id`` outlives the name. ``email_key`` is the address as it is compared."""

DEVICES: Final = Table(
    "directory_devices",
    METADATA,
    Column("anonymous_id", BY_CODE_POINT, primary_key=True),
    Column("user_id", BigInteger, _to_user()),
    Column("since", BigInteger, nullable=False),
    Column("left_at", BigInteger, nullable=False),
    Column("person", Text),
    Column("last_named", BigInteger, nullable=False),
    Index("directory_devices_by_user", "user_id"),
    Index(
        "directory_devices_unlinked",
        "last_named",
        sqlite_where=text("user_id IS NULL"),
        postgresql_where=text("user_id IS NULL"),
    ),
)
"""``last_named`` is when a call named the device last, true to `store.NAMED_EVERY`."""

REDIRECTS: Final = Table(
    "directory_redirects",
    METADATA,
    Column("name", BY_CODE_POINT, primary_key=True),
    Column("user_id", BigInteger, _to_user(), nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("directory_redirects_by_user", "user_id"),
)

MARKS: Final = Table(
    "directory_marks",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Index("directory_marks_by_age", "stored"),
)
"""``at`` is the time of the deletion, ``stored`` when it was applied."""

MESSAGES: Final = Table(
    "directory_messages",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Index("directory_messages_by_age", "applied"),
)

OUTBOX: Final = Table(
    "directory_outbox",
    METADATA,
    Column("number", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary),
    Column("headers", Text, nullable=False),
    Column("stored", BigInteger, nullable=False),
)
"""Records to publish, in the order of their numbers."""
