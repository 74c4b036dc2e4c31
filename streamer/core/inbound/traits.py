"""Traits of a person -> e-mail, names and flat attributes. What cannot be used is left out, value by value."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import orjson

from streamer.core.inbound import email
from streamer.core.inbound.call import REMOVE, Remark, Traits
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.text import has_control
from streamer.core.model import Json

MAX_NAME_CHARACTERS: Final = 128
"""Longest name of an attribute."""

_EMAIL: Final = "email"
_FIRSTNAME: Final = ("firstname", "firstName", "first_name")
_LASTNAME: Final = ("lastname", "lastName", "last_name")
_PERSON: Final = frozenset({_EMAIL, *_FIRSTNAME, *_LASTNAME})
"""Traits that are no attributes."""

_GROUP: Final = "group."
_GROUP_ID: Final = "group.id"
_RESERVED: Final = "!"
"""How the names begin that Sprig keeps for itself."""
_JAVASCRIPT: Final = frozenset({"__proto__", "constructor", "prototype"})
"""Names that would change an object of JavaScript, which reads our records too."""

_SCALARS: Final = frozenset({str, int, float, bool})
_MOST_BYTES_OF_A_CHARACTER: Final = 6
"""Of its JSON: an escaped control character."""


class Read(NamedTuple):
    """Traits with what was found out while they were read."""

    traits: Traits
    remarks: list[Remark]


def of_identify(traits: Mapping[str, Json], context_traits: Mapping[str, Json], rules: Rules) -> Read:
    """What an identify call says about a person; its ``context.traits`` are only asked for an e-mail address."""
    remarks: list[Remark] = []
    address = _email((traits.get(_EMAIL), context_traits.get(_EMAIL)), remarks)
    firstname = _name([traits[key] for key in _FIRSTNAME if key in traits], rules, remarks)
    lastname = _name([traits[key] for key in _LASTNAME if key in traits], rules, remarks)
    others = {key: value for key, value in traits.items() if key not in _PERSON}
    attributes = _attributes(others, "", rules, remarks)
    return Read(Traits(email=address, firstname=firstname, lastname=lastname, attributes=attributes), remarks)


def of_track(context_traits: Mapping[str, Json]) -> Read:
    """What a track call says about a person: an e-mail address, which finds or names somebody."""
    remarks: list[Remark] = []
    return Read(Traits(email=_email((context_traits.get(_EMAIL),), remarks)), remarks)


def of_group(group_id: str | None, traits: Mapping[str, Json], rules: Rules) -> Read:
    """What a group call writes: attributes that begin with ``group.``. Its e-mail address is no person's."""
    remarks: list[Remark] = []
    attributes = _attributes(traits, _GROUP, rules, remarks)
    if group_id is not None:
        attributes = {_GROUP_ID: group_id, **attributes} | {_GROUP_ID: group_id}
    return Read(Traits(attributes=attributes), remarks)


def _email(values: Iterable[Json], remarks: list[Remark]) -> str | None:
    """The first usable address."""
    for value in values:
        address = email.stored(value) if isinstance(value, str) else None
        if value is None or address == "":
            continue
        if address is not None and email.is_usable(address):
            return address
        remarks.append(Remark.ATTRIBUTE_VALUE)
    return None


def _name(values: list[Json], rules: Rules, remarks: list[Remark]) -> Json:
    """The first text of the spellings of a name that a call has."""
    texts = [value for value in values if isinstance(value, str)]
    unusable = sum(value is not None for value in values) - len(texts)
    remarks.extend([Remark.ATTRIBUTE_VALUE] * unusable)
    if not texts:
        return REMOVE if rules.remove_nulls and None in values else None
    if _is_small(texts[0], rules.max_value_bytes):
        return texts[0]
    remarks.append(Remark.ATTRIBUTE_VALUE)
    return None


def _attributes(traits: Mapping[str, Json], prefix: str, rules: Rules, remarks: list[Remark]) -> dict[str, Json]:
    """Flat names and values in document order; of two with the same name the last counts."""
    attributes: dict[str, Json] = {}
    for name, value in _flat(traits, prefix):
        if value is None and not rules.remove_nulls:
            continue
        if not is_attribute_name(name):
            remarks.append(Remark.ATTRIBUTE_NAME)
        elif value is None:
            attributes[name] = REMOVE
        elif is_attribute_value(value, rules.max_value_bytes):
            attributes[name] = value
        else:
            remarks.append(Remark.ATTRIBUTE_VALUE)
    return attributes


def _flat(part: Mapping[str, Json], prefix: str) -> Iterator[tuple[str, Json]]:
    """Every value that is no object, with the names on the way to it. The document's depth is bounded by `reading`."""
    for key, value in part.items():
        # A name that is too long already need not grow: each of 50,000 values would copy it.
        is_long = len(prefix) > MAX_NAME_CHARACTERS
        name = prefix if is_long else f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, prefix if is_long else f"{name}.")
        else:
            yield name, value


def is_attribute_name(name: str) -> bool:
    """Whether an attribute may have this name."""
    return (
        0 < len(name) <= MAX_NAME_CHARACTERS
        and not name.startswith(_RESERVED)
        and not has_control(name)
        and _JAVASCRIPT.isdisjoint(name.split("."))
    )


def is_attribute_value(value: Json, max_bytes: int) -> bool:
    """Whether a value that is neither null nor an object may be an attribute's."""
    if type(value) is list and not _SCALARS.issuperset(map(type, value)):
        return False
    return _is_small(value, max_bytes)


def _is_small(value: Json, max_bytes: int) -> bool:
    if isinstance(value, str) and len(value) * _MOST_BYTES_OF_A_CHARACTER + 2 <= max_bytes:
        return True
    return len(orjson.dumps(value)) <= max_bytes
