"""What a platform's API is to the directory's topics: requests for profiles, for names that are gone, for triggers."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.core.mapping.native import Document

Note = Callable[[str], None]
"""Counts, by a name, something that a platform's API does not take and that is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The requests of one API. All functions are pure but for the `Note`, and return serialised calls."""

    kind: str
    """Stands in the configuration: ``kind: sprig``."""
    platform: str
    """What people call the platform."""
    upsert: Callable[[Document, Note], bytes]
    """A profile: create the user, or change what the profile says."""
    delete: Callable[[str], bytes]
    """The name of a user who is to be deleted."""
    track: Callable[[Document, str, Note], bytes]
    """A trigger with a username, and the name of its event."""
    texts: dict[str, str]
    """What becomes of which part, in Markdown, for docs/."""
