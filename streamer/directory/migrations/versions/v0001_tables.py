"""The first tables."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_NAME: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_UNLINKED: Final = sa.text("user_id IS NULL")


def upgrade() -> None:
    """Create everything."""
    counters = op.create_table(
        "directory_counters",
        sa.Column("name", sa.Text, primary_key=True),
        _time("last"),
    )
    op.bulk_insert(counters, [{"name": "users", "last": 0}, {"name": "outbox", "last": 0}])
    _create_people()
    op.create_table(
        "directory_marks",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        _time("at"),
        _time("stored"),
    )
    op.create_index("directory_marks_by_age", "directory_marks", ["stored"])
    op.create_table(
        "directory_messages",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("outcome", sa.Text, nullable=False),
        _time("applied"),
    )
    op.create_index("directory_messages_by_age", "directory_messages", ["applied"])
    op.create_table(
        "directory_outbox",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.Text, nullable=False),
        _time("stored"),
    )


def downgrade() -> None:
    """Delete everything."""
    for name in ("outbox", "messages", "marks", "redirects", "devices", "users", "counters"):
        op.drop_table(f"directory_{name}")


def _create_people() -> None:
    op.create_table(
        "directory_users",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("username", _NAME, nullable=False, unique=True),
        sa.Column("email_key", _NAME),
        sa.Column("person", sa.Text),
        *map(_time, ("named", "signed_out", "changed", "revision")),
    )
    op.create_index("directory_users_by_email", "directory_users", ["email_key"])
    op.create_table(
        "directory_devices",
        sa.Column("anonymous_id", _NAME, primary_key=True),
        sa.Column("user_id", sa.BigInteger, _to_user()),
        *map(_time, ("since", "left_at")),
        sa.Column("person", sa.Text),
        _time("last_named"),
    )
    op.create_index("directory_devices_by_user", "directory_devices", ["user_id"])
    op.create_index(
        "directory_devices_unlinked",
        "directory_devices",
        ["last_named"],
        sqlite_where=_UNLINKED,
        postgresql_where=_UNLINKED,
    )
    op.create_table(
        "directory_redirects",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("user_id", sa.BigInteger, _to_user(), nullable=False),
        _time("at"),
    )
    op.create_index("directory_redirects_by_user", "directory_redirects", ["user_id"])


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _to_user() -> sa.ForeignKey:
    return sa.ForeignKey("directory_users.id", deferrable=True, initially="DEFERRED")
