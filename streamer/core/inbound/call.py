"""The typed document of the way back: one call of Segment, read and checked."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamer.core.model import DeadLetterReason, Json, Stage

OLDEST: Final = -(1 << 62)
"""The time of values that were imported without one: older than any call. In microseconds, as all times here."""


class Action(enum.StrEnum):
    """What a call does. Logs show the values."""

    IDENTIFY_USER = "identify_user"
    TRACK_EVENT = "track_event"
    SIGN_OUT_USER = "sign_out_user"
    UPDATE_USER_ID = "update_user_id"
    DELETE_USER = "delete_user"
    GROUP_USER = "group_user"
    """Only where ``group: attributes`` is set."""


class CallOutcome(enum.StrEnum):
    """How a call can end. The list is complete."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEAD_LETTERED = "dead_lettered"


class IgnoredReason(enum.StrEnum):
    """By which rule a valid call changes nothing. A closed list."""

    NOT_AN_ACTION = "not_an_action"
    UNKNOWN_TYPE = "unknown_type"
    OWN_EVENT = "own_event"
    NO_EVENT_NAME = "no_event_name"
    NO_IDENTITY = "no_identity"
    UNMATCHED = "unmatched"
    UNKNOWN_USER = "unknown_user"
    STALE = "stale"
    DELETED = "deleted"
    ALIAS_SAME_USER = "alias_same_user"


class MatchedBy(enum.StrEnum):
    """How the person of a call was found. Logs show the values."""

    EMAIL = "email"
    USER_ID = "user_id"
    DEVICE = "device"
    CREATED = "created"
    NONE = "none"


CALL_LETTER_REASONS: Final = (
    DeadLetterReason.DECODE_ERROR,
    DeadLetterReason.SCHEMA_INVALID,
    DeadLetterReason.TOO_LARGE,
    DeadLetterReason.UNAUTHENTICATED,
    DeadLetterReason.INTERNAL_ERROR,
)
"""Why a call is set aside. A closed list."""


class Remark(enum.StrEnum):
    """What was decided about a call that a person may want to know. A closed list; each occurrence counts once."""

    EMAIL_CONFLICT = "email_conflict"
    EMAIL_AMBIGUOUS = "email_ambiguous"
    LINK_STALE = "link_stale"
    VALUE_STALE = "value_stale"
    ALIAS_STALE = "alias_stale"
    ALIAS_MERGE = "alias_merge"
    ALIAS_UNKNOWN_PREVIOUS = "alias_unknown_previous"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    ATTRIBUTE_VALUE = "attribute_value"
    ATTRIBUTE_NAME = "attribute_name"
    ATTRIBUTE_LIMIT = "attribute_limit"
    DEVICE_LIMIT = "device_limit"
    REDIRECT_LIMIT = "redirect_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a call says about a person, checked value by value and flattened."""

    email: str | None = None
    """Trimmed; None: absent. Of a track call too, where it only finds or names a person."""
    firstname: Json = None
    """A string; None: absent. With ``null_traits: remove``, `REMOVE` for a null."""
    lastname: Json = None
    attributes: Mapping[str, Json] = field(default_factory=dict)
    """In document order. With ``null_traits: remove``, `REMOVE` for a null."""


REMOVE: Final = object()
"""Stands for a value that is to be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that may change the directory."""

    action: Action
    message_id: str
    at: int
    """Time of the call in microseconds since the epoch; never later than its receipt."""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    traits: Traits = Traits()
    event: str | None = None
    """Name of a tracked event."""
    properties: Mapping[str, Json] = field(default_factory=dict)
    """Of a tracked event, as sent."""
    remarks: tuple[Remark, ...] = ()
    """What was found out while it was read."""
    type_label: str = ""
    """Its type, as metrics show it."""
    webhook: str = ""
    """Name of the webhook that it came through; empty: it was written to the topic by something else."""
    received: str = ""
    """When it was received, RFC 3339 with milliseconds."""
    authenticated: bool = False
    """Whether the sender's signature or token covers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A valid call that changes nothing, whatever the directory holds, and the rule that says so."""

    message_id: str
    type_label: str
    reason: IgnoredReason
    remarks: tuple[Remark, ...] = ()
    webhook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that cannot be applied as it is: it becomes a dead letter."""

    type_label: str
    reason: DeadLetterReason
    stage: Stage
    detail: str
    """For whoever sent it; it quotes no value."""
    pointer: str = ""
    """JSON Pointer of the field at fault in the record; empty: the whole record."""
    message_id: str | None = None
    """If it was applied or ignored before, the record is a duplicate whatever it holds. None: not known."""


class Applied(NamedTuple):
    """What became of a call."""

    outcome: CallOutcome
    reason: IgnoredReason | None = None
    """Only of an ignored call."""
    remarks: tuple[Remark, ...] = ()
    """In the order in which they were found; one may occur several times."""
    matched_by: MatchedBy = MatchedBy.NONE
    username: str | None = None
    """Of the user that the call is about, as they are called after it."""
    linked: bool = False
    """Whether the call's device is linked to this user after it, because of it."""
    values_written: int = 0
    """How many values of the call were written, those that were there already included."""
