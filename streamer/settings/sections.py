"""The sections of the configuration that all integrations share: kafka, receipts, server and log."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from streamer.core.errors import UnavailableError
from streamer.settings.quantities import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration), Field(le=31 * 86_400)]
"""Seconds; at most 31 days."""
PositiveDuration = Annotated[Duration, Field(gt=0)]
LongDuration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, le=3_660 * 86_400)]
"""Seconds; at most ten years."""
Size = Annotated[int, BeforeValidator(parse_size), Field(le=1 << 50)]
"""Bytes."""
Switch = BeforeValidator(lambda value: None if value is False or value == "false" else value)
"""Makes a section that may also be ``false``: it is off, and None."""
Milliseconds = Annotated[int, Field(ge=1, le=2**31 - 1)]

LINE_BREAKS: Final = "\r\n"
"""What is removed from the end of each secret, wherever it comes from: editors and ``echo`` put it there."""


def _without_line_break(secret: SecretStr) -> SecretStr:
    return SecretStr(secret.get_secret_value().rstrip(LINE_BREAKS))


Secret = Annotated[SecretStr, AfterValidator(_without_line_break)]
UserName = Annotated[str, AfterValidator(lambda name: name.rstrip(LINE_BREAKS))]
"""No secret, but it comes from the same place as the password."""

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


class Section(BaseModel):
    """A part of the configuration: unknown keys are faults, null stands for the default, nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: entry for key, entry in value.items() if entry is not None or key not in cls.model_fields}


def _check_topic(topic: str) -> str:
    if not _TOPIC.fullmatch(topic):
        raise ValueError("is not a topic name: it should be 1 to 249 letters, digits, dots, underscores and hyphens")
    return topic


Topic = Annotated[str, AfterValidator(_check_topic)]


def _check_brokers(text: str) -> str:
    for broker in text.split(",") if text else []:
        match = _BROKER.fullmatch(broker.strip())
        if not match or int(match[1]) not in range(1, 65_536):
            raise ValueError("should be host:port, several separated by commas")
    return text


