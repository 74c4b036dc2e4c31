"""A record of the inbound topic -> one call that may change the directory, or why it changes nothing."""

import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamer.core.errors import DecodeError, MappingError, TooLargeError
from streamer.core.inbound import traits
from streamer.core.inbound.call import Action, Call, Ignored, IgnoredReason, Rejected
from streamer.core.inbound.digests import made_up_message_id
from streamer.core.inbound.fields import FieldFault, Object, event_name, identifier, message_id, part
from streamer.core.inbound.headers import Receipt, receipt_of
from streamer.core.inbound.loop_guard import is_own
from streamer.core.inbound.rules import MAX_CALL_BYTES, Rules
from streamer.core.inbound.times import time_of_call
from streamer.core.mapping.decode import decode
from streamer.core.mapping.expectation import json_type
from streamer.core.model import DeadLetterReason, Json, Stage

MAX_LEVELS: Final = 64
"""Most objects and lists inside one another in a record."""

SIGNED_OUT: Final = "Signed Out"
"""Name of the event that signs a person out, to the letter."""

OTHER_TYPE: Final = "_other"
"""How metrics show a type that Segment does not have, and no type at all."""

_TYPES: Final = frozenset({"identify", "track", "alias", "delete", "page", "screen", "group"})
_WRAPPER: Final = frozenset({"json"})


def read(
    value: bytes | None, headers: Sequence[tuple[str, bytes | None]], timestamp_ms: int, rules: Rules
) -> Call | Ignored | Rejected:
    """What a record holds. Whether its messageId was seen before is left to the directory.

    Args:
        value: of the record, a call with or without wrapper; None: a tombstone, which is no call.
        headers: of the record, see `streamer.core.inbound.headers`.
        timestamp_ms: the broker's time of the record in milliseconds since the epoch.
        rules: settings that decide.
    """
    try:
        document = _decode(value)
    except (DecodeError, TooLargeError) as error:
        return Rejected(type_label=OTHER_TYPE, reason=error.reason, stage=Stage.DECODE, detail=error.detail)
    call, place = unwrapped(document)
    label = _label(call)
    found_id = None
    try:
        checked = _checked(call)
        found_id = message_id(checked) or made_up_message_id(value or b"")
        return _read(checked, _Head(found_id, label, receipt_of(headers, timestamp_ms)), rules)
    except FieldFault as fault:
        pointer = place + fault.pointer
        return Rejected(
            type_label=label,
            reason=DeadLetterReason.SCHEMA_INVALID,
            stage=Stage.VALIDATE,
            detail=f"{pointer or 'the call'}: expected {fault.expected}, found {fault.found}",
            pointer=pointer,
            message_id=found_id,
        )


def unwrapped(document: Json) -> tuple[Json, str]:
    """The call in a document, and the JSON Pointer of its place: Segment's extensible webhook wraps it."""
    if isinstance(document, dict) and document.keys() == _WRAPPER:
        return document["json"], "/json"
    return document, ""


def _decode(value: bytes | None) -> Json:
    """The record's document.

    Raises:
        DecodeError, TooLargeError: the record cannot be read, or should not be.
    """
    if value is None:
        raise DecodeError("the value is null; expected one JSON document")
    if len(value) > MAX_CALL_BYTES:
        raise TooLargeError(f"the value has {len(value)} bytes; expected at most {MAX_CALL_BYTES}")
    try:
        document = decode(value)
    except MappingError:
        raise DecodeError(_TOO_DEEP) from None
    if value.count(b"{") + value.count(b"[") > MAX_LEVELS and _is_deep(document):
        raise DecodeError(_TOO_DEEP)
    return document


_TOO_DEEP: Final = f"nested too deeply: expected at most {MAX_LEVELS} objects and lists inside one another"


def _is_deep(document: Json) -> bool:
    level = [document]
    for _ in range(MAX_LEVELS):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return any(isinstance(value, dict | list) for value in level)


