"""The whole configuration, and the sections of an integration."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    create_model,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import MappingSettings
from streamer.settings.sections import (
    DestinationSettings,
    KafkaSettings,
    LogSettings,
    ReceiptsSettings,
    Section,
    ServerSettings,
    Size,
)

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})")


def _check_topic(topic: str) -> str:
    if not _TOPIC.fullmatch(topic):
        raise ValueError("is no topic name: it should be 1 to 249 letters, digits, dots, underscores and hyphens")
    return topic


def _parse_start(text: object) -> str | datetime:
    if isinstance(text, str) and text in {"earliest", "latest"}:
        return text
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError as error:
            raise ValueError("is no date and time that exists") from error
    raise ValueError("should be earliest, latest or a time with its zone, such as 2026-01-31T08:00:00Z")


Topic = Annotated[str, AfterValidator(_check_topic)]
Name = Annotated[str, Field(min_length=1)]
AnySection = TypeVar("AnySection", bound=Section)
Start = Annotated[str | datetime, PlainValidator(_parse_start), PlainSerializer(str)]
"""``earliest``, ``latest`` or an instant with its zone."""


class EventsSettings(Section):
    """Names of events, as the platform gives them, that are sent under another name or not at all."""

    rename: dict[Name, Name] = Field(default_factory=dict)
    disabled: tuple[Name, ...] = ()


class DeadLettersSettings(Section):
    """Where refused records go, and how many may before the integration holds itself."""

    topic: Topic | None = None
    """None: ``<topic>.dlq`` of each topic."""
    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5


class LimitsSettings(Section):
    """How much of an integration may be open at a time."""

    max_open_records: Annotated[int, Field(ge=1)] = 200_000
    max_open_bytes: Annotated[Size, Field(ge=1 << 20)] = 64 << 20
    max_parked_per_partition: Annotated[int, Field(ge=1)] = 2_000


def with_settings_of(dialects: Mapping[str, Dialect[Any]]) -> Callable[[type[AnySection]], type[AnySection]]:
    """Adds to a section what the dialects declare: their names, and under each name the settings of that dialect."""
    # A type checker accepts neither with an argument that only exists at run time.
    literal, annotated = cast("Any", Literal), cast("Any", Annotated)
    for_all = [name for name, dialect in dialects.items() if dialect.write is None]
    added: dict[str, Any] = {}
    for name, dialect in dialects.items():
        if dialect.settings is not None:
            kind = annotated[dialect.settings, BeforeValidator(_null_is_default(dialect.settings))]
            users = " and ".join(f"``{user}``" for user in (name, *for_all))
            added[name] = (kind, Field(default=dialect.settings(), description=f"Only for the dialects {users}."))

    def extend(section: type[AnySection]) -> type[AnySection]:
        names = Field(description=section.model_fields["dialect"].description)
        return create_model(
            section.__name__,
            __base__=section,
            __doc__=section.__doc__,
            __module__=section.__module__,
            dialect=(literal[tuple(dialects)], names),
            **added,
        )

    return extend


def _null_is_default(settings: type) -> Callable[[object], object]:
    """Null stands for the default, as in every `Section`."""
    known = {field.name for field in fields(settings)}

    def without_nulls(value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: entry for key, entry in value.items() if entry is not None or key not in known}

    return without_nulls


@with_settings_of(DIALECTS)  # makes a class of this one, so this one itself need not be built
class IntegrationSettings(Section, defer_build=True):
    """Topics of one dialect, bound to one destination, with a consumer group of their own."""

    dialect: str
    """Form of the records: that of the platform, or ``canonical`` for streamer's own."""
    topics: Annotated[tuple[Topic, ...], Field(min_length=1, max_length=1_000)]
    destination: str
    group_id: Annotated[str, Field(min_length=1, max_length=255)]
    """``streamer.<name>`` by default."""
    start: Start = "earliest"
    """Where a group without committed positions begins."""
    status: Literal["running", "paused"] = "running"
    on_pause: Literal["hold", "discard"] = "hold"
    """hold: records stay on Kafka while paused; discard: they are filtered."""
    events: EventsSettings = EventsSettings()
    strip_registry_prefix: bool = False
    dead_letters: DeadLettersSettings = DeadLettersSettings()
    limits: LimitsSettings = LimitsSettings()

    def dead_letter_topic(self, topic: str) -> str:
        """Where records of ``topic`` go that can never be delivered."""
        return self.dead_letters.topic or f"{topic}.dlq"

    @property
    def is_held(self) -> bool:
        """Whether nothing is read: the integration is paused, and its records wait on Kafka."""
        return self.status == "paused" and self.on_pause == "hold"


class Settings(Section, BaseSettings):
    """The whole configuration. Made by `streamer.settings.load`, which also checks what no single section can."""

    model_config = SettingsConfigDict(env_prefix="STREAMER_", env_nested_delimiter="__")

    kafka: KafkaSettings = KafkaSettings()
    state_dir: Path = Path("state")
    receipts: ReceiptsSettings = ReceiptsSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    destinations: dict[str, DestinationSettings] = Field(default_factory=dict)
    integrations: dict[str, IntegrationSettings] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's, here and below
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `streamer.settings.load` merged: it knows which environment to read, and which file."""
        return (init_settings,)

    @field_validator("integrations", mode="before")
    @classmethod
    def _name_groups(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {**entry, "group_id": entry.get("group_id") or f"streamer.{name}"}
            if isinstance(entry, dict)
            else entry
            for name, entry in value.items()
        }

    def mapping(self, name: str) -> MappingSettings:
        """All that decides how the records of the integration ``name`` become calls."""
        integration = self.integrations[name]
        return MappingSettings(
            dialect=integration.dialect,
            rename=integration.events.rename,
            disabled=frozenset(integration.events.disabled),
            message_id_suffix=self.destinations[integration.destination].message_id_suffix,
            strip_registry_prefix=integration.strip_registry_prefix,
            discard=integration.status == "paused" and integration.on_pause == "discard",
            integration=name,
            dialect_settings={
                name: getattr(integration, name) for name, dialect in DIALECTS.items() if dialect.settings is not None
            },
        )

    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with any effective setting but the secrets."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)  # secrets dump as asterisks
        return hashlib.sha256(text.encode()).hexdigest()[:12]
