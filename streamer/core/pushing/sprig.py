"""Sprig's users API: users are upserted one at a time, with attributes and events.

Attributes are strings, numbers and booleans, at most 100 a request. What a request lacks is kept. Events have a name
and a time only; Sprig uses them in filters, and they never trigger a study.
"""

import datetime as dt
from itertools import chain
from typing import Final

from streamer.core.mapping.native import Document
from streamer.core.mapping.times import exact
from streamer.core.model import Json
from streamer.core.pushing.api import Api, Note
from streamer.core.pushing.request import encode_request

MAX_ATTRIBUTES: Final = 100
"""Most attributes of one request. Source: Sprig's API reference, "Upsert User"."""

_EMAIL: Final = "!email"
"""Sprig's reserved name."""


def upsert(profile: Document, note: Note) -> bytes:
    """The user with e-mail, names and attributes."""
    attributes: dict[str, Json] = {}
    own = ((_EMAIL, profile["email"]), *((key, profile[key]) for key in ("firstname", "lastname")))
    named = ((name, value) for name, value in profile["attributes"].items() if name not in dict(own))
    for name, value in chain(own, named):
        if value is None:
            continue
        if isinstance(value, list):
            note("sprig_list_attribute")
        elif len(attributes) == MAX_ATTRIBUTES:
            note("sprig_attribute_over_100")
        else:
            attributes[name] = value
    return encode_request("POST", "/v2/users", {"userId": profile["username"], "attributes": attributes})


def delete(username: str) -> bytes:
    """Delete the user and all related data, now rather than after the ten days that Sprig waits by default.

    A user of the same name who is created in the meantime would be deleted too.
    """
    return encode_request("POST", "/v2/purge/visitors", {"userIds": [username], "delaySeconds": 0})


def track(trigger: Document, event: str, _note: Note) -> bytes:
    """One event of the user, without properties, which the API does not take."""
    moment = dt.datetime.fromisoformat(exact(trigger["timestamp"]))
    milliseconds = (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(milliseconds=1)
    events = [{"event": event, "timestamp": milliseconds}]
    return encode_request("POST", "/v2/users", {"userId": trigger["username"], "events": events})


API: Final = Api(
    kind="sprig",
    platform="Sprig",
    upsert=upsert,
    delete=delete,
    track=track,
    texts={
        "profile": "`POST /v2/users`: `username` is `userId`, `email` is the attribute `!email`. Lists are left out,"
        " and so is what exceeds 100 attributes; both are counted. A value that the directory no longer has stays at"
        " Sprig.",
        "deletion": "`POST /v2/purge/visitors` with `delaySeconds: 0`. Sprig works it off later: a user who is created"
        " again in the meantime may be deleted too.",
        "trigger": "`POST /v2/users` with `events`: name and time, no properties. Such events are for filters: **they"
        " never trigger a study**. Only Sprig's SDK in a browser or app does that.",
    },
)
