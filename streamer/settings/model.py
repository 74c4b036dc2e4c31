"""The whole configuration, and the sections of an integration.

The docstring of each setting is its text in ``docs/configuration.md``; ``make docs`` writes that page.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    create_model,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamer.core.inbound.rules import OWN_EVENTS, Rules
from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.model import MappingSettings
from streamer.core.pushing.pushes import PUSHES, Push
from streamer.settings.destinations import DestinationSettings
from streamer.settings.inbound import INBOUND, DirectorySettings, InboundSettings
from streamer.settings.sections import (
    ControlSettings,
    KafkaSettings,
    LogSettings,
    ReceiptsSettings,
    Section,
    ServerSettings,
    Size,
    Switch,
    Topic,
)

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})")


def _parse_start(text: object) -> str | datetime:
    if isinstance(text, str) and text in {"earliest", "latest"}:
        return text
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError as error:
            raise ValueError("is not a date and time that exists") from error
    raise ValueError("should be earliest, latest or a time with its zone, such as 2026-01-31T08:00:00Z")


Name = Annotated[str, Field(min_length=1)]
AnySection = TypeVar("AnySection", bound=Section)
Start = Annotated[str | datetime, PlainValidator(_parse_start), PlainSerializer(str)]
"""``earliest``, ``latest`` or an instant with its zone."""


class EventsSettings(Section):
    """Names of events, as the platform gives them, that are sent under another name or not at all."""

    rename: dict[Name, Name] = Field(default_factory=dict)
    """The platform's event name, and the name to send instead. The messageId stays the same."""
    disabled: tuple[Name, ...] = ()
    """The platform's names of events that are not sent. Their records are filtered as ``event_disabled``."""


class DeadLettersSettings(Section):
    """Where dead letters go, and when the mass guard stops the integration."""

    topic: Topic | None = None
    """Topic for the dead letters of the whole integration. Without it, each topic has its own: ``<topic>.dlq``."""
    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the last 200 records above which the mass guard stops the integration instead of dead-lettering more, if
    at least 20 were rejected or refused. If all records are from some moment on, it does so after 20 dead letters. 1
    switches the guard off."""


class LimitsSettings(Section):
    """How many records of an integration may be open at a time. At a limit, the next records wait on Kafka."""

    max_open_records: Annotated[int, Field(ge=1)] = 200_000
    """Most records that are read and not settled, without those that are parked."""
    max_open_bytes: Annotated[Size, Field(ge=1 << 20)] = 64 << 20
    """Most memory for the values of these records and the calls made from them. Parked records have the same limit
    once more."""
    max_parked_per_partition: Annotated[int, Field(ge=1)] = 2_000
    """Most records of a partition that are parked: they failed alone and wait for their next attempt. Above it, the one
    with the most attempts is dead-lettered early. At most ``max_open_records``."""


def with_settings_of(
    dialects: Mapping[str, Dialect[Any]], pushes: Mapping[str, Push] = PUSHES
) -> Callable[[type[AnySection]], type[AnySection]]:
    """Adds to a section what the dialects declare: their names, and under each name the settings of that dialect."""
    # A type checker accepts neither with an argument that only exists at run time.
    literal, annotated = cast("Any", Literal), cast("Any", Annotated)
    for_all = [name for name, dialect in dialects.items() if dialect.write is None]
    added: dict[str, Any] = {}
    sections = [(name, one.settings, (name, *for_all)) for name, one in dialects.items()]
    sections += [(name, one.settings, (name,)) for name, one in pushes.items()]
    for name, settings, users in sections:
        if settings is not None:
            kind = annotated[settings, BeforeValidator(_null_is_default(settings))]
            only = f"Only for the dialect{'s' * (len(users) > 1)} {' and '.join(f'``{user}``' for user in users)}."
            added[name] = (kind, Field(default=settings(), description=only))

    def extend(section: type[AnySection]) -> type[AnySection]:
        names = Field(description=section.model_fields["dialect"].description)
        return create_model(
            section.__name__,
            __base__=section,
            __doc__=section.__doc__,
            __module__=section.__module__,
            dialect=(literal[(*dialects, *pushes)], names),
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
    """Form of the records: that of the platform, or ``canonical`` for streamer's own. ``profiles`` and ``triggers`` are
    the topics that the way back writes; they need a destination whose ``kind`` is a platform."""
    topics: Annotated[tuple[Topic, ...], Field(min_length=1, max_length=1_000)]
    """Topics to read. The name of a topic has 1 to 249 letters, digits, dots, underscores and hyphens."""
    destination: str
    """Name of the destination, one of ``destinations``."""
    group_id: Annotated[str, Field(min_length=1, max_length=255)]
    """Consumer group. No two integrations may have the same one."""
    start: Start = "earliest"
    """Where to begin with a topic of which the group has stored no position at all. This is decided once, for all
    partitions of the topic, at the first start, also when the integration is paused then. Partitions that the topic
    gets later are read from their beginning, also when they were added while streamer did not run. A time needs a zone,
    as in ``2026-01-31T08:00:00Z``."""
    status: Literal["running", "paused"] = "running"
    """``running``: records are read and delivered. ``paused``: they are not; ``on_pause`` says what becomes of them."""
    on_pause: Literal["hold", "discard"] = "hold"
    """What happens to records while the integration is paused. ``hold``: they stay on Kafka, for as long as the topic
    keeps them; streamer remains a member of the consumer group, so that its positions do not expire. ``discard``: they
    are filtered as ``paused``."""
    identify_devices: bool = False
    """Whether an event that has an anonymous id and no user id gets a ``userId``: that of the user to whom the
    ``directory`` links this device when the event is read, or did a minute ago at most. The messageId stays the same.
    Another process may keep the directory. While it is away or slow, such events are delivered as they are."""
    events: EventsSettings = EventsSettings()
    """Events to rename or not to send."""
    strip_registry_prefix: bool = False
    """Whether values begin with the 5-byte prefix of a Confluent-compatible schema registry (JSON Schema only)."""
    dead_letters: DeadLettersSettings = DeadLettersSettings()
    """Where dead letters go, and how many there may be."""
    limits: LimitsSettings = LimitsSettings()
    """How much may be open at a time."""

    def dead_letter_topic(self, topic: str) -> str:
        """Where records of ``topic`` go that can never be delivered."""
        return self.dead_letters.topic or f"{topic}.dlq"

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read: a person stopped the integration, and its records wait on Kafka."""
        return self.status == "paused" and self.on_pause == "hold"


