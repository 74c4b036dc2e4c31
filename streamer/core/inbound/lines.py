"""Users and devices as JSON: the directory line, and the values of the records that go out."""

from collections.abc import Mapping

import orjson

from streamer.core.inbound.call import OLDEST, Call
from streamer.core.inbound.directory import Device, Person, User, Value
from streamer.core.inbound.times import text_of
from streamer.core.model import Json


def user_line(user: User, *, times: bool = False) -> bytes:
    """The user's directory line: one JSON object, sorted by code point, without a line end.

    ``times``: with all that decides about later calls, so that a directory can be moved without loss.
    """
    person = user.person
    line = {
        "username": user.username,
        "email": _value(person.email),
        "firstname": _value(person.firstname),
        "lastname": _value(person.lastname),
        "anonymousIds": sorted(user.devices),
        "attributes": _attributes(person),
        "redirects": sorted(user.redirects),
    }
    if times:
        line["times"] = _user_times(user)
    return orjson.dumps(line)


def device_line(device: Device, *, times: bool = False) -> bytes:
    """The directory line of a device without a user.

    ``times``: with all that decides about later calls. Such a line also has the e-mail address and the names that the
    device may have.
    """
    line: dict[str, Json] = {"anonymousId": device.anonymous_id, "attributes": _attributes(device.person)}
    if times:
        line |= {name: value.value for name, value in _own_values(device.person).items()}
        line["times"] = {**_device_times(device), **_person_times(device.person)}
    return orjson.dumps(line)


def profile_value(user: User, environment: str | None) -> bytes:
    """The value of the user's record on the profiles topic."""
    rest = {
        "environment": environment,
        "revision": user.revision,
        "updatedAt": None if user.changed == OLDEST else text_of(user.changed),
    }
    return user_line(user)[:-1] + b"," + orjson.dumps(rest)[1:]


def trigger_value(call: Call, username: str | None, environment: str | None) -> bytes:
    """The value of a tracked event's record on the triggers topic."""
    return orjson.dumps(
        {
            "messageId": call.message_id,
            "event": call.event,
            "username": username,
            "anonymousId": call.anonymous_id,
            "properties": call.properties,
            "timestamp": text_of(call.at),
            "environment": environment,
        }
    )


def _value(value: Value | None) -> Json:
    return None if value is None else value.value


def _attributes(person: Person) -> dict[str, Json]:
    return {name: value.value for name, value in sorted(person.attributes.items())}


def _own_values(person: Person) -> Mapping[str, Value]:
    named = {"email": person.email, "firstname": person.firstname, "lastname": person.lastname}
    return {name: value for name, value in named.items() if value is not None}


def _time(at: int) -> str | None:
    return None if at == OLDEST else text_of(at, "microseconds")


def _person_times(person: Person) -> dict[str, Json]:
    return {
        **{name: _time(value.at) for name, value in _own_values(person).items()},
        "attributes": {name: _time(value.at) for name, value in sorted(person.attributes.items())},
    }


def _device_times(device: Device) -> dict[str, Json]:
    return {"since": _time(device.since), "left": _time(device.left)}


def _user_times(user: User) -> dict[str, Json]:
    return {
        **_person_times(user.person),
        "anonymousIds": {name: _device_times(device) for name, device in sorted(user.devices.items())},
        "redirects": {name: _time(at) for name, at in sorted(user.redirects.items())},
        "named": _time(user.named),
        "signedOut": _time(user.signed_out),
        "changed": _time(user.changed),
        "revision": user.revision,
    }
