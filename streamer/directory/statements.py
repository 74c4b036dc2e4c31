"""The statements of the store, made once for each kind of database.

Each takes a list as one parameter, however many ids a slice names, so its text never changes and both databases prepare
it once: PostgreSQL takes arrays, SQLite takes a JSON text.
"""

from collections.abc import Collection
from typing import Any, Final

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Insert,
    LargeBinary,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from streamer.directory.tables import COUNTERS, DEVICES, MARKS, MESSAGES, OUTBOX, REDIRECTS, USERS

MAX_SAME_EMAIL: Final = 1_000
"""Most users of one e-mail address that a slice loads, those that changed last. A slice has fewer calls, so the users
that the rules choose among are always there."""


class Statements:
    """The statements, for SQLite or PostgreSQL."""

    def __init__(self, *, is_sqlite: bool) -> None:
        self._is_sqlite = is_sqlite
        among = self.among
        self.messages: Final = select(MESSAGES.c.digest, MESSAGES.c.outcome).where(among(MESSAGES.c.digest, "digests"))
        self.marks: Final = select(MARKS.c.digest, MARKS.c.at).where(among(MARKS.c.digest, "digests"))
        self.users: Final = self._users()
        self.devices: Final = union_all(
            select(DEVICES).where(among(DEVICES.c.anonymous_id, "devices")),
            select(DEVICES).where(among(DEVICES.c.user_id, "users")),
        )
        self.users_of_devices: Final = (
            select(DEVICES.c.anonymous_id, USERS.c.username)
            .join(USERS, USERS.c.id == DEVICES.c.user_id)
            .where(among(DEVICES.c.anonymous_id, "devices"))
        )
        self.redirects: Final = select(REDIRECTS).where(among(REDIRECTS.c.user_id, "users"))

        self.take_numbers: Final = (
            update(COUNTERS)
            .where(COUNTERS.c.name == bindparam("counter", type_=Text()))
            .values(last=COUNTERS.c.last + bindparam("count", type_=BigInteger()))
            .returning(COUNTERS.c.last)
        )
        self.delete_users: Final = delete(USERS).where(among(USERS.c.id, "users"))
        # Names may be swapped in one slice, so they are freed first. No name has a control character.
        self.free_names: Final = (
            update(USERS).where(among(USERS.c.id, "users")).values(username=literal("\x01") + cast(USERS.c.id, Text))
        )
        self.insert_users: Final = insert(USERS)
        self.update_users: Final = update(USERS).where(USERS.c.id == bindparam("row"))
        self.delete_devices: Final = delete(DEVICES).where(among(DEVICES.c.anonymous_id, "devices"))
        self.put_devices: Final = self._put(DEVICES, DEVICES.c.anonymous_id)
        self.name_devices: Final = (
            update(DEVICES)
            .where(among(DEVICES.c.anonymous_id, "devices"))
            .values(last_named=bindparam("now", type_=BigInteger()))
        )
        self.delete_redirects: Final = delete(REDIRECTS).where(among(REDIRECTS.c.name, "names"))
        self.put_redirects: Final = self._put(REDIRECTS, REDIRECTS.c.name)
        self.put_marks: Final = self._put_marks()
        self.insert_messages: Final = insert(MESSAGES)
        self.insert_outbox: Final = insert(OUTBOX)
        self.delete_outbox: Final = delete(OUTBOX).where(among(OUTBOX.c.number, "numbers"))

    def listed(self, values: Collection[Any]) -> Any:
        """The value of a list parameter, as the database takes it."""
        if not self._is_sqlite:
            return list(values)
        return orjson.dumps([value.hex() if isinstance(value, bytes) else value for value in values]).decode()

    def among(self, column: Column[Any], parameter: str) -> ColumnElement[bool]:
        """Whether the column has one of the values of the list parameter."""
        if not self._is_sqlite:
            return column == any_(bindparam(parameter, type_=ARRAY(column.type)))
        value: ColumnElement[Any] = func.json_each(bindparam(parameter, type_=Text())).table_valued("value").c.value
        if isinstance(column.type, LargeBinary):
            return column.in_(select(func.bytes_from_hex(value)))
        return column.in_(select(value))

    def _users(self) -> Select[Any]:
        """All that the calls may look at, found by any of their ids."""
        place = func.row_number().over(
            partition_by=USERS.c.email_key, order_by=(USERS.c.changed.desc(), USERS.c.username)
        )
        of_email = (
            select(USERS.c.id, place.label("place")).where(self.among(USERS.c.email_key, "emails")).subquery("of_email")
        )
        rows = union(
            select(USERS.c.id).where(self.among(USERS.c.username, "names")),
            select(REDIRECTS.c.user_id).where(self.among(REDIRECTS.c.name, "names")),
            select(DEVICES.c.user_id).where(self.among(DEVICES.c.anonymous_id, "devices")),
            select(of_email.c.id).where(of_email.c.place <= MAX_SAME_EMAIL),
        )
        return select(USERS).where(USERS.c.id.in_(rows))

    def _put(self, table: Table, key: Column[Any]) -> Insert:
        """Insert a row, or replace the one with its key."""
        adding = sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)
        replaced = {column.name: adding.excluded[column.name] for column in table.c if column is not key}
        return adding.on_conflict_do_update(index_elements=[key], set_=replaced)

    def _put_marks(self) -> Insert:
        """Insert a mark, or make it newer. One that is there may not have been loaded: that of a device of the user."""
        adding = sqlite.insert(MARKS) if self._is_sqlite else postgresql.insert(MARKS)
        larger = func.max if self._is_sqlite else func.greatest
        latest = {name: larger(MARKS.c[name], adding.excluded[name]) for name in ("at", "stored")}
        return adding.on_conflict_do_update(index_elements=[MARKS.c.digest], set_=latest)


STATEMENTS: Final = {is_sqlite: Statements(is_sqlite=is_sqlite) for is_sqlite in (True, False)}
"""Whether it is SQLite -> the statements."""
