"""What the mappers of profiles and of triggers share: which records are looked at at all, and their contract."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from streamer.core.errors import SchemaError
from streamer.core.mapping.decode import decode
from streamer.core.mapping.expectation import json_type
from streamer.core.mapping.native import Document
from streamer.core.model import Filtered, FilterReason, MappingSettings
from streamer.core.pushing.apis import APIS

Headers = Sequence[tuple[str, bytes | None]]

REDRIVEN_FOR_OTHER: Final = Filtered(FilterReason.REDRIVEN_FOR_OTHER)
PAUSED: Final = Filtered(FilterReason.PAUSED)


class PushMapper:
    """One integration that reads a topic of the directory, and the API of its destination.

    ``warnings`` counts, by name, what was left out because the API does not take it.
    """

    schema_header: bytes
    """What ``streamer.schema`` says of the records."""

    def __init__(self, settings: MappingSettings, contract: str) -> None:
        # Its library loads slowly, and reading the configuration imports this module without needing it.
        from streamer.core.mapping.contract import Contract  # noqa: PLC0415

        self._settings = settings
        self._api = APIS[settings.kind]
        self._contract = Contract(contract)
        self.warnings: Counter[str] = Counter()

    def _filtered(self, headers: Headers) -> Filtered | None:
        """The rule by which a record makes no call whatever its value is, if there is one."""
        named = dict(headers)
        made_for = named.get("streamer.integration")
        if "streamer.redrives" in named and made_for not in {None, self._settings.integration.encode()}:
            return REDRIVEN_FOR_OTHER
        return PAUSED if self._settings.discard else None

    def _document(self, value: bytes, headers: Headers) -> Document:
        """The document that a record is.

        Raises:
            RecordError: it is none, or breaks its contract.
        """
        said = dict(headers).get("streamer.schema")
        if said is not None and said != self.schema_header:
            raise SchemaError(f"the header streamer.schema: expected {self.schema_header.decode()}, found another one")
        document = decode(value, strip_registry_prefix=self._settings.strip_registry_prefix)
        if not isinstance(document, dict):
            raise SchemaError(f"the record: expected an object, found {json_type(document)}")
        if not self._contract.is_kept_by(document):
            raise SchemaError(self._contract.explain_breach(document, len(value)))
        return document

    def _note(self, warning: str) -> None:
        self.warnings[warning] += 1