class Settings(Section, BaseSettings):
    """The whole configuration. Made by `streamer.settings.load`, which also checks what no single section can."""

    model_config = SettingsConfigDict(env_prefix="STREAMER_", env_nested_delimiter="__")

    kafka: KafkaSettings = KafkaSettings()
    """The brokers."""
    state_dir: Path = Path("state")
    """Directory for the receipts and for the notes of the mass guard. It must be on a local disk, and no two processes
    may share it."""
    receipts: ReceiptsSettings = ReceiptsSettings()
    """Notes of what was delivered."""
    control: Annotated[ControlSettings | None, Switch] = ControlSettings()
    """How operators steer running instances. ``false``: they cannot."""
    server: ServerSettings = ServerSettings()
    """Health, metrics and status over HTTP."""
    log: LogSettings = LogSettings()
    """What is logged, and how."""
    destinations: dict[str, DestinationSettings] = Field(default_factory=dict)
    """Where calls go, by name. A name has 1 to 64 letters, digits, dots, underscores and hyphens."""
    integrations: dict[str, IntegrationSettings] = Field(default_factory=dict)
    """What is delivered, by name. A name has 1 to 64 letters, digits, dots, underscores and hyphens."""
    inbound: InboundSettings | None = None
    """The way back: Segment's webhook calls update the directory of users. Without this section, it is off."""
    directory: Annotated[DirectorySettings | None, Switch] = DirectorySettings()
    """Where the directory of users is stored. ``false``: this process only receives webhooks, and another one applies
    their calls."""

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
        destination = self.destinations[integration.destination]
        return MappingSettings(
            dialect=integration.dialect,
            kind=destination.kind,
            rename=integration.events.rename,
            disabled=frozenset(integration.events.disabled),
            message_id_suffix=destination.message_id_suffix,
            strip_registry_prefix=integration.strip_registry_prefix,
            discard=integration.status == "paused" and integration.on_pause == "discard",
            integration=name,
            dialect_settings={
                name: getattr(integration, name)
                for name in (*DIALECTS, *PUSHES)
                if name in type(integration).model_fields
            },
        )

    def inbound_rules(self) -> Rules:
        """All that decides what becomes of the calls of webhooks."""
        inbound = self.inbound
        assert inbound is not None, "asked only where the way back is on"
        renamed = (
            name
            for integration in self.integrations.values()
            if integration.dialect in DIALECTS  # the others never reach Segment
            for name in integration.events.rename.values()
        )
        guarded = inbound.loop_guard.events
        return Rules(
            environment=inbound.environment,
            match=inbound.match,
            remove_nulls=inbound.null_traits == "remove",
            screen_is_event=inbound.screen == "event",
            group_is_attributes=inbound.group == "attributes",
            trigger_events=None if inbound.triggers.events is None else frozenset(inbound.triggers.events),
            anonymous_triggers=inbound.triggers.anonymous,
            max_trigger_age_seconds=inbound.triggers.max_age,
            own_events=OWN_EVENTS.union(renamed) if guarded is None else frozenset(guarded),
            refuse_unauthenticated=frozenset(
                name for name, webhook in inbound.webhooks.items() if webhook.unauthenticated == "dead_letter"
            ),
            profiles_topic=inbound.profiles_topic,
            triggers_topic=inbound.triggers_topic,
            max_attributes=inbound.limits.max_attributes,
            max_value_bytes=inbound.limits.max_value_bytes,
            max_devices_per_user=inbound.limits.max_devices_per_user,
            max_redirects_per_user=inbound.limits.max_redirects_per_user,
        )

    def groups(self) -> dict[str, str]:
        """The consumer group of each integration, the way back included."""
        groups = {name: integration.group_id for name, integration in self.integrations.items()}
        return groups if self.inbound is None else groups | {INBOUND: self.inbound.group_id}

    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with any effective setting but the secrets."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)  # secrets dump as asterisks
        return hashlib.sha256(text.encode()).hexdigest()[:12]
