"""The sections of the configuration that integrations share: kafka, receipts, server, log, and the destinations."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from streamer.core.errors import UnavailableError
from streamer.settings.quantities import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration), Field(le=31 * 86_400)]
"""Seconds; at most 31 days."""
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size), Field(le=1 << 50)]
"""Bytes."""
Milliseconds = Annotated[int, Field(ge=1, le=2**31 - 1)]

LINE_BREAKS: Final = "\r\n"
"""What is removed from the end of each secret, wherever it comes from: editors and ``echo`` put it there."""


def _without_line_break(secret: SecretStr) -> SecretStr:
    return SecretStr(secret.get_secret_value().rstrip(LINE_BREAKS))


Secret = Annotated[SecretStr, AfterValidator(_without_line_break)]
UserName = Annotated[str, AfterValidator(lambda name: name.rstrip(LINE_BREAKS))]
"""No secret, but it comes from the same place as the password."""

MAX_SUFFIX_CHARACTERS: Final = 40
"""Longest ``message_id_suffix``: a messageId has 99 characters with it, and the ids of all dialects fit in the rest."""

MIN_BATCH_BYTES: Final = 33_000
"""Smallest ``batch.max_bytes``: one call of the largest size with its envelope."""

_HOSTS: Final = {"us": "https://api.segment.io", "eu": "https://events.eu1.segmentapis.com"}
_SETTINGS_HOST: Final = "https://cdn.segment.com"
"""Where Segment serves the settings of a source, in both regions."""

_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_WRITE_KEY: Final = re.compile(r"[!-9;-~]{1,256}")
"""Printable ASCII without blank or colon: Basic authentication ends the user name at the first colon."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are faults, null stands for the default, nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: entry for key, entry in value.items() if entry is not None or key not in cls.model_fields}


def _check_brokers(text: str) -> str:
    for broker in text.split(",") if text else []:
        match = _BROKER.fullmatch(broker.strip())
        if not match or int(match[1]) not in range(1, 65_536):
            raise ValueError("should be host:port, several separated by commas")
    return text


def _check_write_key(key: SecretStr) -> SecretStr:
    if not _WRITE_KEY.fullmatch(key.get_secret_value()):
        raise ValueError("is not a write key: it should be 1 to 256 printable characters without blanks and colons")
    return key


