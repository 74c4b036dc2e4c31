"""Record value -> call: decode, check the contract, read the event, write the call."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping.call import Call
from streamer.core.mapping.canonical import to_document
from streamer.core.mapping.decode import decode
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.encode import encode_call
from streamer.core.mapping.event import EventDocument, SurveyEvent
from streamer.core.mapping.expectation import json_type
from streamer.core.mapping.finding import is_json
from streamer.core.mapping.naming import name
from streamer.core.mapping.native import Document
from streamer.core.mapping.pointer import Place
from streamer.core.mapping.times import EXACT_CHARACTERS, exact
from streamer.core.model import MAX_MESSAGE_ID_CHARACTERS, Filtered, FilterReason, Json, MappingSettings, TrackCall

if TYPE_CHECKING:
    from streamer.core.mapping.contract import Contract

_TOMBSTONE: Final = Filtered(FilterReason.TOMBSTONE)
_REDRIVEN_FOR_OTHER: Final = Filtered(FilterReason.REDRIVEN_FOR_OTHER)
_PAUSED: Final = Filtered(FilterReason.PAUSED)
_EVENT_DISABLED: Final = Filtered(FilterReason.EVENT_DISABLED)
_NO_IDENTITY: Final = Filtered(FilterReason.NO_IDENTITY)

FILTERS: Final = {
    FilterReason.TOMBSTONE: "the record has no value",
    FilterReason.REDRIVEN_FOR_OTHER: "the record is a dead letter of another integration, redriven for that one",
    FilterReason.PAUSED: "the integration is paused with `on_pause: discard`",
    FilterReason.EVENT_DISABLED: "the name of the event, before renaming, is in `events.disabled`",
    FilterReason.NO_IDENTITY: "the call would have neither a `userId` nor an `anonymousId`",
}
"""The rules that `Mapper` applies to every dialect, for producers."""

_CONNECT_ENVELOPE: Final = frozenset({"schema", "payload"})
_CONNECT_DETAIL: Final = (
    "the record: expected the event itself, found a Kafka Connect envelope of schema and payload;"
    " set value.converter.schemas.enable=false at the connector that writes it"
)

_Writer = tuple[
    Callable[[SurveyEvent, Any], Call | Filtered],
    object,
    Callable[[SurveyEvent], Sequence[str]] | None,
]
"""A dialect's ``write``, its settings, and its ``warnings_of``. A plain tuple: it is unpacked for each record."""


