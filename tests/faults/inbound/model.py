"""What the calls on the inbound topic must lead to, by rules too simple to be wrong. Pure.

It knows the calls that `traffic.py` makes, and no others. None of them finds anybody by e-mail or by device, so time
alone decides, and the calls can be applied in the order of their times, whatever the order in which they came. It uses
nothing of `streamer.core.inbound`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streamer.core.model import Record
from tests.service.oracle import Place

SIGNED_OUT: Final = "Signed Out"
NAMES: Final = ("firstname", "lastname")
CHANGING: Final = ("identify", "track", "alias", "delete")


@dataclass(slots=True)
class Person:
    """A user, or a device without one."""

    values: dict[str, Any] = field(default_factory=dict)
    """Traits, by name."""
    redirects: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Expected:
    """The directory, and what must have come out of it."""

    users: dict[str, Person] = field(default_factory=dict)
    strangers: dict[str, Person] = field(default_factory=dict)
    """Devices of people who never said who they are, by anonymousId."""
    links: dict[str, str | None] = field(default_factory=dict)
    """anonymousId -> username; None: signed out."""
    triggers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """messageId -> value of the record on the triggers topic."""
    message_ids: set[str] = field(default_factory=set)
    """Of all calls that change something or are ignored."""
    unusable: set[Place] = field(default_factory=set)
    """Records that must be set aside."""

    def lines(self) -> list[Mapping[str, Any]]:
        """The directory as ``streamer users export`` writes it."""
        users = [self._user_line(name) for name in sorted(self.users)]
        devices = [
            {"anonymousId": name, "attributes": stranger.values}
            for name, stranger in sorted(self.strangers.items())
            if stranger.values
        ]
        return users + devices

    def _user_line(self, name: str) -> Mapping[str, Any]:
        user = self.users[name]
        return {
            "username": name,
            "email": user.values.get("email"),
            **{key: user.values.get(key) for key in NAMES},
            "anonymousIds": sorted(device for device, owner in self.links.items() if owner == name),
            "attributes": {key: value for key, value in user.values.items() if key not in {"email", *NAMES}},
            "redirects": sorted(user.redirects),
        }


def expected_of(records: Iterable[Record]) -> Expected:
    """What these records of the inbound topic must lead to, each messageId once."""
    expected = Expected()
    calls: list[Mapping[str, Any]] = []
    for record in records:
        call = read_call(record.value)
        if call is None:
            expected.unusable.add((record.topic, record.partition, record.offset))
        elif call["messageId"] not in expected.message_ids:
            expected.message_ids.add(call["messageId"])
            calls.append(call)
    for call in sorted(calls, key=lambda call: str(call["timestamp"])):
        if call["type"] in CHANGING:
            _apply(call, expected)
    return expected


def read_call(value: bytes | None) -> Mapping[str, Any] | None:
    """The call in a record; None: nobody can apply it."""
    try:
        call = json.loads(value or b"")
    except ValueError:
        return None
    if isinstance(call, dict) and list(call) == ["json"]:
        call = call["json"]
    is_usable = isinstance(call, dict) and isinstance(call.get("type"), str)
    return call if is_usable and not isinstance(call.get("userId"), dict | list) else None


def _apply(call: Mapping[str, Any], expected: Expected) -> None:
    user_id: Any = call.get("userId")
    device: Any = call.get("anonymousId")
    match call["type"]:
        case "track" if call["event"] == SIGNED_OUT:
            _sign_out(user_id, device, expected)
        case "delete":
            if expected.users.pop(user_id, None) is not None:
                expected.links = {name: owner for name, owner in expected.links.items() if owner != user_id}
        case "alias":
            expected.users.setdefault(user_id, Person()).redirects.add(call["previousId"])
        case kind:
            if user_id is not None:
                person = expected.users.setdefault(user_id, Person())
                if device is not None:
                    expected.links[device] = user_id
            else:
                person = expected.strangers.setdefault(device, Person())
            if kind == "identify":
                traits = call.get("traits") or {}
                person.values |= {name: value for name, value in traits.items() if value is not None}
            else:
                expected.triggers[call["messageId"]] = _trigger(call)


def _sign_out(user_id: str | None, device: str | None, expected: Expected) -> None:
    if device is not None:
        expected.links[device] = None
    else:
        for name, owner in expected.links.items():
            if owner == user_id:
                expected.links[name] = None


def _trigger(call: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "messageId": call["messageId"],
        "event": call["event"],
        "username": call.get("userId"),
        "anonymousId": call.get("anonymousId"),
        "properties": call.get("properties") or {},
        "timestamp": call["timestamp"],
        "environment": None,
    }