def _check_endpoint(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError("should be http://host:port or https://host without user, query and fragment")
    if url.path.rstrip("/").endswith("/v1"):
        raise ValueError("should end before /v1, which streamer adds itself")
    return text.rstrip("/")


def _check_proxy(proxy: SecretStr) -> SecretStr:
    url = urlsplit(proxy.get_secret_value())
    if proxy.get_secret_value() and (url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/")):
        raise ValueError("should be http://host:port or http://user:password@host:port")
    return proxy


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
    """Whether streamer creates missing dead-letter topics. If not, an integration is not ready until they exist."""


class ReceiptsSettings(Section):
    """The receipts of each integration: durable notes of which messageIds were delivered."""

    window: PositiveDuration = 86_400.0
    """How long a receipt counts. A record whose messageId was delivered within this time is a duplicate."""
    max_bytes: Annotated[Size, Field(ge=64 << 20)] = 4 << 30
    """Most disk space for the receipts of one integration; 4 GiB hold some 70 million messageIds. When it is used up,
    the older half of the receipts is deleted."""


class ServerSettings(Section):
    """The HTTP server for health, metrics and status. It has no password and changes nothing."""

    host: str = "127.0.0.1"
    """Address to listen on. ``127.0.0.1`` answers this machine only; a container needs ``0.0.0.0``, or ``"::"`` for
    IPv4 and IPv6 at once."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_080
    """Port to listen on. With 0, the operating system chooses a free one, which the log shows."""


class LogSettings(Section):
    """The log, which goes to standard output, one line for each log event."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Log events below this level are not written."""
    format: Literal["auto", "console", "json"] = "auto"
    """Form of a line. ``auto``: text for people (``console``) on a terminal, else JSON."""


class BatchSettings(Section):
    """Size of a batch, which is what one request carries. The upper limits are those of Segment."""

    max_bytes: Annotated[Size, Field(ge=MIN_BATCH_BYTES, le=500_000)] = 480_000
    """Most bytes of a request before compression."""
    max_calls: Annotated[int, Field(ge=1, le=2_500)] = 1_000
    """Most calls in a request."""
    linger: Annotated[Duration, Field(le=60)] = 0.1
    """How long a call waits for others to fill its batch. 0: it does not wait."""


class RetrySettings(Section):
    """The waits of a call that fails while others are delivered: first the quick ones, then the schedule.

    A call has one attempt more than there are waits. Then it is dead-lettered as ``retries_exhausted``. Attempts that
    fail while the whole destination fails do not count.
    """

    quick: Annotated[tuple[PositiveDuration, ...], Field(max_length=100)] = (1.0, 4.0, 15.0)
    """Waits before the first attempts after a failure. At each of them, the calls that failed together are divided into
    smaller groups; after them, each call travels alone."""
    schedule: Annotated[tuple[PositiveDuration, ...], Field(min_length=1, max_length=100)] = (
        *(60.0 * 2**n for n in range(7)),
        21_600.0,
    )
    """Waits after the quick ones."""


class DestinationSettings(Section):
    """One Segment source: its write key, its region, and how calls are sent to it."""

    write_key: Annotated[Secret, AfterValidator(_check_write_key)] | None = None
    """Write key of the Segment source. 1 to 256 printable characters without blanks and colons. Give this setting or
    ``write_key_file``."""
    write_key_file: Path | None = None
    """File that holds the write key and nothing else. It is read again before each probe of a held destination, so a
    key can be replaced without a restart."""
    region: Literal["us", "eu"] = "us"
    """Region of the Segment workspace. With the wrong one, events are lost without an error."""
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None
    """Address of another receiver with Segment's HTTP API, for example ``http://localhost:8090`` for the sandbox. It
    replaces ``region``. streamer adds ``/v1/batch``."""
    message_id_suffix: Annotated[str, Field(max_length=MAX_SUFFIX_CHARACTERS)] = ""
    """Text at the end of each messageId. Segment remembers messageIds across sources, so two destinations that get the
    events of one topic need different suffixes."""
    proxy: Annotated[Secret, AfterValidator(_check_proxy)] | None = None
    """HTTP proxy that requests go through, as ``http://host:port`` or ``http://user:password@host:port``. Without this
    setting, the variables ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` count. ``""``: no proxy,
    whatever the variables say."""
    ca_file: Path | None = None
    """PEM file with the certificates of the authorities that may sign the destination's certificate, for example that
    of a proxy which opens TLS connections. Without it, those that the operating system trusts count."""
    timeout: PositiveDuration = 15.0
    """Longest time for one request, from its first byte to the last byte of the answer."""
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Most concurrent requests. streamer sends fewer while the destination cannot handle as many."""
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    """Most calls a second, on average. Without it, only the destination limits the rate."""
    batch: BatchSettings = BatchSettings()
    """Size of a request."""
    gzip: bool = True
    """Whether the bodies of requests are compressed."""
    retry: RetrySettings = RetrySettings()
    """When a failed call is sent again."""

    @property
    def url(self) -> str:
        """The base of the destination's addresses, without a slash at the end."""
        return self.endpoint or _HOSTS[self.region]

    @property
    def proxy_url(self) -> str | None:
        """``proxy`` with its password; "" asks for none, and None: it is not set."""
        return None if self.proxy is None else self.proxy.get_secret_value()

    def settings_url(self, write_key: str) -> str | None:
        """Where Segment answers 404 for a key that no source has; None for an ``endpoint``, which need not answer."""
        return None if self.endpoint else f"{_SETTINGS_HOST}/v1/projects/{write_key}/settings"

    def read_write_key(self) -> str:
        """The write key. A key from a file is read again at each call, so that it can be replaced while streamer runs.

        Raises:
            UnavailableError: the file cannot be read or holds no write key.
        """
        if self.write_key is not None:
            return self.write_key.get_secret_value()
        assert self.write_key_file is not None, "checked when the configuration was loaded"
        key = read_secret_file(self.write_key_file, "write_key_file")
        if not _WRITE_KEY.fullmatch(key):
            raise UnavailableError(
                f"write_key_file {self.write_key_file} holds no write key; put the key in it, and nothing else"
            )
        return key


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
