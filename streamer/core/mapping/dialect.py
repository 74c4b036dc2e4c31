"""What a dialect is: everything that streamer knows of one survey platform, in one object."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar, cast

from annotated_types import MinLen

from streamer.core.mapping.call import Call
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.native import Document
from streamer.core.mapping.origin import Origin
from streamer.core.model import Filtered, FilterReason, Json

Name = Annotated[str, MinLen(1)]
"""A text in the settings of a dialect that must not be empty. The model of the configuration checks it."""

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(Generic[Settings]):
    """The native form in which a platform's events arrive on a topic, and the calls that the platform makes of them.

    All functions are pure. Those that get a ``Settings`` get the dialect's own, or None if it declares none.
    """

    name: str
    """Stands in the configuration (``dialect: sprig``) and in ``source.dialect`` of events."""
    platform: str
    """What people call the platform."""
    contracts: tuple[str, ...]
    """Names of its schemas under ``schemas/``, one for each form of a record."""
    contract_of: Callable[[Document, Settings], str]
    """Which of ``contracts`` a record has to keep. Raises `SchemaError` if it has none of the known forms."""
    form_rules: Callable[[Settings], Mapping[str, Mapping[str, Json]]] | None = None
    """What decides between the forms as ``contract_of`` does, for schemas of a whole topic: a rule of JSON Schema for
    the records of each contract. None: the contracts themselves exclude one another."""
    read: Callable[[Document, str, int], SurveyEvent | Filtered]
    """A record that keeps its contract -> its event.

    Gets the record, the name of its contract, and the broker's time of the record in milliseconds since the epoch (-1:
    none). Raises `MappingError` for what no schema can say.
    """
    extra_of: Callable[[SurveyEvent], Document]
    """What the record of an event that ``read`` made says beyond the canonical form, in its native places."""
    write: Callable[[SurveyEvent, Settings], Call | Filtered] | None
    """The call that the platform makes of an event, without messageId. None: the dialect in ``source.dialect`` of the
    event writes it."""
    warnings_of: Callable[[SurveyEvent], Sequence[str]] | None = None
    """Names of what an event lacks although the platform says that it is always there. The event is sent anyway."""
    event_names: Callable[[Settings], Collection[str]] | None = None
    """All names that its calls can have, before an integration renames them. None: any name."""
    event_origins: Callable[[SurveyEvent], Sequence[Origin]] | None = None
    """From where the fields of an event that ``read`` made come, out of its record. None: the record has its form."""
    call_origins: Callable[[SurveyEvent, Settings], Sequence[Origin]] | None = None
    """From where the fields of the call that ``write`` makes of an event come, out of the event."""
    settings: type[Settings] | None = None
    """A frozen dataclass. Its fields are the settings of an integration under the dialect's name; their docstrings are
    the texts in docs/."""
    message_id_key: str | None = None
    """The key of a record at which the platform itself puts the messageId. None: messageIds are derived."""
    message_id: str
    """How messageIds are made. A text for producers, in Markdown."""
    filters: Mapping[FilterReason, str]
    """The platform's rules by which a valid record makes no call. Texts for producers, in Markdown."""

    def settings_in(self, chosen: Mapping[str, object]) -> Settings:
        """The settings of this dialect: those in ``chosen``, or the defaults."""
        default = None if self.settings is None else self.settings()
        return cast("Settings", chosen.get(self.name, default))