def _label(call: Json) -> str:
    kind = call.get("type") if isinstance(call, dict) else None
    return kind if isinstance(kind, str) and kind in _TYPES else OTHER_TYPE


def _checked(call: Json) -> Object:
    """The call, if it has the shape of one.

    Raises:
        FieldFault: it has not.
    """
    if not isinstance(call, dict):
        raise FieldFault("", "an object", json_type(call))
    if not isinstance(call.get("type"), str):
        raise FieldFault("/type", "a string", json_type(call["type"]) if "type" in call else "nothing")
    return call


class _Head(NamedTuple):
    """What is known of a call before its type counts."""

    message_id: str
    label: str
    receipt: Receipt

    def ignored(self, reason: IgnoredReason) -> Ignored:
        """The call is ignored."""
        return Ignored(message_id=self.message_id, type_label=self.label, reason=reason, webhook=self.receipt.webhook)


def _read(call: Object, head: _Head, rules: Rules) -> Call | Ignored | Rejected:
    """What a call of any type is.

    Raises:
        FieldFault: a field is wrong.
    """
    receipt = head.receipt
    # Who redrives a call that was set aside for this vouches for it.
    if receipt.webhook in rules.refuse_unauthenticated and not receipt.authenticated and not receipt.redriven:
        return Rejected(
            type_label=head.label,
            reason=DeadLetterReason.UNAUTHENTICATED,
            stage=Stage.VALIDATE,
            detail="no signature or token covers the call, and its webhook has unauthenticated: dead_letter",
            message_id=head.message_id,
        )
    kind = call["type"]
    if kind not in _TYPES:
        return head.ignored(IgnoredReason.UNKNOWN_TYPE)
    if (
        kind == "page"
        or (kind == "screen" and not rules.screen_is_event)
        or (kind == "group" and not rules.group_is_attributes)
    ):
        return head.ignored(IgnoredReason.NOT_AN_ACTION)
    make = functools.partial(
        Call,
        message_id=head.message_id,
        at=time_of_call(call.get("timestamp"), head.receipt.at),
        type_label=head.label,
        webhook=head.receipt.webhook,
        received=head.receipt.received,
        authenticated=head.receipt.authenticated,
    )
    if kind == "delete":
        return make(action=Action.DELETE_USER, user_id=identifier(call, "userId"))
    return _read_fields(call, head, rules, make)


def _read_fields(call: Object, head: _Head, rules: Rules, make: Callable[..., Call]) -> Call | Ignored:
    """What a call is that has more than a userId.

    Raises:
        FieldFault: a field is wrong.
    """
    kind = call["type"]
    make = functools.partial(
        make,
        user_id=identifier(call, "userId"),
        anonymous_id=identifier(call, "anonymousId"),
        previous_id=identifier(call, "previousId"),
    )
    context = part(call, "context")
    context_traits = part(context, "traits", "/context")
    own_traits = part(call, "traits")
    properties = part(call, "properties")
    event = event_name(call, "name" if kind == "screen" else "event")
    is_event = kind in {"track", "screen"}
    if is_own(head.message_id, context, event if is_event else None, rules.own_events):
        return head.ignored(IgnoredReason.OWN_EVENT)
    if is_event:
        if event is None:
            return head.ignored(IgnoredReason.NO_EVENT_NAME)
        action = Action.SIGN_OUT_USER if event == SIGNED_OUT else Action.TRACK_EVENT
        person, remarks = traits.of_track(context_traits)
        return make(action=action, traits=person, remarks=tuple(remarks), event=event, properties=properties)
    if kind == "alias":
        return make(action=Action.UPDATE_USER_ID)
    if kind == "group":
        person, remarks = traits.of_group(identifier(call, "groupId"), own_traits, rules)
        return make(action=Action.GROUP_USER, traits=person, remarks=tuple(remarks))
    person, remarks = traits.of_identify(own_traits, context_traits, rules)
    return make(action=Action.IDENTIFY_USER, traits=person, remarks=tuple(remarks))
