"""What Sprig's and Product Fruits' APIs answer, and what they then know of users: their documented behaviour, no more.

Pure but for what they remember. Where the documents leave a point open, the stand-in is stricter, so that what passes
here also passes there: a value of a wrong type is answered 400.
"""

import abc
import enum
from collections import Counter, deque
from typing import Any, Final, NamedTuple, TypeGuard
from urllib.parse import unquote

from streamer.core.model import Json
from streamer.devkit.sandbox.answers import JSON_HEADERS, Reply

MAX_USERS: Final = 200_000
"""Most users that a stand-in remembers; beyond it, it answers 507."""

LATEST_EVENTS: Final = 10_000
"""How many of the latest events are kept."""

MAX_SPRIG_ATTRIBUTES: Final = 100
"""Most attributes of one upsert."""

MAX_SPRIG_PURGE: Final = 100
"""Most users of one purge."""

ACCEPTED: Final = Reply(202, "{}", JSON_HEADERS)
OK: Final = Reply(200, "{}", JSON_HEADERS)
BAD_REQUEST: Final = Reply(400, '{"error":"bad request"}', JSON_HEADERS)
UNAUTHORIZED: Final = Reply(401, '{"error":"unauthorized"}', JSON_HEADERS)
FORBIDDEN: Final = Reply(403, "", JSON_HEADERS)
NOT_FOUND: Final = Reply(404, '{"error":"not found"}', JSON_HEADERS)
FULL: Final = Reply(507, "the stand-in remembers no more users; POST /_sandbox/reset empties it")


class Platform(enum.StrEnum):
    """Whose API a stand-in plays. The values are the first part of its paths."""

    SPRIG = "sprig"
    PRODUCT_FRUITS = "product-fruits"


class Event(NamedTuple):
    """An event as the platform got it."""

    user: str
    name: str
    content: Json
    """The time at Sprig, the properties at Product Fruits."""


class StandIn(abc.ABC):
    """One platform: its users by name, with what is known of them."""

    bad_key: Reply

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.users: dict[str, dict[str, Json]] = {}
        self.events: deque[Event] = deque(maxlen=LATEST_EVENTS)
        self.answers: Counter[int] = Counter()

    def summary(self) -> dict[str, Json]:
        """Users, the latest events and the number of answers, as JSON."""
        events = [event._asdict() for event in self.events]
        return {
            "users": self.users,
            "events": events,
            "requests_by_answer": {str(k): n for k, n in self.answers.items()},
        }

    @abc.abstractmethod
    def answer(self, method: str, path: str, document: Json) -> Reply:
        """Do what a request asks for, and answer it.

        Args:
            method: of the request.
            path: without the platform's own first part, as it was sent.
            document: the body; None: it has none.
        """

    @abc.abstractmethod
    def user_of(self, path: str, document: Json) -> str:
        """Whom a request is about; "" if that cannot be told."""


class SprigStandIn(StandIn):
    """Sprig: upserts with attributes and events, and purges."""

    bad_key = FORBIDDEN

    def answer(self, method: str, path: str, document: Json) -> Reply:
        """Upsert or purge."""
        if method != "POST" or path not in {"/v2/users", "/v2/purge/visitors"}:
            return NOT_FOUND
        if not isinstance(document, dict):
            return BAD_REQUEST
        return self._purge(document) if path == "/v2/purge/visitors" else self._upsert(document)

    def user_of(self, _path: str, document: Json) -> str:
        """The one that the body names."""
        if not isinstance(document, dict):
            return ""
        users = document.get("userIds") or [document.get("userId")]
        return users[0] if isinstance(users, list) and isinstance(users[0], str) else ""

    def _upsert(self, document: dict[str, Any]) -> Reply:
        user, attributes, events = document.get("userId"), document.get("attributes", {}), document.get("events", [])
        if not _is_name(user) or not isinstance(attributes, dict) or not isinstance(events, list):
            return BAD_REQUEST
        if len(attributes) > MAX_SPRIG_ATTRIBUTES or not all(map(_is_scalar, attributes.values())):
            return BAD_REQUEST
        if not all(isinstance(event, dict) and event.keys() == {"event", "timestamp"} for event in events):
            return BAD_REQUEST
        if not all(_is_name(event["event"]) and type(event["timestamp"]) is int for event in events):
            return BAD_REQUEST
        if len(self.users) >= MAX_USERS and user not in self.users:
            return FULL
        self.users.setdefault(user, {}).update(attributes)
        self.events.extend(Event(user, event["event"], event["timestamp"]) for event in events)
        return ACCEPTED

    def _purge(self, document: dict[str, Any]) -> Reply:
        users = document.get("userIds")
        if not isinstance(users, list) or not 0 < len(users) <= MAX_SPRIG_PURGE or not all(map(_is_name, users)):
            return BAD_REQUEST
        for user in users:  # at once, whatever delaySeconds says
            self.users.pop(user, None)
        return Reply(200, '{"requestId":"sandbox"}', JSON_HEADERS)


class ProductFruitsStandIn(StandIn):
    """Product Fruits: identify, delete, track."""

    bad_key = UNAUTHORIZED

    def answer(self, method: str, path: str, document: Json) -> Reply:
        """Identify, delete or track."""
        user = _user_in(path)
        if method == "DELETE" and user:
            return NOT_FOUND if self.users.pop(user, None) is None else OK
        if method != "POST" or path not in {"/v1/identify", "/v1/events/track"}:
            return NOT_FOUND
        if not isinstance(document, dict):
            return BAD_REQUEST
        return self._identify(document) if path == "/v1/identify" else self._track(document)

    def user_of(self, path: str, document: Json) -> str:
        """The one that the body names, or the path."""
        part = document.get("user", document.get("properties")) if isinstance(document, dict) else None
        user = part.get("username") if isinstance(part, dict) else _user_in(path)
        return user if isinstance(user, str) else ""

    def _identify(self, document: dict[str, Any]) -> Reply:
        user = document.get("user")
        if not isinstance(user, dict) or not _is_name(user.get("username")):
            return BAD_REQUEST
        if not user.keys() <= {"username", "firstname", "lastname", "role", "signUpAt", "props"}:
            return BAD_REQUEST
        props = user.get("props", {})
        if not isinstance(props, dict) or not all(map(_is_property, props.values())):
            return BAD_REQUEST
        if not all(isinstance(value, str) for name, value in user.items() if name != "props"):
            return BAD_REQUEST
        if len(self.users) >= MAX_USERS and user["username"] not in self.users:
            return FULL
        known = self.users.setdefault(user["username"], {"props": {}})
        merged = {**known["props"], **props}
        known.update({name: value for name, value in user.items() if name != "username"}, props=merged)
        return OK

    def _track(self, document: dict[str, Any]) -> Reply:
        name, properties = document.get("event"), document.get("properties")
        if not _is_name(name) or not isinstance(properties, dict) or not all(map(_is_scalar, properties.values())):
            return BAD_REQUEST
        user = properties.get("username")
        if not _is_name(user):
            return BAD_REQUEST
        if user not in self.users:
            return NOT_FOUND
        self.events.append(Event(user, name, properties))
        return OK


def _user_in(path: str) -> str:
    before, _, user = path.rpartition("/")
    return unquote(user) if before == "/v1/users" else ""


def _is_name(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str | int | float)


def _is_property(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(entry, str | int | float) and not isinstance(entry, bool) for entry in value)
    return _is_scalar(value)
