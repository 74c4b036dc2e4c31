"""Rows of the tables from and to what the rules work with. Both databases return the same types."""

from typing import Any, Final

import orjson

from streamer.core.inbound.directory import Device, Outgoing, Person, User, Value
from streamer.core.inbound.email import compared

_NAMES: Final = ("email", "firstname", "lastname")


def person_to_text(person: Person) -> str | None:
    """One JSON text, the times beside the values; None: nothing is known."""
    parts: dict[str, Any] = {}
    for name in _NAMES:
        value: Value | None = getattr(person, name)
        if value is not None:
            parts[name] = tuple(value)
    if person.attributes:
        parts["attributes"] = {name: tuple(value) for name, value in person.attributes.items()}
    return orjson.dumps(parts).decode() if parts else None


def person_from_text(text: str | None) -> Person:
    """The reverse of `person_to_text`."""
    if text is None:
        return Person()
    parts = orjson.loads(text)
    attributes = parts.pop("attributes", {})
    return Person(
        attributes={name: Value(*value) for name, value in attributes.items()},
        **{name: Value(*value) for name, value in parts.items()},
    )


def user_from_row(row: Any) -> User:
    """Without its devices and redirects."""
    return User(
        username=row.username,
        row=row.id,
        person=person_from_text(row.person),
        named=row.named,
        signed_out=row.signed_out,
        changed=row.changed,
        revision=row.revision,
    )


def user_to_row(user: User) -> dict[str, Any]:
    """All columns but the row number."""
    email = user.person.email
    return {
        "username": user.username,
        "email_key": None if email is None else compared(str(email.value)),
        "person": person_to_text(user.person),
        "named": user.named,
        "signed_out": user.signed_out,
        "changed": user.changed,
        "revision": user.revision,
    }


def device_from_row(row: Any, user: User | None) -> Device:
    """A device, not yet noted at its user."""
    return Device(
        anonymous_id=row.anonymous_id,
        user=user,
        since=row.since,
        left=row.left_at,
        person=person_from_text(row.person),
    )


def device_to_row(device: Device, now: int) -> dict[str, Any]:
    """All columns. Its user has a row number by now."""
    return {
        "anonymous_id": device.anonymous_id,
        "user_id": None if device.user is None else device.user.row,
        "since": device.since,
        "left_at": device.left,
        "person": person_to_text(device.person),
        "last_named": now,
    }


def outgoing_to_row(number: int, record: Outgoing, now: int) -> dict[str, Any]:
    """All columns."""
    return {
        "number": number,
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": orjson.dumps(record.headers).decode(),
        "stored": now,
    }


def outgoing_from_row(row: Any) -> Outgoing:
    """The reverse of `outgoing_to_row`."""
    headers = tuple((name, value) for name, value in orjson.loads(row.headers))
    return Outgoing(row.topic, row.key, row.value, headers)
