"""Profiles: the state of each user of the directory -> the same state at the platform.

Each record is a whole state, so only the newest one of a user counts: an older one must never arrive after it. The
messageId of a call is that of its user, and `streamer.core.records.latest` does the rest.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from streamer.core.errors import MappingError
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall
from streamer.core.pushing.mapper import Headers, PushMapper
from streamer.core.records.own_headers import SUCCESSOR

CONTRACT: Final = "profile"

_DIGEST_CHARACTERS: Final = 40
_RENAMED: Final = Filtered(FilterReason.TOMBSTONE)


@dataclass(frozen=True, slots=True)
class ProfilesSettings:
    """Choices of the dialect ``profiles``."""

    renamed: Literal["keep", "delete"] = "keep"
    """What becomes of a user at the platform whose name has changed in the directory, or who was merged into another
    one. Neither API can rename: the new name is a new user there. ``keep``: the old one stays, with its history, and
    also when the person is deleted later. ``delete``: it is deleted, with its history."""


class ProfileMapper(PushMapper):
    """Maps the records of ``surveys.profiles``."""

    keeps_latest = True
    schema_header = b"profile.1"

    def __init__(self, settings: MappingSettings) -> None:
        super().__init__(settings, CONTRACT)
        chosen = settings.dialect_settings.get("profiles")
        self._choices = chosen if isinstance(chosen, ProfilesSettings) else ProfilesSettings()

    def map(
        self, value: bytes | None, _record_time_ms: int, headers: Headers = (), key: bytes | None = None
    ) -> TrackCall | Filtered:
        """The call of one record, or the rule by which it makes none.

        Args:
            value: the record's value; None: the name in ``key`` is gone.
            headers: the record's headers.
            key: the record's key, which is the username.

        Raises:
            RecordError: no reading of the record is right, or its call cannot be sent.
        """
        filtered = self._filtered(headers)
        if filtered is not None:
            return filtered
        if value is not None:
            profile = self._document(value, headers)
            return TrackCall(message_id_of(profile["username"]), self._api.upsert(profile, self._note))
        if SUCCESSOR in dict(headers) and self._choices.renamed == "keep":
            return _RENAMED
        username = _name_in(key)
        return TrackCall(message_id_of(username), self._api.delete(username))


def message_id_of(username: str) -> str:
    """The messageId of every call about a user: of those in hand, only the newest one counts."""
    return "profile_" + hashlib.sha256(username.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _name_in(key: bytes | None) -> str:
    try:
        username = (key or b"").decode()
    except UnicodeDecodeError:
        username = ""
    if not username:
        raise MappingError("the record's key: expected the username in UTF-8, found none; without it nobody is deleted")
    return username
