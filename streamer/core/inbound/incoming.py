"""Calls that have arrived -> the records that are written of them, before anybody has read what they say."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamer.core.dead_letters.dead_letter import ORIGINAL_TIMESTAMP, REDRIVES, VALUE_OMITTED
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.inbound.keys import key_of
from streamer.core.inbound.times import text_of
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.own_headers import AUTHENTICATED, BATCH_INDEX, BATCH_SIZE, RECEIVED, WEBHOOK

INTEGRATION: Final = "inbound"
"""What dead letters of the way back have for the name of their integration."""

VALUE_BYTES: Final = "streamer.value.bytes"
"""Header of a dead letter without value: length of the value."""
VALUE_SHA256: Final = "streamer.value.sha256"
"""Header of a dead letter without value: digest of the value, in hex."""

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One call as it stands in the body of its request, and what is known of the request."""

    value: bytes
    """Its exact bytes."""
    webhook: str
    received_ms: int
    """Milliseconds since the epoch."""
    is_authenticated: bool
    index: int
    """Its place among the calls of the request, from 0."""
    calls: int
    """How many calls the request has."""

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """What its record and its dead letter say of the request."""
        received = text_of(self.received_ms * 1000).encode()
        return [
            (WEBHOOK, self.webhook.encode()),
            (RECEIVED, received),
            (AUTHENTICATED, b"true" if self.is_authenticated else b"false"),
            (BATCH_INDEX, b"%d" % self.index),
            (BATCH_SIZE, b"%d" % self.calls),
        ]

    def record(self, topic: str) -> OutgoingRecord:
        """Its record; calls of one person go to one partition."""
        return OutgoingRecord(
            topic=topic,
            partition=-1,
            key=key_of(self.value),
            value=self.value,
            headers=self.headers,
            timestamp=self.received_ms,
        )

    def too_large_letter(self, dead_letter_topic: str, topic: str, detail: str, *, instance: int) -> OutgoingRecord:
        """Its dead letter, if its record does not fit into ``topic``: without the value, with size and digest of it.

        The headers are those of `streamer.core.dead_letters.letter`. It was never in the topic, so it has no offset.

        Args:
            dead_letter_topic: where it goes.
            topic: where the record should have gone.
            detail: for people; quotes no value.
            instance: number of the process.
        """
        digest = hashlib.sha256(self.value).hexdigest()
        texts = [
            ("streamer.reason", DeadLetterReason.TOO_LARGE),
            ("streamer.integration", INTEGRATION),
            (REDRIVES, "0"),
            ("__connect.errors.topic", topic),
            ("__connect.errors.partition", "0"),
            ("__connect.errors.offset", "-1"),
            (ORIGINAL_TIMESTAMP, str(self.received_ms)),
            (VALUE_OMITTED, "1"),
            (VALUE_BYTES, str(len(self.value))),
            (VALUE_SHA256, digest),
            ("__connect.errors.connector.name", INTEGRATION),
            ("__connect.errors.task.id", str(instance)),
            ("__connect.errors.stage", Stage.DECODE),
            ("__connect.errors.exception.class.name", "TooLargeError"),
            ("__connect.errors.exception.message", detail),
        ]
        ours: list[tuple[str, bytes | None]] = [(name, text.encode()) for name, text in texts]
        dead_letter_time = ("streamer.dead_letter_time", text_of(self.received_ms * 1000).encode())
        return OutgoingRecord(
            topic=dead_letter_topic,
            partition=-1,
            # The same call again has the same key: after a retry, a compacted topic keeps one of them.
            key=f"{topic}-{digest}".encode(),
            value=b"",
            headers=[*self.headers, *ours, dead_letter_time],
            timestamp=self.received_ms,
        )
