"""Secrets for the brokers. Another program may replace their files at any time, so each connection reads them again."""

import base64
import functools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from pydantic import SecretStr

from streamer.core.errors import UnavailableError
from streamer.settings import read_secret_file

_BEARER_TOKEN: Final = re.compile(r"[-A-Za-z0-9._~+/]+=*")
"""The characters of a bearer token (RFC 6750, 2.1). Any other one would break the message to the broker."""


class FixedSecret:
    """A secret in the configuration itself."""

    problem: Final = ""
    """There is none: it can always be read."""

    def __init__(self, secret: SecretStr, setting: str) -> None:
        self.name = setting
        self._secret = secret

    def read(self) -> str:
        """The secret."""
        return self._secret.get_secret_value()


class SecretFile:
    """A secret in a file. While the file cannot be read, the last secret serves, until it ends.

    The file is small and local, and the client waits under a lock for the answer, so reading blocks.
    """

    def __init__(self, path: Path, setting: str) -> None:
        self.name = f"{setting} {path}"
        """How texts call it."""
        self.problem = ""
        """Why the last reading of the file gave no secret, what to do, and what serves instead; empty: it gave one."""
        self._path = path
        self._setting = setting
        self._last: str | None = None

    def verify(self) -> None:
        """Read the file, unless that has succeeded before.

        Raises:
            UnavailableError: there is no secret; the text names setting and file, and says what to do.
        """
        if self._last is None:
            self._last = self._in_file()

    def read(self) -> str | None:
        """The secret; None: the file cannot be read, and the last secret has ended."""
        try:
            self._last = self._in_file()
        except UnavailableError as error:
            serves = None if self._last is None or self._has_ended(self._last) else self._last
            self.problem = f"{error}. {self._what_serves(serves)}"
            return serves
        self.problem = ""
        return self._last

    def _in_file(self) -> str:
        text = read_secret_file(self._path, self._setting)
        if not text:  # a program that replaces it may be about to write
            raise UnavailableError(f"{self.name} is empty; put the secret in it")
        return text

    def _has_ended(self, _secret: str) -> bool:
        return False

    def _what_serves(self, secret: str | None) -> str:
        return "There was none before" if secret is None else "The last one serves"


class TokenFile(SecretFile):
    """A bearer token in a file. If it is a JSON Web Token, it says when it ends."""

    def what_is_wrong(self) -> str:
        """What can be said here about a token that a broker rejected; empty: nothing."""
        end = token_end(self._last or "")
        return f"it ended at {_text(end)}" if end is not None and end <= datetime.now(UTC) else ""

    def _in_file(self) -> str:
        text = super()._in_file()
        if not _BEARER_TOKEN.fullmatch(text):
            raise UnavailableError(f"{self.name} holds no bearer token; put the token in it, and nothing else")
        return text

    def _has_ended(self, secret: str) -> bool:
        end = token_end(secret)
        return end is not None and end <= datetime.now(UTC)

    def _what_serves(self, secret: str | None) -> str:
        if secret is None:
            return "The last token has ended: until there is a new one, streamer cannot connect"
        end = token_end(secret)
        return f"The last token serves until {_text(end)}" if end is not None else "The last token serves"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def token_end(token: str) -> datetime | None:
    """The time ``exp`` of a JSON Web Token, which is not verified here; None: it has none, or is no such token."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None


@functools.cache
def secret_file(path: Path, setting: str) -> SecretFile:
    """The one object of a file in this process: the last secret outlives clients and pipelines."""
    return SecretFile(path, setting)


@functools.cache
def token_file(path: Path, setting: str) -> TokenFile:
    """The same for a bearer token."""
    return TokenFile(path, setting)
