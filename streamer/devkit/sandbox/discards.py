"""Which calls Segment drops at ingest after it answered 200, without telling the sender. Pure.

Source: Segment docs, delivery overview ("Discarded events") and the specification of each call.
"""

import enum
from typing import Final

from streamer.core.model import Json

MAX_MESSAGE_ID_CHARACTERS: Final = 100
"""Longest messageId that Segment documents."""

CALL_TYPES: Final = frozenset({"identify", "track", "page", "screen", "group", "alias"})
"""The types of calls; each is also the path of a single call."""


class Discard(enum.StrEnum):
    """Why Segment drops a call after a 200. The codes are Segment's own; for the last three it has none."""

    BAD_REQUEST = "bad_request"
    CATEGORY_NOT_STRING = "category_not_string"
    EMPTY_BATCH = "empty_batch"
    EVENT_NOT_DEFINED = "event_not_defined"
    EVENT_NOT_STRING = "event_not_string"
    ID_NOT_STRING = "id_not_string"
    MULTI_USER_ERROR = "multi_user_error"
    NAME_NOT_STRING = "name_not_string"
    NO_USER_ANON_ID = "no_user_anon_id"
    PROPERTIES_NOT_OBJECT = "properties_not_object"
    TRAITS_NOT_OBJECT = "traits_not_object"
    MESSAGE_ID_TOO_LONG = "message_id_too_long"
    TOO_MANY_CALLS = "too_many_calls"
    UNKNOWN_WRITE_KEY = "unknown_write_key"


def discard_of(call: Json, call_type: str | None) -> Discard | None:
    """Why Segment drops this call, or None.

    Args:
        call: the decoded call.
        call_type: the type in the path; None in a batch, where each call has its type.
    """
    if not isinstance(call, dict):
        return Discard.BAD_REQUEST
    call_type = call_type or call.get("type")  # may be any JSON, so it is compared with ==: it may not be hashable
    if call_type == "track":
        discard = _event_discard(call.get("event")) or _object_discard(call, "properties")
    elif call_type in ("page", "screen"):
        discard = _name_discard(call) or _object_discard(call, "properties")
    elif call_type in ("identify", "group"):
        discard = _object_discard(call, "traits")
    else:
        discard = None if call_type == "alias" else Discard.BAD_REQUEST
    return _id_discard(call) or discard


def message_id_of(call: Json) -> str | None:
    """The call's messageId; None if it has none (Segment then makes one)."""
    message_id = call.get("messageId") if isinstance(call, dict) else None
    return message_id if isinstance(message_id, str) and message_id else None


def _id_discard(call: dict[str, Json]) -> Discard | None:
    user_id, anonymous_id, message_id = call.get("userId"), call.get("anonymousId"), call.get("messageId")
    for given in (user_id, anonymous_id, message_id):
        if given is not None and not isinstance(given, str):
            return Discard.ID_NOT_STRING
    if not user_id and not anonymous_id:
        return Discard.NO_USER_ANON_ID
    if message_id and len(message_id) > MAX_MESSAGE_ID_CHARACTERS:
        return Discard.MESSAGE_ID_TOO_LONG
    return None


def _event_discard(event: Json) -> Discard | None:
    if event is None or event == "":
        return Discard.EVENT_NOT_DEFINED
    return None if isinstance(event, str) else Discard.EVENT_NOT_STRING


def _object_discard(call: dict[str, Json], name: str) -> Discard | None:
    part = call.get(name)
    if part is None or isinstance(part, dict):
        return None
    return Discard.PROPERTIES_NOT_OBJECT if name == "properties" else Discard.TRAITS_NOT_OBJECT


def _name_discard(call: dict[str, Json]) -> Discard | None:
    for name, discard in (("name", Discard.NAME_NOT_STRING), ("category", Discard.CATEGORY_NOT_STRING)):
        given = call.get(name)
        if given is not None and (given == "" or not isinstance(given, str)):
            return discard
    return None
