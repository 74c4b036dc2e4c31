"""Product Fruits' REST API: identify a user, delete one, track an event.

Properties are strings, numbers, booleans and lists of strings or numbers. Workspaces in full sync merge: what a request
lacks is kept.
"""

import datetime as dt
from typing import Final

from streamer.core.mapping.native import Document
from streamer.core.model import Json
from streamer.core.pushing.api import Api, Note
from streamer.core.pushing.request import encode_request, path_segment


def upsert(profile: Document, note: Note) -> bytes:
    """The user with names, role, time of the sign-up, and everything else as properties."""
    user: dict[str, Json] = {"username": profile["username"]}
    user.update((key, profile[key]) for key in ("firstname", "lastname") if profile[key] is not None)
    props: dict[str, Json] = {}
    # The documented body has no place of its own for the address.
    for name, value in (*profile["attributes"].items(), ("email", profile["email"])):
        if value is None:
            continue
        if isinstance(value, list) and any(isinstance(entry, bool) for entry in value):
            note("product_fruits_list_of_booleans")
        elif _is_built_in(name, value):
            user[name] = value
        else:
            props[name] = value
    if props:
        user["props"] = props
    return encode_request("POST", "/v1/identify", {"user": user})


def delete(username: str) -> bytes:
    """Delete the user."""
    return encode_request("DELETE", f"/v1/users/{path_segment(username)}")


def track(trigger: Document, event: str, note: Note) -> bytes:
    """The event, with those of its properties that are strings, numbers or booleans. The API takes no time."""
    properties: dict[str, Json] = {}
    for name, value in trigger["properties"].items():
        if isinstance(value, str | int | float) and name != "username":
            properties[name] = value
        elif value is not None:
            note("product_fruits_property")
    return encode_request(
        "POST", "/v1/events/track", {"event": event, "properties": {**properties, "username": trigger["username"]}}
    )


def _is_built_in(name: str, value: Json) -> bool:
    """Whether an attribute is a property that Product Fruits knows, with a value that it can have."""
    return isinstance(value, str) and (name == "role" or (name == "signUpAt" and _is_time(value)))


def _is_time(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


API: Final = Api(
    kind="product_fruits",
    platform="Product Fruits",
    upsert=upsert,
    delete=delete,
    track=track,
    texts={
        "profile": "`POST /v1/identify`: `username`, `firstname`, `lastname`; the attribute `role` if it is a string,"
        " and `signUpAt` if it is an ISO 8601 time; all other attributes, and `email`, are `props`, because the"
        " documented body has no place for an address. Lists with booleans are left out and counted. The workspace must"
        " be in full sync, or the snippet in the browser overwrites what was pushed.",
        "deletion": "`DELETE /v1/users/{username}`. 404 means that the user is gone already.",
        "trigger": "`POST /v1/events/track` with the properties that are strings, numbers or booleans; the others, and"
        " one called `username`, are left out and counted. The API takes no time. 404 means that the user is not known"
        " yet: the call waits and is sent again, because the profile may be on its way.",
    },
)
