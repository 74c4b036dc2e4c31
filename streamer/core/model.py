"""The types that all parts share.

A record, which Kafka hands us, is mapped to a `TrackCall`, one Segment API call. Every record ends in exactly one
`Outcome`.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

Json = Any
"""A decoded JSON value."""

MAX_MESSAGE_ID_CHARACTERS: Final = 99
"""Longest messageId sent. Segment documents "limited to 100" in one place and "fewer than 100" in another."""

MAX_CALL_BYTES: Final = 32_000
"""Longest serialised call. Segment allows 32 KB; its SDKs take that for 32,000 or 32,768 bytes, so the smaller one."""


class Outcome(enum.StrEnum):
    """How a record can end. The list is complete."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    DEAD_LETTERED = "dead_lettered"


class FilterReason(enum.StrEnum):
    """Why a valid record makes no call. A closed list."""

    EVENT_DISABLED = "event_disabled"
    NO_IDENTITY = "no_identity"
    NOT_IN_STREAM = "not_in_stream"
    TEST_EVENT = "test_event"
    DELETED = "deleted"
    OTHER_ENVIRONMENT = "other_environment"
    PAUSED = "paused"
    TOMBSTONE = "tombstone"
    REDRIVEN_FOR_OTHER = "redriven_for_other"
    SUPERSEDED = "superseded"


class DeadLetterReason(enum.StrEnum):
    """Why a record was set aside. A closed list."""

    DECODE_ERROR = "decode_error"
    SCHEMA_INVALID = "schema_invalid"
    MAPPING_ERROR = "mapping_error"
    TOO_LARGE = "too_large"
    REJECTED_400 = "rejected_400"
    REJECTED_4XX = "rejected_4xx"
    RETRIES_EXHAUSTED = "retries_exhausted"
    INTERNAL_ERROR = "internal_error"
    UNAUTHENTICATED = "unauthenticated"
    """Only calls of webhooks: no signature covers it, and the configuration asks for one."""


DELIVERY_LETTER_REASONS: Final = tuple(
    reason for reason in DeadLetterReason if reason is not DeadLetterReason.UNAUTHENTICATED
)
"""Why a record of an integration is set aside."""


class Stage(enum.StrEnum):
    """How far a dead-lettered record came."""

    DECODE = "DECODE"
    VALIDATE = "VALIDATE"
    MAP = "MAP"
    DELIVER = "DELIVER"
    APPLY = "APPLY"
    """Only calls of webhooks: they change the directory of users."""


class Record(Protocol):
    """What Kafka hands us: bytes with their place. aiokafka's ``ConsumerRecord`` is one."""

    @property
    def topic(self) -> str:
        """Where it was read."""

    @property
    def partition(self) -> int:
        """Number of the partition in the topic."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """The broker's time of the record in milliseconds since the epoch; -1: it has none."""

    @property
    def key(self) -> bytes | None:
        """What the producer partitions by."""

    @property
    def value(self) -> bytes | None:
        """The event; None: a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """In the producer's order; a name may occur more than once."""


class TrackCall:
    """One call, serialised once, in UTF-8.

    ``body`` is the JSON object that a batch carries: a track call of Segment, or an `ApiRequest` of another API
    (`streamer.core.pushing.request`).
    """

    __slots__ = ("body", "message_id")

    def __init__(self, message_id: str, body: bytes) -> None:
        self.message_id = message_id
        self.body = body


@dataclass(frozen=True, slots=True)
class Filtered:
    """A valid record that makes no call, and the rule that says so."""

    reason: FilterReason


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """Everything that decides how the records of one integration become calls."""

    dialect: str
    """Name of the dialect in which the records arrive, one of `streamer.core.mapping.dialects`, or of
    `streamer.core.pushing.pushes`."""
    kind: str = "segment"
    """Whose API the calls are for: Segment's, or one of `streamer.core.pushing.apis`."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Event name as the platform gives it -> event name sent. Renaming never changes a messageId."""
    disabled: frozenset[str] = frozenset()
    """Event names (before renaming) that are filtered."""
    message_id_suffix: str = ""
    """Appended last to each messageId, because Segment compares messageIds across sources."""
    strip_registry_prefix: bool = False
    """True: values carry the 5-byte prefix of a Confluent-compatible schema registry (JSON Schema)."""
    discard: bool = False
    """True: the integration is paused and discards: every record is filtered as ``paused``."""
    integration: str = ""
    """Name of the integration. Records redriven for another one are filtered."""
    dialect_settings: Mapping[str, object] = field(default_factory=dict)
    """Settings that a dialect declares, by its name; an absent one has its defaults."""
