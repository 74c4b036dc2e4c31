"""Every error streamer raises on purpose.

StreamerError
|-- SettingsError               a setting is missing or wrong: exit code 78
|-- UnavailableError            something that we depend on is not available: exit code 69, or tried again
|   `-- DirectoryUnavailableError   the database of users, with a reason (`streamer.directory.unavailable`)
`-- RecordError                 this record can never become a call: dead-letter it
    |-- DecodeError             its bytes are not one JSON document
    |-- SchemaError             a field is missing or has the wrong shape
    |-- MappingError            it has the right shape, and still cannot be mapped
    `-- TooLargeError           its call is over Segment's limit and cannot be shortened, or it has too many values

The caller chooses by type, never by text. Texts never quote a value of a record, an answer or a secret: they name a
place (a JSON Pointer), what was expected there, and the *type* that was found.
"""

from streamer.core.model import DeadLetterReason, Stage


class StreamerError(Exception):
    """Base of everything streamer raises on purpose."""


class SettingsError(StreamerError):
    """The configuration cannot be used; ``faults`` lists everything that is wrong with it, a line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UnavailableError(StreamerError):
    """Something that we depend on does not answer, or lacks what we need; the text says what to do."""


class RecordError(StreamerError):
    """This record can never become a call. ``detail`` is written for its producer and quotes no value."""

    reason: DeadLetterReason
    stage: Stage

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class DecodeError(RecordError):
    """The record's value is not one JSON document in UTF-8."""

    reason = DeadLetterReason.DECODE_ERROR
    stage = Stage.DECODE


class SchemaError(RecordError):
    """The document does not have the shape that its dialect's JSON Schema asks for."""

    reason = DeadLetterReason.SCHEMA_INVALID
    stage = Stage.VALIDATE


class MappingError(RecordError):
    """The document has the right shape and still cannot be mapped: a date that does not exist, ranks used twice."""

    reason = DeadLetterReason.MAPPING_ERROR
    stage = Stage.MAP


class TooLargeError(RecordError):
    """The call is over Segment's limit for one event even with its texts cut, or the record has too many values."""

    reason = DeadLetterReason.TOO_LARGE
    stage = Stage.MAP
