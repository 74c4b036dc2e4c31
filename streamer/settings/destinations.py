"""The sections of the configuration about destinations: where calls go, and how."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from streamer.core.errors import UnavailableError
from streamer.settings.sections import Duration, PositiveDuration, Secret, Section, Size, read_secret_file

MAX_SUFFIX_CHARACTERS: Final = 40
"""Longest ``message_id_suffix``: a messageId has 99 characters with it, and the ids of all dialects fit in the rest."""

MIN_BATCH_BYTES: Final = 33_000
"""Smallest ``batch.max_bytes``: one call of the largest size with its envelope."""

Kind = Literal["segment", "sprig", "product_fruits"]
"""Whose API calls go to."""

_HOSTS: Final = {"us": "https://api.segment.io", "eu": "https://events.eu1.segmentapis.com"}
_API_HOSTS: Final = {"sprig": "https://api.sprig.com", "product_fruits": "https://api.productfruits.com"}
_SETTINGS_HOST: Final = "https://cdn.segment.com"
"""Where Segment serves the settings of a source, in both regions."""

_WRITE_KEY: Final = re.compile(r"[!-9;-~]{1,256}")
"""Printable ASCII without blank or colon: Basic authentication ends the user name at the first colon."""


_API_KEY: Final = re.compile(r"[!-~]{1,1024}")
"""Printable ASCII without blank: it goes into a header."""


def _check_write_key(key: SecretStr) -> SecretStr:
    if not _WRITE_KEY.fullmatch(key.get_secret_value()):
        raise ValueError("is not a write key: it should be 1 to 256 printable characters without blanks and colons")
    return key


def _check_api_key(key: SecretStr) -> SecretStr:
    if not _API_KEY.fullmatch(key.get_secret_value()):
        raise ValueError("is not an API key: it should be 1 to 1024 printable characters without blanks")
    return key


def _check_endpoint(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError("should be http://host:port or https://host without user, query and fragment")
    if url.path.rstrip("/").endswith("/v1"):
        raise ValueError("should end before /v1, which streamer adds itself")
    return text.rstrip("/")


def _check_settings_endpoint(text: str) -> str:
    return _check_endpoint(text) if text else text


def _check_proxy(proxy: SecretStr) -> SecretStr:
    url = urlsplit(proxy.get_secret_value())
    if proxy.get_secret_value() and (url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/")):
        raise ValueError("should be http://host:port or http://user:password@host:port")
    return proxy


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
    """Where calls go: a Segment source with its write key and region, or the API of a survey platform; and how."""

    kind: Kind = "segment"
    """``segment``: a Segment source, for survey events. ``sprig`` and ``product_fruits``: the platform's own API, for
    integrations with the dialect ``profiles`` or ``triggers``. These take one call a request and no compression, so
    ``batch`` and ``gzip`` have no effect, and neither has what is only Segment's: ``write_key``, ``region``,
    ``settings_endpoint``, ``message_id_suffix``."""
    write_key: Annotated[Secret, AfterValidator(_check_write_key)] | None = None
    """Write key of the Segment source. 1 to 256 printable characters without blanks and colons. Give this setting or
    ``write_key_file``."""
    write_key_file: Path | None = None
    """File that holds the write key and nothing else. It is read again when it changes, and before each probe of a held
    destination, so a key can be replaced without a restart."""
    api_key: Annotated[Secret, AfterValidator(_check_api_key)] | None = None
    """Only for the kinds ``sprig`` and ``product_fruits``: the API key. Give this setting or ``api_key_file``."""
    api_key_file: Path | None = None
    """Only for the kinds ``sprig`` and ``product_fruits``: file that holds the API key and nothing else. It is read
    again as ``write_key_file`` is."""
    region: Literal["us", "eu"] = "us"
    """Region of the Segment workspace. With the wrong one, events are lost without an error."""
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None
    """Address of another receiver with Segment's HTTP API, for example ``http://localhost:8090`` for the sandbox. It
    replaces ``region``. streamer adds ``/v1/batch``, or the paths of the API. Without this setting, the kind ``sprig``
    goes to ``https://api.sprig.com`` and ``product_fruits`` to ``https://api.productfruits.com``."""
    settings_endpoint: Annotated[str, AfterValidator(_check_settings_endpoint)] | None = None
    """Address that streamer asks whether the write key exists, before it sends anything: Segment answers 200 to an
    unknown key and drops the events. Without this setting, a ``region`` is asked about at ``https://cdn.segment.com``,
    and an ``endpoint`` nowhere. Give the address of your gateway if requests to Segment have to go through it. ``""``:
    nobody is asked. streamer adds ``/v1/projects``, the key, and ``/settings``."""
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
    """Most calls a second, on average. Without it, only the destination limits the rate. For ``product_fruits``, which
    discloses no limit, 5 is a careful value: others quote 5 requests a second. streamer gives no default, because more
    would be held back for nothing, and answers with 429 slow it down anyway."""
    batch: BatchSettings = BatchSettings()
    """Size of a request."""
    gzip: bool = True
    """Whether the bodies of requests are compressed."""
    retry: RetrySettings = RetrySettings()
    """When a failed call is sent again."""

    @property
    def url(self) -> str:
        """The base of the destination's addresses, without a slash at the end."""
        return self.endpoint or _API_HOSTS.get(self.kind) or _HOSTS[self.region]

    @property
    def max_batch_calls(self) -> int:
        """Most calls in a request."""
        return self.batch.max_calls if self.kind == "segment" else 1

    @property
    def key_setting(self) -> str:
        """Name of the setting with the key; that of its file has ``_file`` at the end."""
        return "write_key" if self.kind == "segment" else "api_key"

    @property
    def proxy_url(self) -> str | None:
        """``proxy`` with its password; "" asks for none, and None: it is not set."""
        return None if self.proxy is None else self.proxy.get_secret_value()

    @property
    def asks_about_key(self) -> bool:
        """Whether somebody is asked if the write key exists."""
        return self._settings_base is not None

    def settings_url(self, write_key: str) -> str | None:
        """Where the settings of the source with this key are; it holds the key. None: nobody is asked for them."""
        base = self._settings_base
        return None if base is None else f"{base}/v1/projects/{quote(write_key, safe='')}/settings"

    @property
    def _settings_base(self) -> str | None:
        if self.kind != "segment":
            return None
        if self.settings_endpoint is None:
            return None if self.endpoint else _SETTINGS_HOST
        return self.settings_endpoint or None

    def read_key(self) -> str:
        """The write key or API key. One from a file is read again at each call, so that it can be replaced meanwhile.

        Raises:
            UnavailableError: the file cannot be read or holds no key.
        """
        name = self.key_setting
        key: SecretStr | None = getattr(self, name)
        if key is not None:
            return key.get_secret_value()
        file: Path | None = getattr(self, f"{name}_file")
        assert file is not None, "checked when the configuration was loaded"
        text = read_secret_file(file, f"{name}_file")
        if not (_WRITE_KEY if self.kind == "segment" else _API_KEY).fullmatch(text):
            what = name.replace("_", " ").replace("api", "API")
            raise UnavailableError(f"{name}_file {file} holds no {what}; put the key in it, and nothing else")
        return text
