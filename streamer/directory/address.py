"""Where the directory is: the address of the configuration, taken apart. No text here shows what it read."""

from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from streamer.directory.unavailable import Away, DirectoryUnavailableError

_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = ("postgresql", "postgres")


class Address(NamedTuple):
    """One of both."""

    file: Path | None
    """The file of a SQLite database."""
    dsn: str
    """The address of a PostgreSQL database, with its password: never to be shown."""

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def shown(self) -> str:
        """Which database it is, for messages: without user, password and options."""
        if self.file is not None:
            return str(self.file)
        parts = urlsplit(self.dsn)
        return f"{parts.hostname or 'localhost'}{parts.path}"


def parse(url: str) -> Address:
    """Take the address apart.

    Raises:
        DirectoryUnavailableError: it is not the address of a database that streamer uses.
    """
    if url.startswith(_SQLITE):
        path = unquote(url.removeprefix(_SQLITE))
        if path and path != ":memory:" and "?" not in path:
            return Address(Path(path), "")
        raise DirectoryUnavailableError(Away.BAD_URL, "after sqlite:/// its address has no path of a file, or options")
    try:
        parts = urlsplit(url)
        is_known = parts.scheme in _POSTGRESQL and (parts.port is None or parts.port > 0)
    except ValueError:  # its text may quote a part of the password
        is_known = False
    if not is_known:
        raise DirectoryUnavailableError(
            Away.BAD_URL,
            "its address cannot be read; write %2F, %40, %3A and %23 for / @ : and # in a password",
        )
    return Address(None, url)
