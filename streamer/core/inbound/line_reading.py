"""Directory lines -> users and devices, checked. Errors name the key, never a value."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import orjson

from streamer.core.inbound import email
from streamer.core.inbound.call import OLDEST
from streamer.core.inbound.directory import Device, Person, User, Value
from streamer.core.inbound.fields import MAX_CHARACTERS
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.text import has_control, is_absent
from streamer.core.inbound.times import microseconds
from streamer.core.inbound.traits import is_attribute_name, is_attribute_value
from streamer.core.model import Json

_PERSON: Final = frozenset({"email", "firstname", "lastname", "attributes"})
_USER: Final = _PERSON | {"username", "anonymousIds", "redirects", "times"}
_USER_TIMES: Final = _PERSON | {"anonymousIds", "redirects", "named", "signedOut", "changed", "revision"}
_DEVICE: Final = _PERSON | {"anonymousId", "times"}
_DEVICE_TIMES: Final = _PERSON | {"since", "left"}


class LineError(ValueError):
    """A directory line breaks a rule. The text names the key, and quotes nothing of the line."""


def read(line: bytes, rules: Rules) -> User | Device:
    """The user, or the device without a user, that a directory line describes. It is not stored yet.

    Values without a time are older than any call.

    Raises:
        LineError: the line is no JSON object, has an unknown key or lacks one, or a value is not what it should be.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise LineError("the line is not one JSON document in UTF-8") from None  # theirs quotes it
    members = _object(document, "the line")
    times = _object(members.get("times"), "times")
    if "username" in members:
        _check_keys(members, _USER, "")
        _check_keys(times, _USER_TIMES, "times.")
        return _user(members, times, rules)
    if "anonymousId" not in members:
        raise LineError("username is missing, and so is anonymousId; expected one of them")
    if "attributes" not in members:
        raise LineError("attributes is missing; expected an object")
    _check_keys(members, _DEVICE, "")
    _check_keys(times, _DEVICE_TIMES, "times.")
    device = Device(_id(members["anonymousId"], "anonymousId"), person=_person(members, times, rules))
    _set_link(device, times, "times")
    return device


def _user(members: Mapping[str, Json], times: Mapping[str, Json], rules: Rules) -> User:
    username = _id(members["username"], "username")
    revision = times.get("revision", 0)
    if type(revision) is not int or revision < 0:
        raise LineError("times.revision is not a whole number from 0")
    user = User(
        username,
        person=_person(members, times, rules),
        named=_time(times.get("named"), "times.named"),
        signed_out=_time(times.get("signedOut"), "times.signedOut"),
        changed=_time(times.get("changed"), "times.changed"),
        revision=revision,
    )
    linked = _object(times.get("anonymousIds"), "times.anonymousIds")
    for anonymous_id in _ids(members, "anonymousIds"):
        device = user.devices[anonymous_id] = Device(anonymous_id, user)
        link = _object(linked.get(anonymous_id), "times.anonymousIds.*")
        _check_keys(link, ("since", "left"), "times.anonymousIds.*.")
        _set_link(device, link, "times.anonymousIds.*")
    named = _object(times.get("redirects"), "times.redirects")
    for name in _ids(members, "redirects"):
        user.redirects[name] = _time(named.get(name), "times.redirects.*")
    if username in user.redirects:
        raise LineError("redirects holds the username itself")
    return user


def _person(members: Mapping[str, Json], times: Mapping[str, Json], rules: Rules) -> Person:
    def value(name: str, check: Callable[[Json, str], Json]) -> Value | None:
        checked = None if members.get(name) is None else check(members[name], name)
        return None if checked is None else Value(checked, _time(times.get(name), f"times.{name}"))

    set_at = _object(times.get("attributes"), "times.attributes")
    attributes = {
        name: Value(_attribute(name, attribute, rules), _time(set_at.get(name), "times.attributes.*"))
        for name, attribute in _object(members.get("attributes"), "attributes").items()
    }
    return Person(value("email", _email), value("firstname", _text), value("lastname", _text), attributes)


def _set_link(device: Device, times: Mapping[str, Json], path: str) -> None:
    device.since = _time(times.get("since"), f"{path}.since")
    device.left = _time(times.get("left"), f"{path}.left")


def _check_keys(members: Mapping[str, Json], known: Collection[str], path: str) -> None:
    if not members.keys() <= set(known):
        raise LineError(f"a key is unknown; expected {', '.join(path + key for key in sorted(known))}")


def _object(document: Json, path: str) -> Mapping[str, Json]:
    if document is None and path != "the line":
        return {}
    if not isinstance(document, dict):
        raise LineError(f"{path} is not an object")
    return document


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str):
        raise LineError(f"{path} is not a string")
    return value


def _id(value: Json, path: str) -> str:
    text = _text(value, path)
    if is_absent(text) or len(text) > MAX_CHARACTERS:
        raise LineError(f"{path} is blank, or longer than {MAX_CHARACTERS} characters")
    if has_control(text):
        raise LineError(f"{path} has control characters")
    return text


def _ids(members: Mapping[str, Json], path: str) -> list[str]:
    ids = members.get(path)
    if ids is None:
        return []
    if not isinstance(ids, list):
        raise LineError(f"{path} is not a list")
    return [_id(value, f"{path}[{number}]") for number, value in enumerate(ids)]


def _email(value: Json, path: str) -> str | None:
    address = email.stored(_text(value, path))
    if not email.is_usable(address):
        raise LineError(f"{path} is longer than {email.MAX_CHARACTERS} characters, or has control characters")
    return address or None


def _attribute(name: str, value: Json, rules: Rules) -> Json:
    if not is_attribute_name(name):
        raise LineError("attributes has a name that no attribute may have")
    if value is None or isinstance(value, dict) or not is_attribute_value(value, rules.max_value_bytes):
        raise LineError(
            "attributes.* is neither a string, a number, true, false, nor a list of these, or its JSON text is longer "
            f"than {rules.max_value_bytes} bytes"
        )
    return value


def _time(text: Json, path: str) -> int:
    if text is None:
        return OLDEST
    at = microseconds(text)
    if at is None:
        raise LineError(f"{path} is no ISO 8601 time of the years 1 to 9999")
    return at
