"""What `streamer check` finds on this machine: files that settings name, and whether ``state_dir`` can be made.

Nothing is changed or created. `streamer run` does not ask here: a file may be mounted after its start.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.settings.clash import Clash
from streamer.settings.destinations import DestinationSettings
from streamer.settings.document import KeyPath
from streamer.settings.model import Settings
from streamer.settings.sections import LINE_BREAKS, read_secret_file

_SECRET_FILES: Final = ("sasl_plain_password_file", "sasl_oauth_token_file", "ssl_password_file")
_PEM_FILES: Final = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")


def file_clashes(settings: Settings) -> Iterator[Clash]:
    """Files that are missing, unreadable or empty, and a ``state_dir`` that cannot be made or written to."""
    for name, destination in settings.destinations.items():
        text = _key_fault(destination)
        if text is not None:
            yield Clash(("destinations", name, f"{destination.key_setting}_file"), text)
    for path, file in _kafka_files(settings, (*_SECRET_FILES, *_PEM_FILES)):
        text = _fault(file, str(path[-1]))
        if text is not None:
            yield Clash(path, text)
    token_file = settings.server.token_file
    text = None if token_file is None else _fault(token_file, "token_file")
    if text is not None:
        yield Clash(("server", "token_file"), text)
    yield from _state_dir(settings)


def with_line_break(settings: Settings) -> Iterator[KeyPath]:
    """The settings whose file holds a secret and a line break behind it."""
    files = list(_kafka_files(settings, _SECRET_FILES))
    files += [
        (("destinations", name, setting), file)
        for name, destination in settings.destinations.items()
        for setting in ("write_key_file", "api_key_file")
        if (file := getattr(destination, setting)) is not None
    ]
    if settings.server.token_file is not None:
        files.append((("server", "token_file"), settings.server.token_file))
    for path, file in files:
        content = file.read_bytes()
        if content != content.rstrip(LINE_BREAKS.encode()):
            yield path


def _kafka_files(settings: Settings, keys: tuple[str, ...]) -> Iterator[tuple[KeyPath, Path]]:
    for key in keys:
        file: Path | None = getattr(settings.kafka, key)
        if file is not None:
            yield ("kafka", key), file


def _key_fault(destination: DestinationSettings) -> str | None:
    name = f"{destination.key_setting}_file"
    file: Path | None = getattr(destination, name)
    if file is None:
        return None
    try:
        destination.read_key()
    except UnavailableError as error:
        return str(error).removeprefix(f"{name} {file} ")
    return None


def _fault(file: Path, setting: str) -> str | None:
    """What is wrong with a file that should hold text; its content is not shown."""
    try:
        text = read_secret_file(file, setting)
    except UnavailableError as error:
        return str(error).removeprefix(f"{setting} {file} ")
    if text.strip():
        return None
    return "is empty; " + ("it should be in PEM format" if setting in _PEM_FILES else "put the secret in it")


def _state_dir(settings: Settings) -> Iterator[Clash]:
    root = settings.state_dir.absolute()
    for directory in (root, *(root / name for name in settings.integrations)):
        # A link that leads nowhere exists, too: no directory can be made in its place.
        nearest = next(place for place in (directory, *directory.parents) if os.path.lexists(place))
        verb = "be written to" if nearest == directory else "be made"
        text = ""
        if not nearest.is_dir():
            text = f"{nearest} is not a directory"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            text = f"there is no right to write in {nearest}"
        if text:
            yield Clash(("state_dir",), f"cannot {verb}: {text}; correct it, or set another directory")
            return
