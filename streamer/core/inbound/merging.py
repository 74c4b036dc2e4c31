"""Values: the newer one wins, gaps are filled, and nothing goes because a call lacks it."""

from collections.abc import Callable, Mapping
from typing import Literal

from streamer.core.inbound import email
from streamer.core.inbound.call import REMOVE, Remark, Traits
from streamer.core.inbound.directory import Person, Value
from streamer.core.inbound.rules import Rules
from streamer.core.model import Json


def write(person: Person, traits: Traits, at: int, rules: Rules, remarks: list[Remark]) -> int:
    """Write what a call with the time ``at`` says of a person. A stored value that is newer stays.

    Returns how many values were written, those that were there already included.
    """
    written = int(write_email(person, traits.email, at, remarks))
    if traits.firstname is not None:
        written += _write_name(person, "firstname", traits.firstname, at, remarks)
    if traits.lastname is not None:
        written += _write_name(person, "lastname", traits.lastname, at, remarks)
    return written + write_attributes(person, traits.attributes, at, rules, remarks)


def write_attributes(person: Person, values: Mapping[str, Json], at: int, rules: Rules, remarks: list[Remark]) -> int:
    """Write attributes alone. New ones beyond the limit are left out, in the order of ``values``."""
    written = 0
    attributes = person.attributes
    for name, value in values.items():
        stored = attributes.get(name)
        if stored is not None and stored.at > at:
            remarks.append(Remark.VALUE_STALE)
        elif value is REMOVE:
            written += attributes.pop(name, None) is not None
        elif stored is None and len(attributes) >= rules.max_attributes:
            remarks.append(Remark.ATTRIBUTE_LIMIT)
        else:
            attributes[name] = Value(value, at)
            written += 1
    return written


def write_email(person: Person, address: str | None, at: int, remarks: list[Remark]) -> bool:
    """Write an e-mail address; whether it was written. One that compares equal keeps its stored spelling."""
    if address is None:
        return False
    stored = person.email
    if stored is not None:
        if stored.at > at:
            remarks.append(Remark.VALUE_STALE)
            return False
        if email.compared(stored.value) == email.compared(address):
            address = stored.value
    person.email = Value(address, at)
    return True


def fill_gaps(person: Person, source: Person, rules: Rules, remarks: list[Remark]) -> None:
    """Give a person what they lack and ``source`` has, attributes in the order of their names."""
    person.email = person.email or source.email
    person.firstname = person.firstname or source.firstname
    person.lastname = person.lastname or source.lastname
    attributes = person.attributes
    for name, value in sorted(source.attributes.items()):
        if name in attributes:
            continue
        if len(attributes) >= rules.max_attributes:
            remarks.append(Remark.ATTRIBUTE_LIMIT)
        else:
            attributes[name] = value


def split(person: Person, until: int) -> tuple[Person, Person]:
    """The values that were set up to a time, and the later ones."""
    return _only(person, lambda value: value.at <= until), _only(person, lambda value: value.at > until)


def is_blank(person: Person) -> bool:
    """Whether nothing is known of a person."""
    return not (person.attributes or person.email or person.firstname or person.lastname)


def _only(person: Person, matches: Callable[[Value], bool]) -> Person:
    def kept(value: Value | None) -> Value | None:
        return value if value is not None and matches(value) else None

    return Person(
        kept(person.email),
        kept(person.firstname),
        kept(person.lastname),
        {name: value for name, value in person.attributes.items() if matches(value)},
    )


def _write_name(
    person: Person, name: Literal["firstname", "lastname"], value: Json, at: int, remarks: list[Remark]
) -> bool:
    stored: Value | None = getattr(person, name)
    if stored is not None and stored.at > at:
        remarks.append(Remark.VALUE_STALE)
        return False
    setattr(person, name, None if value is REMOVE else Value(value, at))
    return stored is not None or value is not REMOVE
