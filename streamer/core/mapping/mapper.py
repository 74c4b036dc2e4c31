"""Record value -> call: decode, check the contract, read the event, write the call."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from streamer.core.errors import MappingError, SchemaError
from streamer.core.mapping import canonical, getuserfeedback, product_fruits, sprig
from streamer.core.mapping.contract import Contract, json_type
from streamer.core.mapping.decode import decode
from streamer.core.mapping.encode import encode_call
from streamer.core.mapping.native import Document
from streamer.core.model import (
    MAX_MESSAGE_ID_CHARACTERS,
    Dialect,
    Filtered,
    FilterReason,
    MappingSettings,
    SurveyEvent,
    TrackCall,
)


class _Reader(Protocol):
    """A dialect module, as far as reading goes."""

    @property
    def CONTRACTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """Names of its schemas, one a form."""

    def contract_of(self, document: Document, settings: MappingSettings, /) -> str: ...
    def read(self, document: Document, contract: str, record_time_ms: int, /) -> SurveyEvent | Filtered: ...


class _Writer(Protocol):
    """A dialect module, as far as writing goes."""

    def write(self, event: SurveyEvent, settings: MappingSettings, /) -> Document | Filtered: ...


_READERS: Final[Mapping[Dialect, _Reader]] = {
    Dialect.SPRIG: sprig,
    Dialect.PRODUCT_FRUITS: product_fruits,
    Dialect.GETUSERFEEDBACK: getuserfeedback,
    Dialect.CANONICAL: canonical,
}
_WRITERS: Final[Mapping[str, _Writer]] = {
    "sprig": sprig,
    "product_fruits": product_fruits,
    "getuserfeedback": getuserfeedback,
}

_TOMBSTONE: Final = Filtered(FilterReason.TOMBSTONE)
_REDRIVEN_FOR_OTHER: Final = Filtered(FilterReason.REDRIVEN_FOR_OTHER)
_PAUSED: Final = Filtered(FilterReason.PAUSED)
_EVENT_DISABLED: Final = Filtered(FilterReason.EVENT_DISABLED)
_NO_IDENTITY: Final = Filtered(FilterReason.NO_IDENTITY)


class Mapper:
    """Maps the records of one integration.

    Contracts are compiled once, here. ``warnings`` counts by name what was accepted although the platform rules it out.
    """

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._reader = _READERS[settings.dialect]
        self._writer = _WRITERS.get(settings.dialect)
        self._contracts = {name: Contract(name) for name in self._reader.CONTRACTS}
        self.warnings: Counter[str] = Counter()

    def map(
        self, value: bytes | None, record_time_ms: int, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> TrackCall | Filtered:
        """The call of one record, or the rule by which it makes none.

        Args:
            value: the record's value, None for a tombstone.
            record_time_ms: the broker's time of the record, milliseconds since the epoch; -1 when it has none.
            headers: the record's headers.

        Raises:
            RecordError: no reading of the record is right, or its call cannot be sent.
        """
        if value is None:
            return _TOMBSTONE
        if headers and self._is_redriven_for_other(headers):
            return _REDRIVEN_FOR_OTHER
        if self._settings.discard:
            return _PAUSED
        event = self._read(value, record_time_ms)
        return event if isinstance(event, Filtered) else self._write(event)

    def _read(self, value: bytes, record_time_ms: int) -> SurveyEvent | Filtered:
        document = decode(value, strip_registry_prefix=self._settings.strip_registry_prefix)
        if not isinstance(document, dict):
            raise SchemaError(f"the record: expected an object, found {json_type(document)}")
        name = self._reader.contract_of(document, self._settings)
        self._contracts[name].check(document, len(value))
        return self._reader.read(document, name, record_time_ms)

    def _write(self, event: SurveyEvent) -> TrackCall | Filtered:
        settings = self._settings
        writer = self._writer or _WRITERS[event.source["dialect"]]
        call = writer.write(event, settings)
        if isinstance(call, Filtered):
            return call
        name = call["event"]
        if name in settings.disabled:
            return _EVENT_DISABLED
        if "userId" not in call and "anonymousId" not in call:
            return _NO_IDENTITY
        if writer is getuserfeedback:
            for warning in getuserfeedback.warnings_of(event):
                self.warnings[warning] += 1
        call["event"] = settings.rename.get(name, name)
        call["messageId"] = message_id = event.event_id + settings.message_id_suffix
        if len(message_id) > MAX_MESSAGE_ID_CHARACTERS:
            raise MappingError(
                f"the message id: expected at most {MAX_MESSAGE_ID_CHARACTERS} characters with message_id_suffix, "
                f"found {len(message_id)}"
            )
        return TrackCall(message_id, encode_call(call))

    def _is_redriven_for_other(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether the record comes back from the dead letters of another integration that reads the same topic."""
        named = dict(headers)
        made_for = named.get("streamer.integration")
        return "streamer.redrives" in named and made_for is not None and made_for != self._settings.integration.encode()
