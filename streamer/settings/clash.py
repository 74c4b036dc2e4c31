"""A fault between settings: each value is valid alone, and together they cannot work."""

from dataclasses import dataclass

from streamer.settings.document import KeyPath


@dataclass(frozen=True, slots=True)
class Clash:
    """A fault between settings."""

    path: KeyPath
    text: str
    others: tuple[KeyPath, ...] = ()
    """Other settings that it depends on. If one of them has a fault of its own, this clash is not reported."""
