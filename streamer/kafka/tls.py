"""How a client secures its connections with TLS: certificates are read again when their files have changed."""

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from aiokafka.helpers import create_ssl_context

from streamer.core.errors import UnavailableError
from streamer.logs import Event, logger
from streamer.settings import KafkaSettings, read_secret_file

_State = tuple[tuple[int, int, int] | None, ...]
"""What tells whether files have changed: inode, time of the last change and size of each; None: it is not there."""

_FILES: Final = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password_file")


class RenewedContext(ssl.SSLContext):
    """A context that asks for another one when files have changed, and keeps the last one while they cannot be used.

    The client keeps a context for as long as it lives, but certificates may be valid for hours only.
    """

    _files: tuple[Path, ...]
    _make: Callable[[], ssl.SSLContext]
    _state: _State
    _current: ssl.SSLContext
    _is_lasting: bool
    _has_trouble = False

    @classmethod
    def of(cls, kafka: KafkaSettings, *, is_lasting: bool) -> Self:
        """Read the files of the settings.

        Args:
            kafka: how to connect.
            is_lasting: whether its client connects again by itself, so that what befalls it must be logged.

        Raises:
            UnavailableError: a file cannot be used.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = kafka.ssl_check_hostname
        context._files = tuple(path for name in _FILES if (path := getattr(kafka, name)) is not None)
        context._make = lambda: _read(kafka)
        context._is_lasting = is_lasting
        context._state = _state_of(context._files)
        context._current = context._make()
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin one connection, with what the files hold now."""
        self._renew()
        return self._current.wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def _renew(self) -> None:
        state = _state_of(self._files)
        if state == self._state:
            return
        try:
            self._current = self._make()
        except UnavailableError as error:
            # The state stays: files that are being replaced are read again at the next connection.
            self._has_trouble = True
            if self._is_lasting:
                logger().emit(Event.KAFKA_CREDENTIALS_MISSING, detail=f"{error}. The last certificates serve")
            return
        self._state = state
        if self._has_trouble and self._is_lasting:
            logger().emit(Event.KAFKA_CREDENTIALS_RECOVERED)
        self._has_trouble = False


def _state_of(files: tuple[Path, ...]) -> _State:
    state: list[tuple[int, int, int] | None] = []
    for file in files:
        state.append(None)
        with contextlib.suppress(OSError):
            found = file.stat()
            state[-1] = (found.st_ino, found.st_mtime_ns, found.st_size)
    return tuple(state)


def _read(kafka: KafkaSettings) -> ssl.SSLContext:
    password = kafka.ssl_password.get_secret_value() if kafka.ssl_password else None
    if kafka.ssl_password_file is not None:
        password = read_secret_file(kafka.ssl_password_file, "kafka.ssl_password_file")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=kafka.ssl_cafile,
            certfile=kafka.ssl_certfile,
            keyfile=kafka.ssl_keyfile,
            # Without a password OpenSSL would ask for one on the terminal.
            password=password or "",
        )
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "not in PEM format"
        raise UnavailableError(
            f"kafka.ssl_cafile, ssl_certfile, ssl_keyfile or ssl_password cannot be used: {reason}"
        ) from error
    context.check_hostname = kafka.ssl_check_hostname
    return context