class KafkaSettings(Section):
    """How to reach the brokers. The names are those of Kafka's own options."""

    bootstrap_servers: Annotated[str, AfterValidator(_check_brokers)] = ""
    """The brokers that streamer asks first for all others, as ``host:port``, several separated by commas."""
    client_id: str = "streamer"
    """Name of this client in the logs, metrics and quotas of the brokers."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections are secured. ``SSL`` encrypts with TLS, ``SASL_PLAINTEXT`` logs in, ``SASL_SSL`` does both."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] = "PLAIN"
    """How streamer logs in. ``GSSAPI`` (Kerberos) needs the package ``aiokafka[gssapi]``."""
    sasl_plain_username: UserName | None = None
    """User name. ``PLAIN``, ``SCRAM-SHA-256`` and ``SCRAM-SHA-512`` need it."""
    sasl_plain_password: Secret | None = None
    """Password of the user. Give this setting or ``sasl_plain_password_file``."""
    sasl_plain_password_file: Path | None = None
    """File that holds the password of the user and nothing else. streamer reads it for each new connection. While the
    file cannot be read, streamer uses the last password."""
    sasl_oauth_token_file: Path | None = None
    """File with a bearer token, which another program keeps valid. streamer reads it for each new connection. While the
    file cannot be read, streamer uses the last token, until that ends. ``OAUTHBEARER`` needs it."""
    sasl_kerberos_service_name: str = "kafka"
    """First part of the brokers' Kerberos principal. Only for ``GSSAPI``."""
    sasl_kerberos_domain_name: str | None = None
    """Host part of the brokers' Kerberos principal, if it is not the host name of the broker. Only for ``GSSAPI``."""
    ssl_cafile: Path | None = None
    """PEM file with the certificates of the authorities that signed the brokers' certificates. Without it, those that
    the operating system trusts count."""
    ssl_certfile: Path | None = None
    """PEM file with the certificate that streamer shows to the brokers (mutual TLS). When one of the TLS files has
    changed, new connections use what it holds."""
    ssl_keyfile: Path | None = None
    """PEM file with the private key of ``ssl_certfile``. Without it, the key is read from ``ssl_certfile`` itself."""
    ssl_password: Secret | None = None
    """Password of the private key. Give this setting or ``ssl_password_file``."""
    ssl_password_file: Path | None = None
    """File that holds the password of the private key and nothing else."""
    ssl_check_hostname: bool = True
    """Whether the certificate of a broker must be made for the host name under which streamer reaches it."""
    group_instance_id: str | None = None
    """Makes this instance a static member of its consumer groups: a restart within ``session_timeout_ms`` causes no
    rebalance. Each instance needs its own id, because two instances with one id disconnect each other again and
    again."""
    session_timeout_ms: Milliseconds = 30_000
    """How long the brokers wait for a heartbeat before they give the partitions of an instance to another one. The
    partitions of a killed instance wait this long."""
    heartbeat_interval_ms: Milliseconds = Field(
        default_factory=lambda section: min(3_000, section["session_timeout_ms"] // 3)
    )
    """Time between two heartbeats. At most a third of ``session_timeout_ms``."""
    rebalance_timeout_ms: Milliseconds = 30_000
    """How long the brokers wait for all instances in a rebalance. streamer uses up to a third of it, at most 10 s, to
    finish requests."""
    request_timeout_ms: Milliseconds = Field(
        default_factory=lambda section: max(40_000, section["rebalance_timeout_ms"] + 10_000)
    )
    """How long streamer waits for an answer of a broker. At least 10 s more than ``rebalance_timeout_ms``, because
    joining a group takes as long as the rebalance of another instance."""
    metadata_max_age_ms: Milliseconds = 60_000
    """Longest time until streamer notices new partitions of a topic."""
    fetch_max_bytes: Annotated[Size, Field(ge=1 << 20)] = 16 << 20
    """Most bytes fetched ahead from one broker. All integrations of a process share it; each gets at least 1 MiB."""
    max_partition_fetch_bytes: Annotated[Size, Field(ge=1 << 20)] = 4 << 20
    """Most bytes fetched ahead from one partition. It must exceed the brokers' ``message.max.bytes`` (1 MiB and
    12 bytes by default), and must not exceed ``fetch_max_bytes``."""
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether streamer reads records of transactions that are open or were aborted. ``read_committed`` skips them."""
    create_topics: bool = False
    """Whether streamer creates missing dead-letter topics. If not, an integration is not ready until they exist.
    A created topic has the partitions and the replication factor of its topic and keeps dead letters for 30 days, or
    as long as its topic keeps records if that is longer; the log event ``topic.created`` lists its settings. Topics
    that exist are never changed; ``check --connect`` warns of settings that harm dead letters."""


class ReceiptsSettings(Section):
    """The receipts of each integration: durable notes of which messageIds were delivered."""

    window: PositiveDuration = 86_400.0
    """How long a receipt counts. A record whose messageId was delivered within this time is a duplicate."""
    max_bytes: Annotated[Size, Field(ge=64 << 20)] = 4 << 30
    """Most disk space for the receipts of one integration; 4 GiB hold some 70 million messageIds. When it is used up,
    the older half of the receipts is deleted."""
    topic: Topic | None = None
    """Topic through which instances tell each other what they delivered. With it, a duplicate is known whichever
    instance delivered the event, also after the loss of a disk. Without it, each one knows only its own deliveries.
    The topic needs a retention of ``receipts.window`` or more; docs/receipts.md has the rest."""


class ControlSettings(Section):
    """How operators steer running instances: ``streamer pause`` and ``streamer resume`` write to a topic."""

    topic: Topic = "streamer.control"
    """Compacted topic that all instances read. ``streamer pause`` creates it if it is missing."""


HOST_DEFAULT_VARIABLE: Final = "STREAMER_DEFAULT_SERVER_HOST"
"""The environment variable that replaces the default of ``server.host``. The image sets it, because a container that
listens on its own loopback interface answers no probe. The file and ``STREAMER_SERVER__HOST`` override it."""


class ServerSettings(Section):
    """The HTTP server for health, metrics and status. It changes nothing."""

    host: str = "127.0.0.1"
    """Address to listen on. ``127.0.0.1`` answers this machine only; ``0.0.0.0`` is all interfaces, and ``"::"`` all
    of them with IPv4 and IPv6. In the image the default is ``"::"``, which its environment variable
    ``STREAMER_DEFAULT_SERVER_HOST`` holds."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_080
    """Port to listen on. With 0, the operating system chooses a free one, which the log shows."""
    token_file: Path | None = None
    """File that holds a token and nothing else. With it, only requests with the token get metrics, version and status:
    as ``Authorization: Bearer <token>``, or as the password of any user, for which a browser asks. ``/livez``,
    ``/readyz`` and ``/startupz`` stay open. streamer notices within a second when the file changes. While the file
    cannot be read, the last token counts; before it was ever read, all other requests get a 503."""


class LogSettings(Section):
    """The log, which goes to standard output, one line for each log event."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Log events below this level are not written. While the service runs, the signal SIGUSR1 sets the level to debug
    and SIGUSR2 sets it back to this one."""
    format: Literal["auto", "console", "json"] = "auto"
    """Form of a line. ``auto``: text for people (``console``) on a terminal, else JSON."""
    profile: Literal["otel", "ecs"] = "otel"
    """Field names in JSON lines: OpenTelemetry's, or those of the Elastic Common Schema (``ecs``)."""


def read_secret_file(path: Path, setting: str) -> str:
    """The text of a mounted secret without the line break at its end.

    Raises:
        UnavailableError: it cannot be read; the error names ``setting`` and the file, not what it holds.
    """
    try:
        return path.read_text(encoding="utf-8").rstrip(LINE_BREAKS)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UnavailableError(
            f"{setting} {path} cannot be read: {reason}; mount the secret or correct the path"
        ) from error
    except UnicodeDecodeError:
        raise UnavailableError(
            f"{setting} {path} is not UTF-8 text; it should hold the secret and nothing else"
        ) from None
