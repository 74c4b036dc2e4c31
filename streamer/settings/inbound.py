"""The sections of the configuration about the way back: webhooks, rules for calls, and the directory of users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from streamer.core.inbound.rules import MAX_CALL_BYTES
from streamer.settings.sections import (
    LongDuration,
    PositiveDuration,
    Secret,
    Section,
    Size,
    Switch,
    Topic,
    read_secret_file,
)


def _check_secret(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("is empty; write the shared secret of the webhook, as in Segment")
    return secret


INBOUND: Final = "inbound"
"""Name of the way back in logs, metrics and dead letters, beside those of integrations."""

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sprig": {"match": ["user_id"]},
    "product_fruits": {"triggers": {"anonymous": False}},
    "getuserfeedback": {"match": ["user_id", "email"]},
}
"""What differs from the defaults in each preset. A setting that is given counts more than its preset."""

WebhookSecret = Annotated[Secret, AfterValidator(_check_secret)]


DEFAULT_DIRECTORY_URL: Final = "sqlite:///state/directory.db"


class ListenSettings(Section):
    """Where Segment's webhooks arrive, apart from ``server``."""

    host: str = "127.0.0.1"
    """Address to listen on. Segment sends to https only, so a proxy or load balancer with TLS stands before it."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8081
    """0: any free port; it is logged."""


class WebhookSettings(Section):
    """One webhook: its name is the last part of the path, ``/webhooks/segment/<name>``."""

    secrets: tuple[WebhookSecret, ...] = ()
    """Shared secrets that may have signed a request. Several while a secret is replaced. Give this setting or
    ``secrets_file``."""
    secrets_file: Path | None = None
    """File with the secrets, one a line. streamer reads it again when it changes. While it cannot be read, the last
    secrets count."""
    bearer_token: Secret | None = None
    """Token that requests must carry as well, as ``Authorization: Bearer <token>``."""
    bearer_token_file: Path | None = None
    """File that holds this token and nothing else. streamer reads it again when it changes."""
    unauthenticated: Literal["accept", "dead_letter"] = "accept"
    """What becomes of calls that the signature does not cover: Segment signs only the first call of a batch. A right
    bearer token covers all of them. This setting belongs to the process that applies calls; with ``listen: false``, a
    webhook needs no secret."""

    def read_secrets(self) -> tuple[str, ...]:
        """The secrets; those in a file are read again at each call.

        Raises:
            UnavailableError: the file cannot be read or holds no secret.
        """
        if self.secrets_file is None:
            return tuple(secret.get_secret_value() for secret in self.secrets)
        lines = read_secret_file(self.secrets_file, "secrets_file").splitlines()
        return tuple(line for line in lines if line)

    def read_bearer_token(self) -> str | None:
        """The token; None: none is asked for. One in a file is read again at each call.

        Raises:
            UnavailableError: the file cannot be read or holds no token.
        """
        if self.bearer_token_file is not None:
            return read_secret_file(self.bearer_token_file, "bearer_token_file")
        return None if self.bearer_token is None else self.bearer_token.get_secret_value()


class InboundDeadLettersSettings(Section):
    """Where calls go that nobody can apply."""

    topic: Topic = "segment.inbound.dlq"
    """Topic of the dead letters."""


class TriggersSettings(Section):
    """Which tracked events are published."""

    events: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    """Names of the events to publish. Without it, all are."""
    anonymous: bool = True
    """Whether events of persons without a userId are published."""
    max_age: PositiveDuration | None = None
    """Events older than this are not published. Without it, the age does not matter."""


class LoopGuardSettings(Section):
    """How calls are recognised that streamer itself sent to Segment."""

    events: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    """Names of the events that streamer sends. Without it: the names that the survey platforms' events have by default,
    and those that ``integrations`` rename events to."""


class InboundLimitsSettings(Section):
    """How much a request, a call and a user may hold."""

    max_body_bytes: Annotated[Size, Field(ge=1)] = 8 << 20
    """Largest body of a request, before and after decompression. Above it: 413."""
    max_calls: Annotated[int, Field(ge=1)] = 5_000
    """Most calls in a request. Above it: 413."""
    max_call_bytes: Annotated[Size, Field(ge=1, le=MAX_CALL_BYTES)] = MAX_CALL_BYTES
    """Largest call. Above it: 413 if it is alone in its request, else a dead letter without value."""
    max_open_bytes: Annotated[Size, Field(ge=1)] = 64 << 20
    """Most bytes of bodies that are received and not answered. Above it: 503."""
    max_attributes: Annotated[int, Field(ge=1)] = 100
    """Most attributes of a user or device. New ones above it are dropped and counted."""
    max_value_bytes: Annotated[Size, Field(ge=1)] = 4_096
    """Largest value of an attribute, as JSON. Larger ones are dropped and counted."""
    max_devices_per_user: Annotated[int, Field(ge=1)] = 100
    """Most devices of a user. Above it, the one with the oldest link is unlinked."""
    max_redirects_per_user: Annotated[int, Field(ge=1)] = 100
    """Most former names of a user that are remembered. Above it, the oldest is forgotten."""
    forget_devices: LongDuration = 90 * 86_400.0
    """How long a device without a user is remembered after it was named last."""


class InboundSettings(Section):
    """The way back: Segment's webhook calls update the directory of users."""

    preset: Literal["sprig", "product_fruits", "getuserfeedback"] | None = None
    """Other defaults, so that the rules are those of a platform's own integration."""
    environment: str | None = None
    """Name of the environment (Sprig's "Env Id"). It stands in profiles and triggers. A directory holds one."""
    debug: bool = False
    """Whether each applied call makes a line in the log at ``info``, not at ``debug``."""
    listen: Annotated[ListenSettings | None, Switch] = ListenSettings()
    """Where webhooks arrive. ``false``: this process receives none, and applies what others have received."""
    webhooks: dict[str, WebhookSettings] = Field(default_factory=dict)
    """The webhooks, by name. A name has 1 to 64 letters, digits, dots, underscores and hyphens."""
    topic: Topic = "segment.inbound"
    """Topic between the webhooks and the directory."""
    group_id: Annotated[str, Field(min_length=1, max_length=255)] = "streamer.inbound"
    """Consumer group that applies the calls."""
    dead_letters: InboundDeadLettersSettings = InboundDeadLettersSettings()
    """Where calls go that nobody can apply."""
    profiles_topic: Topic = "surveys.profiles"
    """Topic for changed users. It must be compacted."""
    triggers_topic: Topic = "surveys.triggers"
    """Topic for tracked events."""
    match: tuple[Literal["email", "user_id"], ...] = ("email", "user_id")
    """By what a person is looked for, in this order. What is left out never finds anybody."""
    null_traits: Literal["keep", "remove"] = "keep"
    """What a null does to the value that is there."""
    screen: Literal["ignore", "event"] = "ignore"
    """What a screen call is. ``event``: a tracked event, named by ``name``."""
    group: Literal["ignore", "attributes"] = "ignore"
    """What a group call is. ``attributes``: it writes ``group.id`` and ``group.<trait>`` of its user."""
    triggers: TriggersSettings = TriggersSettings()
    """Which tracked events are published."""
    loop_guard: LoopGuardSettings = LoopGuardSettings()
    """How streamer's own events are recognised when they come back."""
    remember: LongDuration = 30 * 86_400.0
    """How long messageIds and marks of deleted users are remembered."""
    limits: InboundLimitsSettings = InboundLimitsSettings()
    """How much a request, a call and a user may hold."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        preset = value.get("preset")
        defaults = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
        for key, entry in defaults.items():
            given = value.get(key)
            if isinstance(entry, Mapping) and isinstance(given, Mapping):
                value = value | {key: {**entry, **{name: one for name, one in given.items() if one is not None}}}
            elif given is None:
                value = value | {key: entry}
        return value


class DirectorySettings(Section):
    """Where the directory of users is stored."""

    url: Secret | None = None
    """``sqlite:///<path>`` or ``postgresql://user:password@host:port/database``. A password is never printed."""
    url_file: Path | None = None
    """File that holds the address and nothing else, for an address with a password. It is read again whenever streamer
    connects."""

    def read_url(self) -> str:
        """The address, with its password; one in a file is read again at each call.

        Raises:
            UnavailableError: the file cannot be read.
        """
        if self.url_file is not None:
            return read_secret_file(self.url_file, "url_file")
        return DEFAULT_DIRECTORY_URL if self.url is None else self.url.get_secret_value()

    def show_url(self) -> str:
        """Where it is, for people: kind, host and name of the database, without user and password."""
        if self.url_file is not None:
            return f"address in {self.url_file}"
        url = urlsplit(self.read_url())
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