class Mapper:
    """Maps the records of one integration.

    Contracts are compiled once, here. ``warnings`` counts, by name, records that were accepted although they lack
    something that the platform says is always there.
    """

    keeps_latest = False
    """Whether of the calls with one messageId only the newest one counts. An event never replaces another one."""

    def __init__(self, settings: MappingSettings, user_of: Callable[[str], str | None] | None = None) -> None:
        """Prepare for the records of one integration.

        Args:
            settings: all that decides how they become calls.
            user_of: knows the user of an anonymous id, or does not; None: events stay as their platform sent them.
        """
        # Its library loads slowly, and reading the configuration imports this module without needing it.
        from streamer.core.mapping.contract import Contract  # noqa: PLC0415

        self._settings = settings
        self._user_of = user_of
        dialect = DIALECTS[settings.dialect]
        self._contract_of, self._read, self._extra_of = dialect.contract_of, dialect.read, dialect.extra_of
        self._message_id_key = dialect.message_id_key
        self._dialect_settings = dialect.settings_in(settings.dialect_settings)
        self._writers: dict[str, _Writer] = {
            name: (dialect.write, dialect.settings_in(settings.dialect_settings), dialect.warnings_of)
            for name, dialect in DIALECTS.items()
            if dialect.write is not None
        }
        self._writer = self._writers.get(settings.dialect)
        self._contracts = {name: Contract(name) for name in dialect.contracts}
        self.warnings: Counter[str] = Counter()

    def map(
        self,
        value: bytes | None,
        record_time_ms: int,
        headers: Sequence[tuple[str, bytes | None]] = (),
        _key: bytes | None = None,
    ) -> TrackCall | Filtered:
        """The call of one record, or the rule by which it makes none; the record's key says nothing of an event.

        Args:
            value: the record's value, None for a tombstone.
            record_time_ms: the broker's time of the record, milliseconds since the epoch; -1 when it has none.
            headers: the record's headers.

        Raises:
            RecordError: no reading of the record is right, or its call cannot be sent.
        """
        event = self.read(value, record_time_ms, headers)
        if isinstance(event, Filtered):
            return event
        if self._user_of is not None:
            # Between reading and writing: a messageId that is derived from the person stays the same.
            _identify(event, self._user_of)
        try:
            return self.write(event)
        except Exception as error:
            name(error, event.event_id, self._settings.message_id_suffix)
            raise

    def anonymous_id_of(
        self, value: bytes | None, record_time_ms: int, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> str | None:
        """The id by which `map`, called with the same arguments, would ask for the user; None: it would not ask.

        Whatever is wrong with the record is told by `map`.
        """
        try:
            event = self.read(value, record_time_ms, headers)
        except Exception:  # noqa: BLE001 - see above
            return None
        return None if isinstance(event, Filtered) else _only_anonymous_id(event)

    def read(
        self, value: bytes | None, record_time_ms: int, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> SurveyEvent | Filtered:
        """The first half of `map`, with the same arguments: the event of one record.

        Raises:
            RecordError: no reading of the record is right.
        """
        if value is None:
            return _TOMBSTONE
        settings = self._settings
        if headers and self._is_redriven_for_other(headers):
            return _REDRIVEN_FOR_OTHER
        if settings.discard:
            return _PAUSED
        document = decode(value, strip_registry_prefix=settings.strip_registry_prefix)
        if not isinstance(document, dict):
            raise SchemaError(f"the record: expected an object, found {_finding(document)}")
        try:
            form = self._contract_of(document, self._dialect_settings)
            contract = self._contracts[form]
            if not contract.is_kept_by(document):
                document = _cured(document, contract, len(value))
            return self._read(document, form, record_time_ms)
        except Exception as error:
            if isinstance(error, SchemaError):
                _refuse_envelope(document)
            if self._message_id_key is not None:
                name(error, document.get(self._message_id_key), settings.message_id_suffix)
            raise

    def write(self, event: SurveyEvent) -> TrackCall | Filtered:
        """The second half of `map`: the call of an event that this mapper has read.

        Raises:
            RecordError: the call cannot be sent.
        """
        settings, time = self._settings, event.occurred_at
        # `exact` asks the same, but a call of it for each record would take 0.1 us.
        if len(time) != EXACT_CHARACTERS or time[17] > "5" or "z" in time or "t" in time or time < "0001":
            event.occurred_at = exact(time)
        write, dialect_settings, warnings_of = self._writer or self._writers[event.source["dialect"]]
        call = write(event, dialect_settings)
        if isinstance(call, Filtered):
            return call
        event_name = call["event"]
        if event_name in settings.disabled:
            return _EVENT_DISABLED
        if "userId" not in call and "anonymousId" not in call:
            return _NO_IDENTITY
        if warnings_of is not None:
            for warning in warnings_of(event):
                self.warnings[warning] += 1
        call["event"] = settings.rename.get(event_name, event_name)
        call["messageId"] = message_id = event.event_id + settings.message_id_suffix
        if len(message_id) > MAX_MESSAGE_ID_CHARACTERS:
            raise MappingError(
                f"the message id: expected at most {MAX_MESSAGE_ID_CHARACTERS} characters with message_id_suffix, "
                f"found {len(message_id)}"
            )
        return TrackCall(message_id, encode_call(call))

    def message_id_of(self, event: SurveyEvent) -> str:
        """The messageId with which the call of an event is sent, if it makes one."""
        return event.event_id + self._settings.message_id_suffix

    def to_document(self, event: SurveyEvent) -> EventDocument:
        """The canonical document of an event that this mapper has read, with everything that its record says.

        Raises:
            MappingError: its time does not exist.
        """
        event.occurred_at = exact(event.occurred_at)
        return to_document(event, self._extra_of(event))

    def places_refused(self, document: Document, size: int) -> list[Place]:
        """The places at which a record of ``size`` bytes breaks its contract, for whoever may see its values."""
        try:
            contract = self._contracts[self._contract_of(document, self._dialect_settings)]
            return list(dict.fromkeys(breach.place for breach in contract.breaches(document, size)))
        except (SchemaError, ValueError):  # it has none of the known forms, or is nested too deeply
            return []

    def _is_redriven_for_other(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether the record was redriven from the dead letters of another integration that reads the same topic."""
        named = dict(headers)
        made_for = named.get("streamer.integration")
        return "streamer.redrives" in named and made_for is not None and made_for != self._settings.integration.encode()


def _only_anonymous_id(event: SurveyEvent) -> str | None:
    """The anonymous id of the person of an event, if nothing says which user it is."""
    subject = event.subject
    return None if "user_id" in subject else subject.get("anonymous_id")


def _identify(event: SurveyEvent, user_of: Callable[[str], str | None]) -> None:
    anonymous_id = _only_anonymous_id(event)
    user = None if anonymous_id is None else user_of(anonymous_id)
    if user is not None:
        event.subject["user_id"] = user


def _cured(document: Document, contract: "Contract", size: int) -> Document:
    """A document that keeps its contract once what is meant as absent is absent.

    Args:
        document: it breaks the contract as it is.
        contract: the contract.
        size: of the record, in bytes.

    Raises:
        SchemaError: it breaks the contract even so.
    """
    cured = contract.without_absent(document)
    if contract.is_kept_by(cured):
        return cured
    raise SchemaError(contract.explain_breach(document, size))


def _refuse_envelope(document: Document) -> None:
    """Raise `SchemaError` if a document is an envelope around the event."""
    if document.keys() == _CONNECT_ENVELOPE:
        raise SchemaError(_CONNECT_DETAIL) from None


def _finding(document: Json) -> str:
    """What a record is that is no object."""
    if isinstance(document, str) and is_json(document):
        return "JSON text inside a JSON string: its producer encodes the event twice"
    return json_type(document)
