"""The one error of the directory: why the database cannot be used now, and what to do about it."""

import enum

from streamer.core.errors import UnavailableError


class Away(enum.StrEnum):
    """Why the database cannot be used. A closed list, which metrics and logs show."""

    UNREACHABLE = "unreachable"
    REFUSED_LOGIN = "refused_login"
    NO_SUCH_DATABASE = "no_such_database"
    BAD_URL = "bad_url"
    UNSUITABLE = "unsuitable"
    NO_RIGHT = "no_right"
    BUSY = "busy"
    LOCKED = "locked"
    TIMEOUT = "timeout"
    GONE = "gone"
    FULL = "full"
    READ_ONLY = "read_only"
    DAMAGED = "damaged"
    NOT_MIGRATED = "not_migrated"
    NEWER = "newer"
    FOREIGN = "foreign"


_NEXT_STEPS = {
    Away.UNREACHABLE: "check that the database runs, directory.url, and the network",
    Away.REFUSED_LOGIN: "correct user and password in directory.url or its file; streamer reads the file again",
    Away.NO_SUCH_DATABASE: "create the database, or correct directory.url; `streamer run` creates the tables in it",
    Away.BAD_URL: "write sqlite:///path or postgresql://user:password@host:port/database",
    Away.UNSUITABLE: "use a database as docs/limits.md asks for",
    Away.NO_RIGHT: "grant the database user the rights to read and write; the first start also creates tables",
    Away.BUSY: "raise max_connections of the server, or end other clients",
    Away.LOCKED: "another program holds the directory; no action is needed unless this repeats, then look for"
    " an import or another program that does not end",
    Away.TIMEOUT: "no action is needed unless this repeats; then look at the load of the database",
    Away.GONE: "no action is needed unless this repeats; streamer connects again",
    Away.FULL: "free space on the disk of the database",
    Away.READ_ONLY: "connect to the primary server, or let streamer write to the file and its directory",
    Away.DAMAGED: "restore the database from a backup, or check its disk; see the log of the database",
    Away.NOT_MIGRATED: "start `streamer run`, which creates and updates the tables when it starts",
    Away.NEWER: "update this instance of streamer; it does not touch tables of a newer version",
    Away.FOREIGN: "use a database or a schema without tables of another program whose names begin with directory_",
}


class DirectoryUnavailableError(UnavailableError):
    """The directory cannot be read or written now. Nothing of the transaction counts, unless it was lost at its commit.

    Args:
        reason: which kind of fault it is.
        what: what happened, without any value of a call or a secret.
    """

    def __init__(self, reason: Away, what: str) -> None:
        super().__init__(f"the directory cannot be used ({reason}): {what}; {_NEXT_STEPS[reason]}")
        self.reason = reason
