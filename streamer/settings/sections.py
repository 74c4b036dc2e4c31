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

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

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
        raise ValueError("is no write key: it should be 1 to 256 printable characters without blanks and colons")
    return key


def _check_endpoint(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError("should be http://host:port or https://host without user, query and fragment")
    if url.path.rstrip("/").endswith("/v1"):
        raise ValueError("should end before /v1, which streamer adds itself")
    return text.rstrip("/")


class KafkaSettings(Section):
    """How to reach the brokers, under Kafka's own option names."""

    bootstrap_servers: Annotated[str, AfterValidator(_check_brokers)] = ""
    client_id: str = "streamer"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] = "PLAIN"
    sasl_plain_username: str | None = None
    sasl_plain_password: SecretStr | None = None
    sasl_plain_password_file: Path | None = None
    sasl_oauth_token_file: Path | None = None
    """Holds a bearer token that something else keeps fresh; read for every new connection."""
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None
    ssl_password_file: Path | None = None
    ssl_check_hostname: bool = True
    group_instance_id: str | None = None
    """Static membership. Two instances with one id take the membership from each other without end."""
    session_timeout_ms: Milliseconds = 30_000
    heartbeat_interval_ms: Milliseconds = Field(
        default_factory=lambda section: min(3_000, section["session_timeout_ms"] // 3)
    )
    """At most a third of the session timeout."""
    rebalance_timeout_ms: Milliseconds = 30_000
    request_timeout_ms: Milliseconds = Field(
        default_factory=lambda section: max(40_000, section["rebalance_timeout_ms"] + 10_000)
    )
    """Joins wait this long, so it must outlast another member's rebalance: 10 s above its timeout by default."""
    metadata_max_age_ms: Milliseconds = 60_000
    """How late new partitions are noticed, at most."""
    fetch_max_bytes: Annotated[Size, Field(ge=1 << 20)] = 16 << 20
    max_partition_fetch_bytes: Annotated[Size, Field(ge=1 << 20)] = 4 << 20
    """Must exceed the brokers' ``message.max.bytes`` (1 MiB and 12 bytes by default)."""
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    create_topics: bool = False
    """True: missing dead-letter topics are made; False: not ready until they exist."""


class ReceiptsSettings(Section):
    """The durable notes of which messageIds were delivered, per integration."""

    window: PositiveDuration = 86_400.0
    max_bytes: Annotated[Size, Field(ge=64 << 20)] = 4 << 30


class ServerSettings(Section):
    """Where health, metrics and status are served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_080
    """0: any free port, which is logged."""


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    """auto: readable on a terminal, JSON otherwise."""


class BatchSettings(Section):
    """How much one request carries; Segment's limits are the upper ends."""

    max_bytes: Annotated[Size, Field(ge=MIN_BATCH_BYTES, le=500_000)] = 480_000
    max_calls: Annotated[int, Field(ge=1, le=2_500)] = 1_000
    linger: Annotated[Duration, Field(le=60)] = 0.1
    """Seconds that a batch waits for more calls."""


class RetrySettings(Section):
    """The waits before each new attempt at a call, in seconds: first the quick ones, then the schedule."""

    quick: Annotated[tuple[PositiveDuration, ...], Field(max_length=100)] = (1.0, 4.0, 15.0)
    schedule: Annotated[tuple[PositiveDuration, ...], Field(min_length=1, max_length=100)] = (
        *(60.0 * 2**n for n in range(7)),
        21_600.0,
    )


class DestinationSettings(Section):
    """One Segment source: its write key, its region, and how calls are sent to it."""

    write_key: Annotated[SecretStr, AfterValidator(_check_write_key)] | None = None
    write_key_file: Path | None = None
    region: Literal["us", "eu"] = "us"
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None
    message_id_suffix: Annotated[str, Field(max_length=MAX_SUFFIX_CHARACTERS)] = ""
    timeout: PositiveDuration = 15.0
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Most requests at a time; how many the destination is really given is found out while it serves."""
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    """Most calls a second, on the average; None: as fast as it goes."""
    batch: BatchSettings = BatchSettings()
    gzip: bool = True
    retry: RetrySettings = RetrySettings()

    @property
    def url(self) -> str:
        """The base of the destination's addresses, without a slash at the end."""
        return self.endpoint or _HOSTS[self.region]

    def settings_url(self, write_key: str) -> str | None:
        """Where Segment answers 404 for a key that no source has; None for an ``endpoint``, which need not answer."""
        return None if self.endpoint else f"{_SETTINGS_HOST}/v1/projects/{write_key}/settings"

    def read_write_key(self) -> str:
        """The write key; one from a file is read anew at each call, so that it can be exchanged while running.

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
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UnavailableError(
            f"{setting} {path} cannot be read: {reason}; mount the secret or correct the path"
        ) from error
    except UnicodeDecodeError:
        raise UnavailableError(
            f"{setting} {path} is not UTF-8 text; it should hold the secret and nothing else"
        ) from None
